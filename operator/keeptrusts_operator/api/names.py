"""Names that other people's tools see: group, kinds, labels, annotations. Changing one is an API change."""

from dataclasses import dataclass
from enum import StrEnum

GROUP = "gateway.keeptrusts.com"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
PREFIX = f"{GROUP}/"
"""Labels and annotations that begin with this belong to the operator."""


@dataclass(frozen=True)
class Kind:
    kind: str
    plural: str
    singular: str
    short: str


GATEWAY_POLICY = Kind("GatewayPolicy", "gatewaypolicies", "gatewaypolicy", "gwp")
GATEWAY_DEPLOYMENT = Kind("GatewayDeployment", "gatewaydeployments", "gatewaydeployment", "gwd")
GATEWAY_INCIDENT = Kind("GatewayIncident", "gatewayincidents", "gatewayincident", "gwi")
KINDS = (GATEWAY_POLICY, GATEWAY_DEPLOYMENT, GATEWAY_INCIDENT)

CATEGORY = "keeptrusts"
FIELD_MANAGER = "keeptrusts-operator"
MAX_NAME = 50
"""Longest name of a GatewayDeployment: children are called `<name>-<10 hex digits>` and must fit a label value (63)."""
GATEWAY_CONTAINER = "gateway"

LABEL_DEPLOYMENT = f"{PREFIX}deployment"
LABEL_REVISION = f"{PREFIX}revision"
LABEL_EXPOSURE = f"{PREFIX}exposure"
LABEL_READABLE = f"{PREFIX}readable-by-operator"
"""A Secret is read only with this label set to "true"."""

EXPOSURE_LIVE = "live"
EXPOSURE_STANDBY = "standby"
ADOPTED_REVISION = "adopted"

# On the Service, written together with its selector.
ANNOTATION_ROLLOUT_ID = f"{PREFIX}rollout-id"
ANNOTATION_EXPOSURE_REASON = f"{PREFIX}exposure-reason"
ANNOTATION_TRIPPED_REVISION = f"{PREFIX}tripped-revision"

# On a GatewayDeployment, written by people with a request. A change of one of these alone is never a request.
ANNOTATION_REASON = f"{PREFIX}reason"
ANNOTATION_SCOPE = f"{PREFIX}scope"
ANNOTATION_TICKET = f"{PREFIX}ticket"


class Verb(StrEnum):
    """What people can ask for by annotating a GatewayDeployment."""

    EMERGENCY_PASSTHROUGH = "emergency-passthrough"
    APPROVE_PASSTHROUGH = "approve-passthrough"
    ROLLBACK = "rollback"
    PROMOTE = "promote"
    PAUSE = "pause"
    RETRY = "retry"
    RESTART = "restart"

    @property
    def annotation(self) -> str:
        """The annotation that carries the request's value."""
        return f"{PREFIX}{self.value}"

    @property
    def requested_by_annotation(self) -> str:
        """Who asked; stamped at admission."""
        return f"{PREFIX}{self.value}-requested-by"

    @property
    def request_id_annotation(self) -> str:
        """Which request this is; stamped at admission."""
        return f"{PREFIX}{self.value}-request-id"
