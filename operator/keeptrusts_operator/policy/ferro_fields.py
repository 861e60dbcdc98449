"""Field tables of the Ferro gateway, complete: as `ferrogw validate` 1.5.10 accepts them."""

from __future__ import annotations

from collections.abc import Mapping

from keeptrusts_operator.policy.fields import (
    BOOLEAN,
    INTEGER,
    LIST,
    NUMBER,
    Field,
    integer,
    list_of,
    map_of,
    mapping,
)

# The gateway reads a number or boolean as a string where it expects one.
WORD = Field("Scalar")
WORDS = list_of(WORD)

_RULE = {"target_key": WORD, "target_keys": WORDS, "value": WORD}
_STATUS_CODES = list_of(integer(100, 599))
_COUNT = integer(0)
_SLOTS = integer(0, 10_000)

STRATEGY: Mapping[str, Field] = {
    "mode": WORD,
    "conditions": list_of(mapping({**_RULE, "key": WORD, "field": WORD}, complete=True)),
    "content_conditions": list_of(mapping({**_RULE, "type": WORD}, complete=True)),
    "ab_variants": list_of(mapping({"target_key": WORD, "weight": NUMBER, "label": WORD}, complete=True)),
    "failover_on_status_codes": _STATUS_CODES,
    "sticky": mapping({"on": WORD, "ttl": WORD}, complete=True),
    "unpriced_strategy": WORD,
}

TARGET: Mapping[str, Field] = {
    "virtual_key": WORD,
    "weight": NUMBER,
    "models": WORDS,
    "model_map": map_of(WORD),
    "timeout": WORD,
    "retry": mapping(
        {"attempts": _COUNT, "on_status_codes": _STATUS_CODES, "initial_backoff_ms": _COUNT}, complete=True
    ),
    "circuit_breaker": mapping(
        {
            "failure_threshold": integer(1),
            "success_threshold": integer(1),
            "max_half_threshold": integer(1),
            "timeout": WORD,
        },
        complete=True,
    ),
    "concurrency": mapping({"max_concurrency": integer(1, 10_000), "queue_size": _SLOTS}, complete=True),
}

PLUGIN: Mapping[str, Field] = {
    "name": WORD,
    "id": WORD,
    "type": WORD,
    "stage": WORD,
    "enabled": BOOLEAN,
    "config": mapping(),
}

MCP_SERVER: Mapping[str, Field] = {
    "name": WORD,
    "url": WORD,
    "command": WORD,
    "args": WORDS,
    "env": map_of(WORD),
    "headers": map_of(WORD),
    "allowed_tools": WORDS,
    "max_call_depth": INTEGER,
    "required": BOOLEAN,
    "timeout_seconds": INTEGER,
}

_TRACING = mapping(
    {
        "enabled": BOOLEAN,
        "endpoint": WORD,
        "protocol": WORD,
        "service_name": WORD,
        "sample_ratio": NUMBER,
        "privacy_level": WORD,
        "shutdown_grace": WORD,
        "headers": map_of(WORD),
        "attempt_spans": BOOLEAN,
        "propagate_passthrough": BOOLEAN,
    },
    complete=True,
)
_EXPORTER = mapping({"name": WORD, "enabled": BOOLEAN, "config": mapping()}, complete=True)

TOP_LEVEL: Mapping[str, Field] = {
    "apiVersion": WORD,
    "strategy": mapping(STRATEGY, complete=True),
    "targets": LIST,  # entries are checked one by one
    "plugins": LIST,
    "mcp_servers": LIST,
    "max_request_bytes": INTEGER,
    "request_timeout": WORD,
    "aliases": map_of(WORD),
    "observability": mapping({"tracing": _TRACING, "exporters": list_of(_EXPORTER)}, complete=True),
    "compatibility": mapping({"on_unsupported_param": WORD}, complete=True),
    "batch_target": WORD,
    "responses_target": WORD,
}

MODES = (
    "single",
    "fallback",
    "load-balance",
    "loadbalance",
    "conditional",
    "least-latency",
    "cost-optimized",
    "content-based",
    "ab-test",
)

PROVIDERS = (
    "ai21",
    "anthropic",
    "azure-foundry",
    "azure-openai",
    "bedrock",
    "cerebras",
    "cloudflare",
    "cohere",
    "databricks",
    "deepinfra",
    "deepseek",
    "fireworks",
    "gemini",
    "groq",
    "hugging-face",
    "mistral",
    "moonshot",
    "novita",
    "nvidia-nim",
    "ollama",
    "ollama-cloud",
    "openai",
    "openrouter",
    "perplexity",
    "qwen",
    "replicate",
    "sambanova",
    "together",
    "vertex-ai",
    "xai",
)
