"""`python -m keeptrusts_operator.plugin`."""

from keeptrusts_operator.plugin.entry import main

main()
