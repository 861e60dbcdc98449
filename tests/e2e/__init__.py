"""Tests on a real cluster, as a user would see it: `make e2e`."""
