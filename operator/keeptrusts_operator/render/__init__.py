"""Children as pure functions: what the user wrote in, Kubernetes objects out."""
