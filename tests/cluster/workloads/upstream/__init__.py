"""A small OpenAI-compatible upstream with settable latency."""
