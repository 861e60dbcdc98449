"""One script of API calls, and what a real API server answered: the simulated API must answer the same."""
