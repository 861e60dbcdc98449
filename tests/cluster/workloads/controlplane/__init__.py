"""A stand-in for the vendor's control plane: the part of its documented API that the operator and gateways use."""
