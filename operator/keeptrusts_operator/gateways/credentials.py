"""Where tokens may be sent, and how.

A gateway's own pods always may have the token that their GatewayDeployment names. Any other host must be on the
operator's allow-list: else an object that names a Secret and a URL would turn the operator into a courier.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import httpx

from keeptrusts_operator.api.references import Credential, Token

HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?(:[0-9]{1,5})?|\[[0-9a-f:.]+\](:[0-9]{1,5})?")
PORTS = {"http": 80, "https": 443}
MAX_PORT = 65535


@dataclass(frozen=True)
class AllowedHosts:
    """`--allow-host`: hosts, in lower case, with a port where only that one is allowed; IPv6 in brackets."""

    hosts: frozenset[str] = frozenset()

    @classmethod
    def of(cls, hosts: Iterable[str]) -> AllowedHosts:
        """From what was written; raises ValueError with a sentence."""
        return cls(frozenset(_allowed(h) for h in hosts if h.strip()))

    def refusal(self, url: str, field: str) -> str:
        """Why a token may not be sent to `url`, which the user wrote at `field`; empty when it may.

        Parsed by the library that sends it: two parsers may see two hosts in one URL.
        """
        try:
            parsed = httpx.URL(url)
            host, port = parsed.raw_host.decode("ascii").rstrip("."), parsed.port or PORTS[parsed.scheme]
        except (httpx.InvalidURL, UnicodeError, LookupError):
            return f"{field}: no host and port can be read from this URL"
        if not host or port > MAX_PORT:
            return f"{field}: no host and port can be read from this URL"
        if parsed.userinfo or parsed.query or parsed.fragment:
            return f"{field}: must be a base URL, without user, query and fragment"
        host = f"[{host}]" if ":" in host else host
        if self.hosts.isdisjoint((host, f"{host}:{port}")):
            return f"{field}: no token is sent to {host}; if it may be, start the operator with --allow-host={host}"
        return ""


def headers_of(credential: Credential | None) -> dict[str, str]:
    """Headers of a request: the bearer where there is one."""
    return {"Authorization": f"Bearer {credential.value}"} if isinstance(credential, Token) else {}


def why_not(credential: Credential | None) -> str:
    """Why the token that was named cannot be had; empty when there is one, or none is needed (None)."""
    return "" if credential is None or isinstance(credential, Token) else credential.message


def _allowed(written: str) -> str:
    host = written.strip().lower()
    if not HOST.fullmatch(host):
        raise ValueError(f"{written!r} is not a host; write e.g. api.keeptrusts.com or prometheus.monitoring.svc:9090")
    return host
