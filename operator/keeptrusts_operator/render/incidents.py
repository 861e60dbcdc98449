"""GatewayIncidents: evidence that outlives the object it is about."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.api.quantities import format_time
from keeptrusts_operator.core.actions import RecordIncident

MESSAGE_LIMIT, EVENT_LIMIT = 4096, 2048  # characters, as the CRD allows

Obj = dict[str, Any]


def incident_name(owner: str, record: RecordIncident) -> str:
    """By when it began; a passthrough, which may begin in the very second of a trip or of another one, by its request."""
    request = str(record.passthrough.get("requestId", ""))
    kind = f"-bypass-{sha256(request.encode()).hexdigest()[:5]}" if record.type == "Passthrough" else ""
    return f"{owner}-{record.started_at:%Y%m%d-%H%M%S}{kind}"


def incident(gateway: Mapping[str, Any], record: RecordIncident) -> Obj:
    """The incident with its status. Its name comes from when it began, so that writing it twice is writing it once."""
    metadata = gateway["metadata"]
    status: Obj = {
        "type": record.type,
        "phase": record.phase,
        "deploymentRef": {"name": metadata["name"], "uid": metadata["uid"]},
        "revision": record.revision,
        "startedAt": format_time(record.started_at),
        "message": record.message[:MESSAGE_LIMIT],
        "timeline": [
            {"at": format_time(at), "source": names.FIELD_MANAGER, "event": event[:EVENT_LIMIT]}
            for at, event in record.timeline
        ],
    }
    if record.policy_hash:
        status["policyHash"] = record.policy_hash
    if record.passthrough:
        status["passthrough"] = dict(record.passthrough)
    if record.evidence:
        status["evidence"] = dict(record.evidence)
    if record.ended_at:
        status["endedAt"] = format_time(record.ended_at)
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.GATEWAY_INCIDENT.kind,
        "metadata": {  # no owner reference
            "name": incident_name(metadata["name"], record),
            "namespace": metadata["namespace"],
            "labels": {names.LABEL_DEPLOYMENT: metadata["name"]},
        },
        "spec": {},
        "status": status,
    }
