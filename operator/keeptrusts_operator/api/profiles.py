"""The gateways known by name. A profile holds defaults only: each of its values can be set in the API."""

from collections.abc import Mapping
from types import MappingProxyType

from keeptrusts_operator.api.gateway import (
    Decisions,
    GatewaySettings,
    HealthPaths,
    Latency,
    LoadedConfig,
    MetricsSettings,
    Profile,
    ProviderErrors,
)

KEEPTRUSTS = GatewaySettings(
    profile=Profile.KEEPTRUSTS,
    port=41002,
    config_file="/etc/keeptrusts/policy-config.yaml",
    # The image's entrypoint is the binary. `block` is what happens when a policy fails to run, not when it decides.
    args=(
        *("gateway", "run", "--listen", "0.0.0.0:$(PORT)"),
        *("--policy-config", "$(CONFIG_FILE)", "--fail-mode", "block"),
    ),
    # No liveness path: /health turns bad with its providers, and must not restart every gateway at once.
    health=HealthPaths(liveness="", readiness="/health", status="/health"),
    loaded_config=LoadedConfig(path="/keeptrusts/config", name="/pack/name", version="/pack/version"),
    chat_path="/v1/chat/completions",
    blocked_status=(409,),
    metrics=MetricsSettings(
        path="/metrics",
        decisions=Decisions(
            counter="keeptrusts_decisions_total",
            label="decision",
            # The vendor's pages disagree on block and blocked (allow and allowed, …): both are counted.
            blocked=("block", "blocked"),
            allowed=("allow", "allowed"),
            redacted=("redact", "redacted"),
            escalated=("escalate", "escalated"),
        ),
        latency=Latency(histogram="keeptrusts_request_duration_seconds"),
        # The vendor documents no metric of provider errors; a guessed one that is absent would look like "no errors".
        provider_errors=None,
    ),
)

FERRO = GatewaySettings(
    profile=Profile.FERRO,
    port=8080,
    config_file="/etc/ferro/config.yaml",
    args=("serve",),
    env=MappingProxyType({"GATEWAY_CONFIG": "$(CONFIG_FILE)", "PORT": "$(PORT)"}),
    health=HealthPaths(liveness="/livez", readiness="/readyz", status="/health"),
    loaded_config=None,
    chat_path="/v1/chat/completions",
    blocked_status=(400,),
    metrics=MetricsSettings(
        path="/metrics",
        decisions=Decisions(
            counter="gateway_requests_total", label="status", blocked=("rejected",), allowed=("success",)
        ),
        latency=Latency(histogram="gateway_request_duration_seconds"),
        provider_errors=ProviderErrors(counter="gateway_requests_total", label="status", values=("error",)),
    ),
)

CUSTOM = GatewaySettings(
    profile=Profile.CUSTOM, port=0, config_file="", args=(), metrics=MetricsSettings(path="/metrics")
)
"""Presets nothing: `port`, `config_file` and `args` come from the user or the spec is refused."""

PROFILES: Mapping[Profile, GatewaySettings] = MappingProxyType(
    {profile.profile: profile for profile in (KEEPTRUSTS, FERRO, CUSTOM)}
)
