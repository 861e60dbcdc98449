"""How a gateway is run and read: spec.gateway, after its profile and its overrides have been put together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from keeptrusts_operator.api.references import ConfigMapKeyRef, SecretKeyRef


class Profile(StrEnum):
    KEEPTRUSTS = "Keeptrusts"
    FERRO = "Ferro"
    CUSTOM = "Custom"


class Scheme(StrEnum):
    HTTP = "http"
    HTTPS = "https"


class CountedAt(StrEnum):
    """When a request enters the decision counter; allowed answers may complete long after they arrived."""

    COMPLETION = "Completion"
    ARRIVAL = "Arrival"


@dataclass(frozen=True)
class HealthPaths:
    """HTTP paths on the gateway's port. Empty liveness or readiness: a TCP probe. Empty status: not read."""

    liveness: str = ""
    readiness: str = ""
    status: str = ""


@dataclass(frozen=True)
class LoadedConfig:
    """Where a gateway tells which config it runs: an HTTP path, and JSON pointers into the answer."""

    path: str
    name: str
    version: str


@dataclass(frozen=True)
class Decisions:
    """A counter of decisions, and which values of one of its labels mean what (compared without case)."""

    counter: str
    label: str
    blocked: tuple[str, ...]
    allowed: tuple[str, ...]
    redacted: tuple[str, ...] = ()
    escalated: tuple[str, ...] = ()
    flagged: tuple[str, ...] = ()  # a policy found something and let it pass
    counted_at: CountedAt = CountedAt.COMPLETION


@dataclass(frozen=True)
class Latency:
    """A histogram of seconds; the name without `_bucket`."""

    histogram: str


@dataclass(frozen=True)
class ProviderErrors:
    counter: str
    label: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class MetricsSettings:
    """What to scrape; None: this gateway does not tell."""

    path: str = "/metrics"
    decisions: Decisions | None = None
    latency: Latency | None = None
    provider_errors: ProviderErrors | None = None


@dataclass(frozen=True)
class GatewaySettings:
    """A profile with the user's overrides applied. `args` and `env` still contain $(CONFIG_FILE) and $(PORT).

    `env` belongs to the profile and cannot be set in the API: users write theirs in the pod template.
    Empty `chat_path`: behaviour tests cannot be sent. `loaded_config` None: the gateway does not tell.
    """

    profile: Profile
    port: int
    config_file: str
    args: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    scheme: Scheme = Scheme.HTTP
    ca_bundle_ref: ConfigMapKeyRef | None = None
    health: HealthPaths = HealthPaths()
    loaded_config: LoadedConfig | None = None
    chat_path: str = ""
    blocked_status: tuple[int, ...] = ()
    authorization: SecretKeyRef | None = None
    metrics: MetricsSettings = MetricsSettings()
