"""Policy documents: reading, hashing, rendering and linting. Pure: no I/O, no clock, no Kubernetes."""

from keeptrusts_operator.policy.advice import blocking_kinds
from keeptrusts_operator.policy.document import Document, canonical_json, dump_yaml, parse_yaml
from keeptrusts_operator.policy.ferro import blocking_plugins
from keeptrusts_operator.policy.finding import CODES, DocumentError, Finding, Severity
from keeptrusts_operator.policy.lint import lint
from keeptrusts_operator.policy.pack import same_version_other_content
from keeptrusts_operator.policy.result import DocumentShape, LintResult, Pack, Profile

__all__ = [
    "CODES",
    "Document",
    "DocumentError",
    "DocumentShape",
    "Finding",
    "LintResult",
    "Pack",
    "Profile",
    "Severity",
    "blocking_kinds",
    "blocking_plugins",
    "canonical_json",
    "dump_yaml",
    "lint",
    "parse_yaml",
    "same_version_other_content",
]
