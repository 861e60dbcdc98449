"""A stand-in for the vendor's gateway: speaks its documented contract, decides deterministically from the document."""
