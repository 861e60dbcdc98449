"""`kubectl keeptrusts`: the story of a gateway in a terminal, and the requests of people with their outcome.

Reads the API and writes annotations of requests on GatewayDeployments, nothing else; the operator does the rest.
"""
