"""Servers beside the gateways of a test cluster: what is asked, and what they are told to do."""

from __future__ import annotations

import json
import urllib.request

CONTROL_PLANE_ADDRESS = "10.245.0.81"  # as in workloads/controlplane.yaml
CONTROL_PLANE = f"http://{CONTROL_PLANE_ADDRESS}:8080"


def wish(url: str, **wanted: str) -> None:
    """Tell a stand-in how to behave from now on, e.g. `CONTROL_PLANE/faults`, fault="hang"."""
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(wanted).encode()), timeout=5) as answer:
        assert answer.status == 200
