"""What linting a document yields."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from keeptrusts_operator.policy.finding import Finding, Severity


class Profile(StrEnum):
    """Whose rules apply to a document."""

    KEEPTRUSTS = "Keeptrusts"
    FERRO = "Ferro"
    CUSTOM = "Custom"


class DocumentShape(StrEnum):
    """The two shapes of Keeptrusts documents a gateway can run."""

    STRICT = "Strict"
    """`pack`, `policies.chain`, `policy.<kind>`."""
    ACTIONS = "Actions"
    """`policies: [{name, input: [{type, action}], output: [...]}]`."""


@dataclass(frozen=True, slots=True)
class Pack:
    """How a document names itself: `pack.name` and `pack.version`."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class LintResult:
    """All that linting found.

    `shape` is None for rejected shapes and for profiles other than Keeptrusts. `chain` has the entries of
    `policies.chain`; in the Actions shape the rule types, in the Ferro profile the enabled plugins, each once and in
    the order of their first use. `env_names` are the environment variables the document needs in the pod template.
    """

    shape: DocumentShape | None
    pack: Pack | None
    chain: tuple[str, ...]
    findings: tuple[Finding, ...]
    env_names: frozenset[str]

    @property
    def ok(self) -> bool:
        return not any(finding.severity is Severity.ERROR for finding in self.findings)
