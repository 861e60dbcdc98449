"""What the operator asks of a Kubernetes API: seven calls on plain objects, and five ways to fail.

The simulation implements the same port in-process, so the loop that is simulated is the loop that runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from keeptrusts_operator.api import names

Obj = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """A kind of object as the API's paths name it; an empty group is the core group."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


SERVICES = Resource("", "v1", "services", "Service")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
PODS = Resource("", "v1", "pods", "Pod")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")
BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
POLICIES = Resource(names.GROUP, names.VERSION, names.GATEWAY_POLICY.plural, names.GATEWAY_POLICY.kind)
GATEWAYS = Resource(names.GROUP, names.VERSION, names.GATEWAY_DEPLOYMENT.plural, names.GATEWAY_DEPLOYMENT.kind)
INCIDENTS = Resource(names.GROUP, names.VERSION, names.GATEWAY_INCIDENT.plural, names.GATEWAY_INCIDENT.kind)


class ApiError(Exception):
    """A call that did not do what it should. `status` is the HTTP status, 0 without an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class NotFound(ApiError):
    """404: there is no such object."""


class Conflict(ApiError):
    """409 or a failed `test`: the object is not as it was seen. Observe again."""


class Refused(ApiError):
    """400 or 422: the object is wrong and will be refused again."""


class Forbidden(ApiError):
    """403: RBAC or an admission policy."""


class Unavailable(ApiError):
    """No answer, a time-out, 429 or 5xx: whether it was done is unknown."""


class Kube(Protocol):
    """The API. Every call may raise an `ApiError`; a namespace of "" means all namespaces."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        """The object; raises NotFound."""
        ...

    async def list(self, resource: Resource, namespace: str, labels: Mapping[str, str] | None = None) -> Sequence[Obj]:
        """Objects that carry all these labels."""
        ...

    async def create(self, resource: Resource, obj: Obj, *, dry_run: bool = False) -> Obj:
        """Create; Conflict when it exists."""
        ...

    async def apply(self, resource: Resource, obj: Obj, *, force: bool = True) -> Obj:
        """Server-side apply as our field manager; with `metadata.resourceVersion` only onto that version. Without force,
        Conflict where a field that somebody else set would change."""
        ...

    async def replace(self, resource: Resource, obj: Obj, *, dry_run: bool = False) -> Obj:
        """PUT; with `metadata.resourceVersion` only onto that version."""
        ...

    async def merge(self, resource: Resource, namespace: str, name: str, patch: Obj, *, subresource: str = "") -> Obj:
        """Merge patch; with `metadata.resourceVersion` in the patch only onto that version."""
        ...

    async def json_patch(self, resource: Resource, namespace: str, name: str, patch: Sequence[Obj]) -> Obj:
        """JSON patch; Conflict when a `test` in it fails."""
        ...

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = "", grace_seconds: int | None = None
    ) -> None:
        """Delete (children in the background); an object that is gone already is no error."""
        ...
