"""Which hosts may be sent a token: only those that the operator's own settings name."""

from __future__ import annotations

import pytest

from keeptrusts_operator.api.references import NotReadable, Token, Unread
from keeptrusts_operator.gateways.credentials import AllowedHosts, headers_of, why_not

FIELD = "spec.controlPlane.url"


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        (["api.example.com"], "https://api.example.com"),
        (["api.example.com"], "https://api.example.com/base"),
        (["api.example.com"], "https://API.Example.com.:8443/"),
        (["API.example.com "], "http://api.example.com"),
        (["api.example.com:443"], "https://api.example.com"),
        (["prometheus.monitoring.svc:9090"], "http://prometheus.monitoring.svc:9090"),
        (["10.0.0.7"], "http://10.0.0.7:80"),
        (["[fd00::1]"], "http://[fd00::1]:8080"),
        (["a.example", "b.example"], "https://b.example"),
    ],
)
def test_hosts_on_the_list_may(hosts: list[str], url: str) -> None:
    assert AllowedHosts.of(hosts).refusal(url, FIELD) == ""


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example",
        "https://api.example.com.evil.example",
        "https://evil.example/api.example.com",
        "https://evil.example?api.example.com",
        "https://api.example.com@evil.example",
        "https://evil.example@api.example.com",
        "https://api.example.com\\@evil.example",
        "https://evil.example#@api.example.com",
        "https://api.example.com%2eevil.example",
        "https://xapi.example.com",
        "https://only-443.example:8443",
        "http://only-443.example",
        "https://",
        "https://[::1",
        "https://:443/",
        "https://api.example.com:99999999",
    ],
)
def test_no_other_host_may(url: str) -> None:
    assert AllowedHosts.of(["api.example.com", "only-443.example:443"]).refusal(url, FIELD)


def test_the_refusal_says_what_to_do() -> None:
    assert AllowedHosts().refusal("https://api.example.com/x", FIELD) == (
        "spec.controlPlane.url: no token is sent to api.example.com; if it may be, start the operator with "
        "--allow-host=api.example.com"
    )


@pytest.mark.parametrize(
    "host", ["https://api.example.com", "api.example.com/x", "a b", "*", "*.example.com", "a:b", "-"]
)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="is not a host"):
        AllowedHosts.of([host])


def test_only_a_token_becomes_a_header() -> None:
    assert headers_of(Token("abc")) == {"Authorization": "Bearer abc"}
    for none in (None, NotReadable("no"), Unread("down")):
        assert headers_of(none) == {}
    assert [why_not(c) for c in (None, Token("abc"), NotReadable("no"), Unread("down"))] == ["", "", "no", "down"]
