"""The real loop in an in-process world on virtual time: API, pods, gateways, clients. One seed, one run."""
