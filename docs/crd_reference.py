"""Reference pages of the API: one for each kind, from `crds/`, and one for annotations, labels and rights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from keeptrusts_operator.api import names
from keeptrusts_operator.api.names import Kind, Verb
from keeptrusts_operator.api.quantities import (
    DECIMAL_PATTERN,
    DURATION_PATTERN,
    PERCENT_PATTERN,
    WHOLE_PERCENT_PATTERN,
)

HERE = Path(__file__).parent
ROOT = HERE.parent
Schema = Mapping[str, Any]
FORMS = {
    DURATION_PATTERN: "duration (`30s`, `15m`, `1h30m`)",
    PERCENT_PATTERN: "percentage (`10%`, `2.5%`)",
    DECIMAL_PATTERN: 'decimal, quoted (`"1.5"`)',
    WHOLE_PERCENT_PATTERN: "number, or whole percentage (`50%`)",
}
DEFAULT = re.compile(r"\s*Default (none\b.*|\(.*\)|`.*)\.$")
REQUIRED = re.compile(r"\s*Required\b[^.]*\.$")
NOTE = "<!-- generated from {} by `make docs`; do not edit -->"
ANSWERS = {  # value of the request, the right it needs beside `patch` on gatewaydeployments, what it is
    Verb.EMERGENCY_PASSTHROUGH: (
        "a duration, or `off`",
        "`update` on `gatewaydeployments/passthrough`",
        "asks for an emergency passthrough, or ends it; needs `reason`",
    ),
    Verb.APPROVE_PASSTHROUGH: (
        "`status.passthrough.requestId`",
        "`approve` on `gatewaydeployments/passthrough`",
        "the second person agrees",
    ),
    Verb.ROLLBACK: ("a revision, or `previous`", "", "leaves a revision, or goes back to one"),
    Verb.PROMOTE: ("the candidate", "`update` on `gatewaydeployments/override`", "skips what is left of the rollout"),
    Verb.PAUSE: ("`true` or `false`", "", "stops the rollout from advancing; a level, not an event"),
    Verb.RETRY: ("a revision", "`update` on `gatewaydeployments/override`", "takes content out of quarantine"),
    Verb.RESTART: ("anything", "", "replaces the pods that run now, one by one"),
}


def kind_page(kind: Kind) -> str:
    """Every field of one kind, after an annotated example of it."""
    crd = yaml.safe_load((ROOT / "crds" / f"{kind.plural}.yaml").read_text())
    (version,) = crd["spec"]["versions"]
    root = version["schema"]["openAPIV3Schema"]
    example = f"examples/{kind.singular}.yaml"
    lines = [
        f"# {kind.kind}",
        "",
        NOTE.format(f"crds/{kind.plural}.yaml"),
        "",
        root["description"],
        "",
        f"`apiVersion: {names.API_VERSION}`, namespaced, short name `{kind.short}`, category `{names.CATEGORY}`. A default",
        "is the operator's, not the schema's (but for `spec.replicas`): a stored object keeps what was written.",
        "",
        "`kubectl get` shows: " + ", ".join(_column(c) for c in version["additionalPrinterColumns"]) + ".",
        "",
        "## Example",
        "",
        f"[{example}](../{example}):",
        "",
        "```yaml",
        (HERE / example).read_text().rstrip(),
        "```",
    ]
    if rules := _rules(root):
        lines += ["", "## Rules of the whole object", "", *rules]
    for part in ("spec", "status"):
        lines += _sections(part, root["properties"][part])
    return "\n".join(lines) + "\n"


def annotations() -> str:
    """Annotations, labels, and the rights that admission asks for."""
    lines = [
        "# Annotations, labels and rights",
        "",
        NOTE.format("operator/keeptrusts_operator/api/names.py and charts/plain/admission.yaml"),
        "",
        "## Requests",
        "",
        "On a GatewayDeployment, by people. All need `patch` on `gatewaydeployments`; some need a right of their own. A value",
        "may end in `#` and any text, which is ignored: it makes the same request new. What each leads to in each state:",
        "[Requests of people](../requests.md).",
        "",
        "| annotation | value | right of its own | what it does |",
        "|---|---|---|---|",
    ]
    for verb in Verb:
        value, right, does = ANSWERS[verb]
        lines.append(f"| `{verb.annotation}` | {value} | {right} | {does} |")
    lines += [
        f"| `{names.ANNOTATION_REASON}` | text | | why; with a passthrough at least 15 characters |",
        f"| `{names.ANNOTATION_SCOPE}` | policy kinds, by commas | | what a passthrough leaves out (default: all it may) |",
        f"| `{names.ANNOTATION_TICKET}` | text | | where it is tracked; `spec.passthrough.ticketPattern` may require it |",
        "",
        "The last three are no request by themselves. For each verb the API server stamps",
        f"`{names.PREFIX}<verb>-requested-by` and `{names.PREFIX}<verb>-request-id` (Kubernetes 1.36 or newer; before, whoever",
        "asks writes `-requested-by` and admission compares it with the user name).",
        "",
        "## Rights",
        "",
        "ClusterRoles that come with the operator. They are bound in a namespace, by a RoleBinding. Subresources that do not",
        "exist stand for rights, so that RBAC can grant them.",
        "",
        "| ClusterRole | part of | grants |",
        "|---|---|---|",
    ]
    for obj in yaml.safe_load_all((ROOT / "charts" / "plain" / "admission.yaml").read_text()):
        if obj["kind"] == "ClusterRole" and obj["metadata"]["name"].startswith("gateway-"):
            grants = [f"{', '.join(r['verbs'])}: {', '.join(f'`{x}`' for x in r['resources'])}" for r in obj["rules"]]
            parts = [k.rpartition("-")[2] for k in obj["metadata"].get("labels", {}) if "aggregate-to" in k]
            lines.append(f"| `{obj['metadata']['name']}` | {', '.join(parts)} | {'; '.join(grants)} |")
    lines += [
        "",
        "## Labels and annotations that the operator writes",
        "",
        "| on | key | value |",
        "|---|---|---|",
        f"| children, pods | `{names.LABEL_DEPLOYMENT}` | name of the GatewayDeployment |",
        f"| children, pods | `{names.LABEL_REVISION}` | revision; `{names.ADOPTED_REVISION}` for pods of `spec.adoptFrom` |",
        f"| pods | `{names.LABEL_EXPOSURE}` | `{names.EXPOSURE_LIVE}`; `{names.EXPOSURE_STANDBY}` for pods of a passthrough |",
        f"| Service | `{names.ANNOTATION_ROLLOUT_ID}` | which rollout wrote the selector last |",
        f"| Service | `{names.ANNOTATION_EXPOSURE_REASON}` | why |",
        f"| Service | `{names.ANNOTATION_TRIPPED_REVISION}` | the revision that was taken back |",
        "",
        f'People write one label: `{names.LABEL_READABLE}: "true"` on a Secret that the operator may read.',
    ]
    return "\n".join(lines) + "\n"


def _column(column: Mapping[str, Any]) -> str:
    return f"{column['name']}{' (`-o wide`)' if column.get('priority') else ''}"


def _sections(path: str, node: Schema) -> Iterator[str]:
    """A heading and a table for an object, then for each object in it."""
    yield from ("", f"## {path}", "", REQUIRED.sub("", DEFAULT.sub("", node["description"])), "")
    yield from ("| field | type | default | limits | what it is |", "|---|---|---|---|---|")
    required, nested = node.get("required", ()), []
    for name, child in node["properties"].items():
        where = f"{path}.{name}"
        inner = child.get("items", child)
        if inner.get("properties") and not _is_pod_template(where):
            nested.append((where + ("[]" if "items" in child else ""), {**inner, "description": child["description"]}))
        yield _row(name, where, child, name in required)
    if rules := _rules(node):
        yield from ("", "The API server also checks:", "", *rules)
    for where, child in nested:
        yield from _sections(where, child)


def _row(name: str, where: str, node: Schema, required: bool) -> str:
    text = node["description"].replace("|", "\\|")
    default = str(node.get("default", ""))
    if found := DEFAULT.search(text):
        text, default = text[: found.start()], found[1].strip("()")
    if required:
        default, text = "**required**", REQUIRED.sub("", text)
    inner = node.get("items", node)
    shown = f"[`{name}`](#{_anchor(where)})" if inner.get("properties") and not _is_pod_template(where) else f"`{name}`"
    notes = "".join(f" {r[2].upper()}{r[3:]}." for r in _rules(node) if not node.get("properties"))
    return f"| {shown} | {_type(node)} | {default} | {_limits(node)} | {text}{notes} |"


def _anchor(where: str) -> str:
    return re.sub(r"[^\w]", "", where).lower()


def _type(node: Schema) -> str:
    if form := FORMS.get(node.get("pattern", "")):
        return form
    if "enum" in node:
        return " \\| ".join(f"`{value}`" for value in node["enum"])
    if node["type"] == "array":
        return f"list of {_type(node['items'])}"
    if "additionalProperties" in node:
        return "map of string"
    return "time" if node.get("format") == "date-time" else str(node["type"])


def _limits(node: Schema) -> str:
    said = []
    if "minimum" in node or "maximum" in node:
        low, high = node.get("minimum"), node.get("maximum")
        said.append(f"{low} to {high}" if None not in (low, high) else f"at least {low}")
    if "maxItems" in node:
        low = node.get("minItems", 0)
        said.append(f"{low} to {node['maxItems']} items" if low else f"at most {node['maxItems']} items")
    if node.get("x-kubernetes-list-type") == "set":
        said.append("no item twice")
    if keys := node.get("x-kubernetes-list-map-keys"):
        said.append(f"unique by `{', '.join(keys)}`")
    if "maxProperties" in node:
        said.append(f"at most {node['maxProperties']} keys")
    known = node.get("pattern") in FORMS
    if "maxLength" in node and not known and node["maxLength"] < 4096:
        said.append(f"at most {node['maxLength']} characters")
    if "pattern" in node and not known and len(node["pattern"]) < 60:
        said.append("`" + node["pattern"].replace("|", "\\|") + "`")
    return ", ".join(said)


def _rules(node: Schema) -> list[str]:
    """What the API server checks beyond types, in the words that it answers with."""
    return [f"- {rule['message']}" for rule in node.get("x-kubernetes-validations", ())]


def _is_pod_template(where: str) -> bool:
    return where.startswith("spec.template")
