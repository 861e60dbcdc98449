"""The passthrough revision of an active one: the same pods with another document, kept apart by its labels."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.render import children
from keeptrusts_operator.render.children import Obj
from keeptrusts_operator.render.revision import content_hash


def passthrough_revision(active: str, document: Any) -> str:
    """Its address: which revision it is a passthrough of, and the document."""
    return content_hash({"passthroughOf": active, "document": document})


def passthrough_children(
    gateway: Mapping[str, Any], active: str, rendering: Obj, document: Any, config_file: str
) -> tuple[Obj, Obj]:
    """ConfigMap and Deployment, made of the stored rendering of the active revision: its template, whatever `spec` says
    by now. `config_file` is only its last part's name."""
    owner, revision = gateway["metadata"]["name"], passthrough_revision(active, document)
    deployment = copy.deepcopy(rendering)
    name, labels = children.child_name(owner, revision), _labels(owner, revision)
    deployment["metadata"] = {**deployment["metadata"], "name": name, "labels": labels}
    deployment["metadata"]["ownerReferences"] = [children.owner_reference(gateway)]
    spec = deployment["spec"]
    spec["selector"]["matchLabels"][names.LABEL_REVISION] = revision
    metadata = spec["template"]["metadata"]
    metadata["labels"] = {**metadata["labels"], **labels}
    for volume in spec["template"]["spec"]["volumes"]:
        if volume["name"] == children.VOLUME:
            volume["configMap"]["name"] = name
    config_map = children.config_map(gateway, revision, document, deployment, config_file)
    config_map["metadata"]["labels"] = labels
    return config_map, deployment


def _labels(owner: str, revision: str) -> dict[str, str]:
    return {**children.labels(owner, revision), names.LABEL_EXPOSURE: names.EXPOSURE_STANDBY}
