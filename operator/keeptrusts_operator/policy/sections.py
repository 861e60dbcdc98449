"""Field tables of what surrounds the policy kinds: pack, providers, and the optional sections."""

from __future__ import annotations

from collections.abc import Mapping

from keeptrusts_operator.policy.fields import (
    ANY,
    BOOLEAN,
    COUNT,
    INTEGER,
    LIST,
    MAPPING,
    NUMBER,
    POSITIVE,
    STRING,
    STRINGS,
    Field,
    list_of,
    mapping,
    one_of,
    required,
    text,
)

PACK: Mapping[str, Field] = {
    "name": required(text(200, non_empty=True)),
    "version": required(STRING),  # its form is checked by pack.py
    "enabled": required(BOOLEAN),
    "id": text(200, non_empty=True),
    "author": text(200),
    "description": text(2000),
}

TARGET: Mapping[str, Field] = {
    "id": STRING,
    "provider": STRING,  # an open set: also `vendor:chat:model`
    "model": STRING,
    "base_url": STRING,
    "format": STRING,
    "provider_type": STRING,
    "path_template": STRING,
    "secret_key_ref": ANY,  # checked by secrets.py, like the literal api_key
    "api_key": ANY,
    "api_key_header": STRING,
    "api_key_prefix": STRING,
    "data_policy": mapping({"zero_data_retention": BOOLEAN, "training_opt_out": BOOLEAN, "retention_days": COUNT}),
    "zdr": BOOLEAN,
    "data_collection": one_of("allow", "deny"),
    "escalation_routing": ANY,  # checked by secrets.py
}

ROUTING = mapping({"strategy": STRING})  # an open set
FALLBACK = mapping({"triggers": STRINGS, "max_fallback_attempts": COUNT})

PROVIDERS: Mapping[str, Field] = {
    "targets": LIST,  # entries are checked one by one
    "routing": ROUTING,
    "fallback": FALLBACK,
    "circuit_breaker": MAPPING,
}

_WINDOW = {"max_requests": required(POSITIVE), "window_seconds": required(POSITIVE)}

SECTIONS: Mapping[str, Field] = {
    "testing": mapping(
        {
            "default_threshold": NUMBER,
            "suites": list_of(
                mapping({"name": required(STRING), "cases": required(LIST), "description": STRING, "assertions": LIST})
            ),
            "plugins": LIST,
            "strategies": LIST,
        }
    ),
    "loads": mapping(
        {
            "enabled": BOOLEAN,
            "backend": one_of("api", "memory"),
            "recall_top_k": COUNT,
            "write_mode": one_of("full", "read_only", "metadata_only"),
            "timeout_ms": COUNT,
            "fail_open": BOOLEAN,
        }
    ),
    "history": mapping(
        {
            "enabled": BOOLEAN,
            "mode": STRING,
            "include_blocked": BOOLEAN,
            "retention_days": COUNT,
            "fail_open": BOOLEAN,
        }
    ),
    "callbacks": list_of(mapping({"type": STRING})),
    "health_monitor": ANY,
    "global_rate_limit": mapping(_WINDOW),
    "ip_rate_limit": mapping({**_WINDOW, "trust_proxy_depth": COUNT}),
    "user_rate_limit": mapping({**_WINDOW, "header_names": STRINGS}),
    "token_rate_limit": mapping({"max_tokens": POSITIVE, "window_seconds": POSITIVE, "scope": STRING}),
    "size_limits": mapping({"max_body_bytes": COUNT, "max_response_bytes": COUNT}),
    "consumer_groups": list_of(
        mapping(
            {
                "name": STRING,
                "api_key": ANY,
                "rate_limits": mapping(
                    {"requests_per_minute": COUNT, "tokens_per_minute": COUNT, "tokens_per_day": COUNT}
                ),
                "allowed_models": STRINGS,
            }
        )
    ),
    "agents": ANY,
    "provider_routing": ROUTING,
    "provider_fallback": FALLBACK,
    "gateway": mapping(
        {
            "logging": mapping({"level": STRING, "format": STRING, "log_bodies": BOOLEAN, "redact_fields": STRINGS}),
            "retry": MAPPING,
            "port": INTEGER,
            "secret_key_ref": ANY,
        }
    ),
}
"""The documented optional top-level sections; the documentation of most of them has gaps."""
