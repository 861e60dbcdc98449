"""The block-rate breaker under simulated traffic: `python -m tests.breaker` prints what it held, row by row."""
