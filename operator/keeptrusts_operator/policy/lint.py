"""Linting: everything that can be said about a policy document without asking a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from keeptrusts_operator.policy.actions_shape import blocking_types, check_actions
from keeptrusts_operator.policy.advice import advise_on_chain, advise_on_providers
from keeptrusts_operator.policy.check import Checker
from keeptrusts_operator.policy.document import normalise
from keeptrusts_operator.policy.ferro import lint_ferro
from keeptrusts_operator.policy.finding import DocumentError, Finding, Findings, Severity, type_name
from keeptrusts_operator.policy.pack import check_pack
from keeptrusts_operator.policy.result import DocumentShape, LintResult, Profile
from keeptrusts_operator.policy.secrets import check_providers, check_secret_refs
from keeptrusts_operator.policy.shapes import detect_shape
from keeptrusts_operator.policy.strict_shape import check_strict


def lint(document: object, *, strict: bool, profile: Literal["Keeptrusts", "Ferro", "Custom"] | Profile) -> LintResult:
    """Check a document by the rules of the gateway that is to run it. Never raises; finds all there is to find.

    `strict` makes errors of what is merely unknown: kinds, keys, plugins that the documentation does not name.
    Profile Custom accepts every mapping that JSON can carry.
    """
    try:
        content: Any = normalise(document)
    except DocumentError as error:
        return _rejected(error.finding)
    if not isinstance(content, dict):
        message = f"The document is {type_name(content)}, but a policy document is a mapping."
        hint = "Write keys at the top level, such as `pack:` and `policies:`."
        return _rejected(DocumentError("K103", "", message, hint).finding)
    findings = Findings(strict=strict)
    match Profile(profile):
        case Profile.KEEPTRUSTS:
            return _lint_keeptrusts(content, findings)
        case Profile.FERRO:
            return lint_ferro(content, findings)
        case Profile.CUSTOM:
            # References are collected where they have the usual form; what they mean is the gateway's business.
            return LintResult(None, None, (), (), check_secret_refs(content, Findings(strict=False)))


def _lint_keeptrusts(document: dict[str, Any], findings: Findings) -> LintResult:
    checker = Checker(findings)
    shape = detect_shape(document, findings)
    env_names = check_secret_refs(document, findings)
    chain: tuple[str, ...] = ()
    pack = None
    if shape is DocumentShape.STRICT or (shape is DocumentShape.ACTIONS and "pack" in document):
        pack = check_pack(document, checker)
    if shape is DocumentShape.STRICT:
        chain = check_strict(document, checker)
        advise_on_chain(document, chain, findings)
        advise_on_providers(document, findings)
    elif shape is DocumentShape.ACTIONS:
        chain = check_actions(document, checker)
        _advise_on_actions(document, findings)
    if shape is not None:
        check_providers(document, checker)
    return LintResult(shape, pack, chain, findings.result(), env_names)


def _advise_on_actions(document: Mapping[str, object], findings: Findings) -> None:
    if not blocking_types(document):
        message = "No rule has the action block: every request passes."
        findings.warning("K506", "policies", message, "Set `action: block` for the rules that are to stop a request.")


def _rejected(*found: Finding) -> LintResult:
    assert all(finding.severity is Severity.ERROR for finding in found)
    return LintResult(None, None, (), found, frozenset())
