"""Servers beside the gateways of a test cluster: what is asked, and what they are told to do."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

CONTROL_PLANE_ADDRESS = "10.245.0.81"  # as in workloads/controlplane.yaml
CONTROL_PLANE = f"http://{CONTROL_PLANE_ADDRESS}:8080"
TOKEN_REF = {"name": "plane", "key": "token"}  # in a namespace that has `readable_token`


def readable_token() -> list[dict[str, Any]]:
    """The control plane's token, and the operator's leave to read it, as a namespace's owner gives it."""
    name, group = {"name": "keeptrusts-operator-secrets"}, "rbac.authorization.k8s.io"
    labels = {"gateway.keeptrusts.com/readable-by-operator": "true"}
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    operator = {"kind": "ServiceAccount", "name": "keeptrusts-operator", "namespace": "keeptrusts-system"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": TOKEN_REF["name"], "labels": labels},
            "stringData": {TOKEN_REF["key"]: "stand-in-token"},
        },
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": name, "rules": [rule]},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": name,
            "roleRef": {"apiGroup": group, "kind": "Role", **name},
            "subjects": [operator],
        },
    ]


def wish(url: str, **wanted: str) -> None:
    """Tell a stand-in how to behave from now on, e.g. `CONTROL_PLANE/faults`, fault="hang"."""
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(wanted).encode()), timeout=5) as answer:
        assert answer.status == 200
