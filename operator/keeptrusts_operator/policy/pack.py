"""The `pack` section: name, version, enabled."""

from __future__ import annotations

import re

from keeptrusts_operator.policy.check import Checker
from keeptrusts_operator.policy.document import canonical_json
from keeptrusts_operator.policy.finding import DocumentError, Finding, Severity, show, type_name
from keeptrusts_operator.policy.result import Pack
from keeptrusts_operator.policy.sections import PACK

_NUMBER = r"(?:0|[1-9][0-9]*)"
_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_PRE_RELEASE = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(
    rf"(?P<core>{_NUMBER}\.{_NUMBER}\.{_NUMBER})"
    rf"(?P<suffix>(?:-{_PRE_RELEASE}(?:\.{_PRE_RELEASE})*)?(?:\+{_IDENTIFIERS})?)",
    re.ASCII,
)


def check_pack(document: dict[str, object], checker: Checker) -> Pack | None:
    """Check `pack`; the pack if its name and version can be used."""
    findings = checker.findings
    pack = document.get("pack")
    if "pack" not in document:
        checker.missing("pack", "", "Add `pack: {name: support-gateway, version: 1.0.0, enabled: true}`.")
        return None
    if not isinstance(pack, dict):
        message = f"pack must be a mapping, but it is {type_name(pack)}."
        findings.error("K301", "pack", message, "Write `pack: {name: support-gateway, version: 1.0.0, enabled: true}`.")
        return None
    checker.fields(pack, PACK, "pack", Severity.ERROR, complete=True)
    if pack.get("enabled") is False:
        message = "pack.enabled is false: what a gateway does with traffic while its pack is off is not documented."
        hint = "Set it to true. To stop blocking in an incident, request an emergency passthrough instead."
        findings.warning("K508", "pack.enabled", message, hint)
    name, version = pack.get("name"), pack.get("version")
    if isinstance(version, str):
        _check_version(version, checker)
    if isinstance(name, str) and name.strip() and isinstance(version, str) and _SEMVER.fullmatch(version):
        return Pack(name, version)
    return None


def _check_version(version: str, checker: Checker) -> None:
    match = _SEMVER.fullmatch(version)
    if match is None:
        message = f"pack.version is {show(version)}, which is not a semantic version."
        hint = f"Write MAJOR.MINOR.PATCH, such as {_nearest_version(version)}."
        checker.findings.error("K304", "pack.version", message, hint)
    elif match["suffix"]:
        message = f"pack.version {show(version)} has a suffix; the vendor documents MAJOR.MINOR.PATCH only."
        checker.findings.warning("K511", "pack.version", message, f"Write {match['core']}.")


def _nearest_version(version: str) -> str:
    numbers = re.findall(r"\d+", version[:40], re.ASCII)[:3]
    return ".".join([*(number.lstrip("0") or "0" for number in numbers), "0", "0", "0"][:3]) if numbers else "1.0.0"


def same_version_other_content(previous: object, current: object) -> Finding | None:
    """A warning if two documents carry the same pack name and version but not the same content.

    Gateways, events and dashboards tell documents apart by the version only.
    """
    before, after = _identity(previous), _identity(current)
    if before is None or before != after:
        return None
    try:
        if canonical_json(previous) == canonical_json(current):
            return None
    except DocumentError:
        return None
    name, version = after
    major_minor, _, patch = version.partition("+")[0].partition("-")[0].rpartition(".")
    message = f"The document of pack {show(name)} has changed, but its version is still {version}."
    following = f"{major_minor}.{int(patch) + 1}" if patch.isdecimal() and len(patch) < 20 else "the next version"
    hint = f"Raise pack.version, for example to {following}, so that events and dashboards can tell the two apart."
    return Finding(Severity.WARNING, "K509", "pack.version", message, hint)


def _identity(document: object) -> tuple[str, str] | None:
    pack = document.get("pack") if isinstance(document, dict) else None
    if not isinstance(pack, dict):
        return None
    name, version = pack.get("name"), pack.get("version")
    return (name, version) if isinstance(name, str) and isinstance(version, str) else None
