"""Policies and GatewayDeployments for tests, in few words."""

from __future__ import annotations

import copy
from typing import Any

from tests.demo import objects as demo

Obj = dict[str, Any]


def document(version: str = "1.0.0", *, description: str = "", term: str = "project phoenix") -> Obj:
    """A valid document; `description` may ask for a test mode."""
    out = copy.deepcopy(demo.STANDIN.document)
    out["pack"]["version"] = version
    if description:
        out["pack"]["description"] = description
    out["policy"]["dlp-filter"]["blocked_terms"] = [term]
    del out["providers"]["targets"][0]["base_url"]  # the stand-in answers itself
    return out


def policy(config: Obj | None = None, **spec: Any) -> Obj:
    body = spec or {"config": config or document()}
    return {
        "apiVersion": "gateway.keeptrusts.com/v1alpha1",
        "kind": "GatewayPolicy",
        "metadata": {"name": "support"},
        "spec": body,
    }


def gateway(name: str = "gw", **spec: Any) -> Obj:
    """Two replicas, one short step, a short soak. Nobody judges it: tests of the mechanics have no traffic to judge by."""
    base = copy.deepcopy(demo.deployment(demo.STANDIN)["spec"])
    base["template"]["spec"]["terminationGracePeriodSeconds"] = 2
    base.update(
        policyRef={"name": "support"},
        replicas=2,
        rollout={
            "steps": [{"weight": "33%", "minDuration": "2s"}],
            "soak": {"duration": "2s"},
            "drainSeconds": 1,
            "connectionDrainTimeout": "2s",
        },
        circuitBreaker={"mode": "Off"},
    )
    base.update(spec)
    return {
        "apiVersion": "gateway.keeptrusts.com/v1alpha1",
        "kind": "GatewayDeployment",
        "metadata": {"name": name},
        "spec": base,
    }


def config_map(text: str, name: str = "source", key: str = "policy-config.yaml") -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: text}}
