"""The Kubernetes API: a narrow port, and its implementation over the official client."""
