"""What the user wants now: policy, document and pod template read, checked and rendered.

The loop checks what it read itself; `GatewayPolicy.status` is for people and never an input. A reference that cannot
be read makes the answer `Unreadable`, which changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.api.deployment import GatewayDeploymentSpec
from keeptrusts_operator.api.errors import InvalidSpec
from keeptrusts_operator.api.gateway import Profile
from keeptrusts_operator.api.policy import Expectation, GatewayPolicySpec, Validation, parse_policy
from keeptrusts_operator.core.world import Content, Desired, Pack, Unreadable, Unusable
from keeptrusts_operator.kube.port import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    POLICIES,
    ApiError,
    Kube,
    NotFound,
    Obj,
    Refused,
)
from keeptrusts_operator.loop.protections import unprotected
from keeptrusts_operator.policy.document import parse_yaml
from keeptrusts_operator.policy.finding import DocumentError, Finding, Severity
from keeptrusts_operator.policy.lint import lint
from keeptrusts_operator.policy.result import LintResult
from keeptrusts_operator.render import children
from keeptrusts_operator.render.revision import policy_hash_of, revision_of

DEFAULT_MODEL = "gpt-4o-mini"
RECHECK_SECONDS = 15.0  # a template that was refused may be accepted later: a quota, an admission policy


@dataclass(frozen=True)
class Document:
    """A policy's document with all that was found in it. `value` is None when it could not be parsed."""

    value: Mapping[str, Any] | None
    findings: tuple[Finding, ...]
    result: LintResult | None = None

    @property
    def errors(self) -> list[Finding]:
        return [f for f in self.findings if f.severity is Severity.ERROR]


Source = Mapping[str, Any] | str  # a document, or the text of one


async def read_source(kube: Kube, namespace: str, policy: GatewayPolicySpec) -> Source | Unreadable:
    """What a policy's document is made of: from the object itself, or the text in its ConfigMap."""
    if policy.config is not None:
        return policy.config
    ref = policy.config_from
    assert ref is not None
    try:
        source = await kube.get(CONFIG_MAPS, namespace, ref.name)
    except NotFound:
        return Unreadable("SourceNotFound", f"ConfigMap {ref.name} of the policy does not exist; create it")
    except ApiError as error:
        return Unreadable("SourceUnreadable", f"ConfigMap {ref.name} of the policy cannot be read: {error}")
    if ref.key not in source.get("data", {}):
        has = ", ".join(sorted(source.get("data", {}))) or "none"
        return Unreadable("SourceNotFound", f"ConfigMap {ref.name} has no key {ref.key} (it has: {has}); add it")
    return str(source["data"][ref.key])


def check_source(source: Source, policy: GatewayPolicySpec, profile: Profile) -> Document:
    """The document, linted for a gateway profile."""
    try:
        value = parse_yaml(source) if isinstance(source, str) else source
    except DocumentError as error:
        return Document(None, (error.finding,))
    result = lint(value, strict=policy.validation is Validation.STRICT, profile=profile.value)
    return Document(value, result.findings, result)


class DryRuns:
    """Whether the API server takes a rendered Deployment. Remembers answers; an answer that is no answer is asked again."""

    def __init__(self, kube: Kube, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._kube, self._monotonic = kube, monotonic
        self._refused: dict[str, tuple[float, str]] = {}
        self._taken: set[str] = set()

    async def refusal(self, deployment: Obj) -> str | Unreadable | None:
        """Why the API server refuses it; None when it takes it."""
        name = deployment["metadata"]["name"]
        if name in self._taken:
            return None
        at, message = self._refused.get(name, (float("-inf"), ""))
        if self._monotonic() - at < RECHECK_SECONDS:
            return message
        try:
            await self._kube.create(DEPLOYMENTS, deployment, dry_run=True)
        except Refused as error:
            self._refused[name] = (self._monotonic(), str(error))
            return str(error)
        except ApiError as error:
            if error.status != 409:  # it exists: it was taken before
                return Unreadable("TemplateUnchecked", f"the API server could not check the pod template: {error}")
        self._taken.add(name)
        return None


class Renderings:
    """What a GatewayDeployment and a policy came to the last time: nothing is linted and rendered twice."""

    def __init__(self) -> None:
        self._of: tuple[object, ...] = ()
        self._source: Source = ""
        self._result: Content | Unusable | None = None

    def content(
        self, gateway: Obj, spec: GatewayDeploymentSpec, policy_object: Obj, policy: GatewayPolicySpec, source: Source
    ) -> Content | Unusable:
        """The checked and rendered content, or why there is none."""
        made_of = tuple((o["metadata"]["uid"], o["metadata"]["generation"]) for o in (gateway, policy_object))
        if self._result is None or (made_of, source) != (self._of, self._source):
            self._result = _checked(gateway, spec, policy_object, policy, source)
            self._of, self._source = made_of, source
        return self._result


async def read_desired(
    kube: Kube,
    dry_runs: DryRuns,
    renderings: Renderings,
    gateway: Obj,
    spec: GatewayDeploymentSpec,
    exists: Callable[[str], bool],
) -> tuple[Desired, bool]:
    """What a GatewayDeployment should run, and whether its document must be read again soon (no watch tells of it).

    `exists` tells whether a revision has been created already: its template was accepted then.
    """
    namespace = gateway["metadata"]["namespace"]
    try:
        policy_object = await kube.get(POLICIES, namespace, spec.policy_ref)
    except NotFound:
        message = f"GatewayPolicy {spec.policy_ref} does not exist; create it or change spec.policyRef"
        return Unreadable("PolicyNotFound", message), False
    except ApiError as error:
        return Unreadable("PolicyUnreadable", f"GatewayPolicy {spec.policy_ref} cannot be read: {error}"), True
    try:
        policy = parse_policy(policy_object)
    except InvalidSpec as error:
        return Unusable("PolicyInvalid", f"GatewayPolicy {spec.policy_ref}: {error}"), False
    source = await read_source(kube, namespace, policy)
    reread = policy.config_from is not None
    if isinstance(source, Unreadable):
        return source, reread
    content = renderings.content(gateway, spec, policy_object, policy, source)
    if isinstance(content, Content) and not exists(content.revision):
        refusal = await dry_runs.refusal(dict(content.deployment))
        if isinstance(refusal, Unreadable):
            return refusal, True
        if refusal:
            return Unusable("TemplateRefused", f"the API server refuses the pod template: {refusal}"), True
    return content, reread


def _checked(
    gateway: Obj, spec: GatewayDeploymentSpec, policy_object: Obj, policy: GatewayPolicySpec, source: Source
) -> Content | Unusable:
    document = check_source(source, policy, spec.gateway.profile)
    if document.errors or document.value is None or document.result is None:
        return Unusable("PolicyInvalid", _lint_words(spec.policy_ref, document.errors))
    if untestable := _untestable(policy, spec):
        return Unusable("PolicyInvalid", f"GatewayPolicy {spec.policy_ref}: {untestable}")
    if lacking := unprotected(gateway, spec, document.value):
        return lacking
    return _content(gateway, spec, policy_object["spec"], policy, document, document.result)


def _content(
    gateway: Obj,
    spec: GatewayDeploymentSpec,
    policy: Mapping[str, Any],
    parsed: GatewayPolicySpec,
    document: Document,
    result: LintResult,
) -> Content | Unusable:
    revision = revision_of(document.value, spec.template, spec.raw_gateway)
    try:
        deployment = children.deployment(gateway, spec, revision)
    except children.TemplateError as error:
        return Unusable("TemplateInvalid", str(error))
    pack = Pack(result.pack.name, result.pack.version) if result.pack else None
    warnings = [f"{f.path}: {f.message}" for f in document.findings] + _missing_environment(spec, result)
    return Content(
        revision=revision,
        policy_hash=policy_hash_of(document.value, policy),
        pack=pack,
        warnings=tuple(warnings[:5]),
        tests=parsed.tests,
        model=_model(document.value),
        expected_increase=parsed.expected_block_rate_increase,
        expected_decrease=parsed.expected_block_rate_decrease,
        config_map=children.config_map(gateway, revision, document.value, deployment, spec.gateway.config_file),
        deployment=deployment,
    )


def _untestable(policy: GatewayPolicySpec, spec: GatewayDeploymentSpec) -> str:
    """The first behaviour test whose outcome could never be seen on this kind of gateway, and why; empty if all can."""
    decisions, profile = spec.gateway.metrics.decisions, spec.gateway.profile
    for index, test in enumerate(policy.tests):
        path = f"spec.tests[{index}]"
        if not spec.gateway.chat_path:
            return f"{path} cannot be sent: spec.gateway.chatPath of the GatewayDeployment is empty"
        if test.expect is Expectation.REDACT and not (decisions and decisions.redacted):
            return f"{path}.expect Redact cannot be seen: spec.gateway.metrics.decisions.redacted is empty ({profile})"
        if test.expect is Expectation.ESCALATE and not (decisions and decisions.escalated):
            return (
                f"{path}.expect Escalate cannot be seen: spec.gateway.metrics.decisions.escalated is empty ({profile})"
            )
        if test.expect is Expectation.BLOCK and not spec.gateway.blocked_status:
            return f"{path}.expect Block cannot be seen: spec.gateway.blockedStatus is empty"
    return ""


def _model(document: Any) -> str:
    """The first model that the document's providers name."""
    providers = document.get("providers") if isinstance(document, Mapping) else None
    targets = providers.get("targets") if isinstance(providers, Mapping) else None
    models = [t.get("model") for t in targets or () if isinstance(t, Mapping)]
    return next((m for m in models if isinstance(m, str) and m), DEFAULT_MODEL)


def _missing_environment(spec: GatewayDeploymentSpec, result: LintResult) -> list[str]:
    """Names that the document reads from the environment and that the template visibly does not supply."""
    containers = spec.template["spec"]["containers"]
    container = next(c for c in containers if c["name"] == names.GATEWAY_CONTAINER)
    if container.get("envFrom"):
        return []
    has = {e.get("name") for e in container.get("env", ())}
    return [
        f"the document reads {name} from the environment, which the container does not set: that provider will be off"
        for name in sorted(result.env_names - has)
    ]


def _lint_words(policy: str, errors: list[Finding]) -> str:
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    where = "" if first.message.startswith(first.path) else f"{first.path}: "
    return f"GatewayPolicy {policy} is refused: {first.code} {where}{first.message} {first.suggestion}{more}".strip()
