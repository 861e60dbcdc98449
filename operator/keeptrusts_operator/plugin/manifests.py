"""Policies in files: a plain document, or manifests of which GatewayPolicies are looked for. Pure but for reading YAML.

Manifests are read as the API server's clients read them (YAML 1.1, dates stay strings); plain documents as the operator
reads a ConfigMap's text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from keeptrusts_operator.api import names
from keeptrusts_operator.api.errors import InvalidSpec
from keeptrusts_operator.api.gateway import Profile
from keeptrusts_operator.api.policy import GatewayPolicySpec, Validation, parse_policy
from keeptrusts_operator.plugin.failure import Failure
from keeptrusts_operator.policy import DocumentError, Finding, Severity, lint, parse_yaml

NO_SPEC_CODE = "SPEC"  # a manifest that the API refuses; the linter's own codes are about documents
DATES = "tag:yaml.org,2002:timestamp"


class ManifestLoader(yaml.SafeLoader):
    """YAML as kubectl sends it: dates are strings."""


ManifestLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != DATES]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Policy:
    """One policy of a file. `spec` is None for a plain document, and where the API would refuse the manifest."""

    name: str  # empty for a plain document
    document: object  # a mapping, or the text of one
    profile: Profile
    spec: GatewayPolicySpec | None = None
    refused: tuple[Finding, ...] = ()

    def findings(self, *, strict: bool) -> tuple[Finding, ...]:
        """Everything that the operator would say about it."""
        if self.refused:
            return self.refused
        try:
            value = parse_yaml(self.document) if isinstance(self.document, str) else self.document
        except DocumentError as error:
            return (error.finding,)
        strict = strict or (self.spec is not None and self.spec.validation is Validation.STRICT)
        return lint(value, strict=strict, profile=self.profile.value).findings


def read(text: str, profile: Profile | None) -> list[Policy]:
    """The policies of a file. `profile`: for all of them; None: that of the GatewayDeployment in the file that uses it.

    Raises Failure when there is none to look at.
    """
    objects = _objects(text)
    if not any(_is_ours(o) for o in objects):
        return [Policy("", text, profile or Profile.KEEPTRUSTS)]
    found = [o for o in objects if _is_ours(o) and o.get("kind") == names.GATEWAY_POLICY.kind]
    if not found:
        raise Failure("The file holds no GatewayPolicy.", "Give one, or a plain policy document.")
    return [_policy(o, objects, profile) for o in found]


def _objects(text: str) -> list[Mapping[str, Any]]:
    """The mappings of a file with manifests; none when it is no YAML (then it is linted as a document, which says why)."""
    try:
        loaded = list(yaml.load_all(text, Loader=ManifestLoader))
    except (yaml.YAMLError, ValueError, RecursionError):
        return []
    flat: list[Mapping[str, Any]] = []
    for value in loaded:
        items = value.get("items") if isinstance(value, Mapping) and value.get("kind") == "List" else [value]
        flat.extend(i for i in (items if isinstance(items, list) else []) if isinstance(i, Mapping))
    return flat


def _is_ours(obj: Mapping[str, Any]) -> bool:
    return str(obj.get("apiVersion", "")).startswith(f"{names.GROUP}/")


def _policy(obj: Mapping[str, Any], objects: Sequence[Mapping[str, Any]], profile: Profile | None) -> Policy:
    name = str(_of(obj, "metadata").get("name", ""))
    profile = profile or _profile(name, objects)
    try:
        spec = parse_policy(obj)
    except InvalidSpec as error:
        refused = tuple(Finding(Severity.ERROR, NO_SPEC_CODE, e.path, e.message, "") for e in error.errors)
        return Policy(name, {}, profile, refused=refused)
    if spec.config_from is None:
        return Policy(name, spec.config, profile, spec)
    source = spec.config_from
    for candidate in objects:
        if candidate.get("kind") == "ConfigMap" and _of(candidate, "metadata").get("name") == source.name:
            data = _of(candidate, "data")
            if source.key in data:
                return Policy(name, str(data[source.key]), profile, spec)
    step = f"Add that ConfigMap to the file, or give the document itself: kubectl get cm {source.name} -o yaml"
    raise Failure(
        f"The document of GatewayPolicy {name} is in ConfigMap {source.name}, which is not in the file.", step
    )


def _profile(policy: str, objects: Iterable[Mapping[str, Any]]) -> Profile:
    """The profile of the GatewayDeployment that uses a policy."""
    for obj in objects:
        spec = _of(obj, "spec")
        if obj.get("kind") == names.GATEWAY_DEPLOYMENT.kind and _of(spec, "policyRef").get("name") == policy:
            named = _of(spec, "gateway").get("profile")
            return Profile(named) if named in {p.value for p in Profile} else Profile.KEEPTRUSTS
    return Profile.KEEPTRUSTS


def _of(obj: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = obj.get(key)
    return value if isinstance(value, Mapping) else {}
