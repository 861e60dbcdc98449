"""A real single-node Kubernetes for tests and the demo: `python -m tests.cluster --help`."""
