from keeptrusts_operator.cli import main

main()
