"""The address of a revision: a hash over what the user wrote, and nothing else.

No defaults, no replicas, no metadata: an upgrade of the operator or of a CRD default restarts nothing, and moving a
document from the policy into a ConfigMap changes nothing. Golden values in the tests guard it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from keeptrusts_operator.policy.document import canonical_json

HASH_LENGTH = 10
REACHES_PODS = ("profile", "port", "configFile", "args", "scheme")
REACHES_PROBES = ("livenessPath", "readinessPath")


def revision_of(document: Any, template: Mapping[str, Any], gateway: Mapping[str, Any]) -> str:
    """First 10 hex digits of the sha256 over document, pod template and the gateway settings that reach pods.

    `template` and `gateway` are `spec.template` and `spec.gateway` as written.
    """
    settings: dict[str, Any] = {key: gateway[key] for key in REACHES_PODS if key in gateway}
    probes = {k: v for k, v in gateway.get("health", {}).items() if k in REACHES_PROBES}
    if probes:
        settings["health"] = probes
    return _digest({"document": document, "template": template, "gateway": settings})


def policy_hash_of(document: Any, policy: Mapping[str, Any]) -> str:
    """Hash of what a policy decides and what it was tested for: a trip quarantines this.

    `policy` is the GatewayPolicy's `spec`.
    """
    reviewed = {
        key: policy[key] for key in ("tests", "expectedBlockRateIncrease", "expectedBlockRateDecrease") if key in policy
    }
    return _digest({"document": document, **reviewed})


def content_hash(value: Any) -> str:
    """Hash of any JSON value; compares what the API server holds with what it held before."""
    return _digest(value)


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:HASH_LENGTH]
