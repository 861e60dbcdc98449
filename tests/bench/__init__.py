"""The published numbers: `make bench`."""
