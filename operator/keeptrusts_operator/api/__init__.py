"""The vocabulary of the API in Python: names, quantities and the parsed specs. Pure: standard library only."""
