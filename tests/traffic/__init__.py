"""Many clients that ask a gateway at a set rate, and what became of each request."""
