"""Gateways as they speak over HTTP."""
