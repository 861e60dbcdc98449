"""Documents that tests start from."""

from __future__ import annotations

import copy
from typing import Any

MINIMAL = """\
pack:
  name: support-gateway
  version: 1.0.0
  enabled: true
policies:
  chain: [prompt-injection, pii-detector, audit-logger]
policy:
  prompt-injection: {}
  pii-detector: {action: redact}
  audit-logger: {retention_days: 365}
providers:
  targets:
    - id: openai-primary
      provider: openai
      model: gpt-4o-mini
      base_url: https://api.openai.com
      secret_key_ref: {env: OPENAI_API_KEY}
"""

ACTIONS = """\
gateway: {port: 41002, secret_key_ref: {env: GATEWAY_KEY}}
policies:
  - name: inbound
    input: [{type: prompt-injection, action: block}, {type: pii-detector, action: redact}]
  - name: outbound
    output: [{type: dlp-filter, action: flag}]
"""

FERRO = """\
strategy: {mode: single}
targets: [{virtual_key: openai}]
plugins:
  - name: word-filter
    type: guardrail
    stage: before_request
    enabled: true
    config: {blocked_words: [classified], case_sensitive: false}
"""

REMOVE = object()


def changed(document: dict[str, Any], *changes: tuple[str, object]) -> dict[str, Any]:
    """A copy with values set (or removed) at `/`-separated paths; missing mappings are created."""
    result = copy.deepcopy(document)
    for path, value in changes:
        place: Any = result
        *parents, last = path.split("/")
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        key: Any = int(last) if isinstance(place, list) else last
        if value is REMOVE:
            del place[key]
        else:
            place[key] = value
    return result
