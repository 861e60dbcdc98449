"""From what the user wrote under spec.gateway to settings: the profile's values, overridden one by one."""

from dataclasses import replace

from keeptrusts_operator.api.fields import Fields
from keeptrusts_operator.api.formats import (
    ARGUMENT,
    FILE,
    HTTP_PATH,
    METRIC,
    METRIC_LABEL,
    METRIC_VALUE,
    OPTIONAL_HTTP_PATH,
    POINTER,
    Text,
)
from keeptrusts_operator.api.gateway import (
    CountedAt,
    Decisions,
    GatewaySettings,
    HealthPaths,
    Latency,
    LoadedConfig,
    MetricsSettings,
    Profile,
    ProviderErrors,
    Scheme,
)
from keeptrusts_operator.api.profiles import KEEPTRUSTS, PROFILES
from keeptrusts_operator.api.references import (
    ConfigMapKeyRef,
    SecretKeyRef,
    parse_config_map_key_ref,
    parse_secret_key_ref,
)

DEFAULT_CA_KEY = "ca.crt"
MAX_VALUES = 20


def parse_gateway(fields: Fields) -> GatewaySettings:
    preset = PROFILES[fields.choice("profile", KEEPTRUSTS.profile)]
    if preset.profile is Profile.CUSTOM:
        for name in ("port", "configFile", "args"):
            if not fields.has(name):
                fields.fail("is required with profile: Custom, which presets nothing", name)
    scheme = fields.choice("scheme", preset.scheme)
    return replace(
        preset,
        port=fields.integer("port", preset.port, 1, 65_535),
        config_file=fields.string("configFile", preset.config_file, FILE),
        args=fields.strings("args", preset.args, 64, ARGUMENT, unique=False),
        scheme=scheme,
        ca_bundle_ref=_parse_ca_bundle(fields, scheme),
        health=_parse_health_paths(fields.child("health"), preset.health),
        loaded_config=_parse_loaded_config(fields, preset),
        chat_path=fields.string("chatPath", preset.chat_path, OPTIONAL_HTTP_PATH),
        blocked_status=fields.integers("blockedStatus", preset.blocked_status, 10, 100, 599),
        authorization=_parse_authorization(fields),
        metrics=_parse_metrics(fields.child("metrics"), preset),
    )


def _parse_ca_bundle(fields: Fields, scheme: Scheme) -> ConfigMapKeyRef | None:
    if not fields.has("caBundleRef"):
        if scheme is Scheme.HTTPS:
            fields.fail("is required with scheme: https; name the ConfigMap that holds the gateway's CA", "caBundleRef")
        return None
    if scheme is Scheme.HTTP:
        fields.fail("is not read with scheme: http; write scheme: https, or remove it", "caBundleRef")
    return parse_config_map_key_ref(fields.child("caBundleRef"), DEFAULT_CA_KEY)


def _parse_authorization(fields: Fields) -> SecretKeyRef | None:
    if not fields.has("authorization"):
        return None
    authorization = fields.child("authorization")
    return parse_secret_key_ref(authorization.required_child("secretKeyRef", "write {name: …, key: …}"))


def _parse_health_paths(fields: Fields, preset: HealthPaths) -> HealthPaths:
    return HealthPaths(
        liveness=fields.string("livenessPath", preset.liveness, OPTIONAL_HTTP_PATH),
        readiness=fields.string("readinessPath", preset.readiness, OPTIONAL_HTTP_PATH),
        status=fields.string("statusPath", preset.status, OPTIONAL_HTTP_PATH),
    )


def _parse_loaded_config(fields: Fields, preset: GatewaySettings) -> LoadedConfig | None:
    if not fields.has("loadedConfig"):
        return preset.loaded_config
    own = fields.child("loadedConfig")
    if own.value.get("path") == "":
        return None
    given = preset.loaded_config
    return LoadedConfig(
        path=_value(own, "path", given.path if given else None, OPTIONAL_HTTP_PATH, preset),
        name=_value(own, "name", given.name if given else None, POINTER, preset),
        version=_value(own, "version", given.version if given else None, POINTER, preset),
    )


def _parse_metrics(fields: Fields, preset: GatewaySettings) -> MetricsSettings:
    return MetricsSettings(
        path=fields.string("path", preset.metrics.path, HTTP_PATH),
        decisions=_parse_decisions(fields, preset),
        latency=_parse_latency(fields, preset),
        provider_errors=_parse_provider_errors(fields, preset),
    )


def _parse_decisions(fields: Fields, preset: GatewaySettings) -> Decisions | None:
    given = preset.metrics.decisions
    if not fields.has("decisions"):
        return given
    own = fields.child("decisions")
    return Decisions(
        counter=_value(own, "counter", given.counter if given else None, METRIC, preset),
        label=_value(own, "label", given.label if given else None, METRIC_LABEL, preset),
        blocked=_values(own, "blocked", given.blocked if given else None, preset),
        allowed=_values(own, "allowed", given.allowed if given else None, preset),
        redacted=own.strings("redacted", given.redacted if given else (), MAX_VALUES, METRIC_VALUE),
        escalated=own.strings("escalated", given.escalated if given else (), MAX_VALUES, METRIC_VALUE),
        flagged=own.strings("flagged", given.flagged if given else (), MAX_VALUES, METRIC_VALUE),
        counted_at=own.choice("countedAt", given.counted_at if given else CountedAt.COMPLETION),
    )


def _parse_latency(fields: Fields, preset: GatewaySettings) -> Latency | None:
    given = preset.metrics.latency
    if not fields.has("latency"):
        return given
    own = fields.child("latency")
    return Latency(histogram=_value(own, "histogram", given.histogram if given else None, METRIC, preset))


def _parse_provider_errors(fields: Fields, preset: GatewaySettings) -> ProviderErrors | None:
    given = preset.metrics.provider_errors
    if not fields.has("providerErrors"):
        return given
    own = fields.child("providerErrors")
    return ProviderErrors(
        counter=_value(own, "counter", given.counter if given else None, METRIC, preset),
        label=_value(own, "label", given.label if given else None, METRIC_LABEL, preset),
        values=_values(own, "values", given.values if given else None, preset),
    )


def _value(fields: Fields, name: str, given: str | None, rule: Text, preset: GatewaySettings) -> str:
    """What the user wrote, else what the profile presets; one of the two must be there."""
    if given is None and not fields.has(name):
        fields.fail(f"is required with profile: {preset.profile}, which presets none", name)
    return fields.string(name, given or "", rule)


def _values(fields: Fields, name: str, given: tuple[str, ...] | None, preset: GatewaySettings) -> tuple[str, ...]:
    if given is None and not fields.has(name):
        fields.fail(f"is required with profile: {preset.profile}, which presets none", name)
    values = fields.strings(name, given or (), MAX_VALUES, METRIC_VALUE)
    if fields.has(name) and not values:
        fields.fail("must have at least one value", name)
    return values
