"""Values made from a schema: others that are legal, the outermost that are legal, and ones that are not."""

import re
from collections.abc import Iterator
from typing import Any

from keeptrusts_operator.api.quantities import (
    DECIMAL_PATTERN,
    DURATION_PATTERN,
    PERCENT_PATTERN,
    WHOLE_PERCENT_PATTERN,
)

Schema = dict[str, Any]
_QUANTITIES = {DURATION_PATTERN: "7m", PERCENT_PATTERN: "3%", DECIMAL_PATTERN: "0.05", WHOLE_PERCENT_PATTERN: "7%"}


def another(schema: Schema, value: Any) -> Any:
    """A legal value that is not `value`."""
    if "enum" in schema:
        return next(item for item in schema["enum"] if item != value)
    if schema.get("x-kubernetes-int-or-string"):
        return 7
    kind = schema["type"]
    if kind == "boolean":
        return not value
    if kind == "integer":
        return value + 1
    if kind == "array":
        return [*value, another(schema["items"], value[0])]
    if kind == "object":
        return {**value, "another": "value"}
    return _QUANTITIES.get(schema.get("pattern", ""), f"{value}x")


def outermost(schema: Schema) -> Iterator[Any]:
    """The smallest and the largest legal values, as far as they can be told from the schema."""
    if "additionalProperties" in schema:
        yield from ({"key": value} for value in outermost(schema["additionalProperties"]))
    if "enum" in schema or schema.get("type") in ("boolean", "object"):
        return
    if schema.get("type") == "integer" or schema.get("x-kubernetes-int-or-string"):
        yield from (schema["minimum"], schema["maximum"])
    elif schema["type"] == "array":
        item = schema["items"]
        if item["type"] == "string":
            yield [f"v{i}" for i in range(schema["maxItems"])]
            yield from ([value] for value in outermost(item))
        elif item["type"] == "integer":
            yield [item["minimum"] + i for i in range(schema["maxItems"])]
    else:
        yield from _texts_of_length(schema, schema["maxLength"])


def illegal(schema: Schema) -> Iterator[Any]:
    """One value for each limit of the schema, just beyond it."""
    if schema.get("x-kubernetes-int-or-string"):
        yield from (-1, schema["maximum"] + 1, 1.5, True, "101%", "-1%", "7", [])
    elif "enum" in schema:
        yield from ("Nope", 3, [])
    elif schema["type"] == "boolean":
        yield from ("true", 1)
    elif schema["type"] == "integer":
        yield from (schema["minimum"] - 1, schema["maximum"] + 1, "3", 1.5, True)
    elif schema["type"] == "string":
        yield from _illegal_strings(schema)
    elif schema["type"] == "array":
        yield from _illegal_lists(schema)
    else:
        yield from _illegal_objects(schema)


def _texts_of_length(schema: Schema, size: int) -> Iterator[str]:
    """Texts that the pattern allows, of any length."""
    texts = [start + "a" * (size - len(start)) for start in ("", "/", "https://")]
    yield from (text for text in texts if re.search(schema.get("pattern", ""), text))


def _illegal_strings(schema: Schema) -> Iterator[Any]:
    yield from (5, {"text": "x"}, "a" * (schema["maxLength"] + 1))
    yield from _texts_of_length(schema, schema["maxLength"] + 1)
    if schema.get("minLength"):
        yield ""
    if "pattern" in schema:
        yield from (text for text in ("", "§", "a b", "A/", "1e3", "-1s") if not re.search(schema["pattern"], text))


def _illegal_lists(schema: Schema) -> Iterator[Any]:
    yield from ({}, "text")
    if schema.get("minItems"):
        yield []
    item = schema["items"]
    if item["type"] == "object":
        yield from (["text"], [{} for _ in range(schema["maxItems"] + 1)])
        return
    is_text = item["type"] == "string"
    yield [f"v{i}" if is_text else item["minimum"] + i for i in range(schema["maxItems"] + 1)]
    yield from ([value] for value in illegal(item))
    if schema.get("x-kubernetes-list-type") == "set":
        yield ["v", "v"] if is_text else [item["minimum"]] * 2


def _illegal_objects(schema: Schema) -> Iterator[Any]:
    yield from ("text", 5, [])
    if "maxProperties" in schema:
        yield {f"key{i}": "value" for i in range(schema["maxProperties"] + 1)}
    if "additionalProperties" in schema:
        yield from ({"key": value} for value in illegal(schema["additionalProperties"]))
