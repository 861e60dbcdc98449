"""Writes the parts of the Helm chart that have their source elsewhere; `--check` only says whether they are up to date.

* the CRDs, from `crds/`: as templates, so that an upgrade upgrades them, and kept when the release is deleted;
* what the operator may do, from `charts/plain/rbac.yaml`: the test cluster runs with exactly these rules;
* the admission policies and break-glass roles, from `charts/plain/admission*.yaml`, when there are any.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLAIN = ROOT / "charts" / "plain"
TEMPLATES = ROOT / "charts" / "keeptrusts-operator" / "templates"
NOTE = "{{{{- /* generated from {source} by charts/generate.py; do not edit */ -}}}}"
KEEP = """\
  annotations:
    {{- if .Values.crds.keep }}
    helm.sh/resource-policy: keep
    {{- end }}
    {{- with .Values.crds.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
"""
SUBJECT = re.compile(r"(kind: ServiceAccount\n\s+name: )keeptrusts-operator(\n\s+namespace: )keeptrusts-system\b")
OWN_NAME = re.compile(r"(\bname: )keeptrusts-operator(-[a-z-]+)?$", re.MULTILINE)
RULES = re.compile(r"^kind: ClusterRole\nmetadata:\n  name: keeptrusts-operator\n(rules:\n.*?)^---$", re.M | re.S)


def crd(text: str, source: str) -> str:
    """One CRD as a template."""
    escaped = _escaped(text)
    head, mark, tail = escaped.partition("\nmetadata:\n")
    if not mark or "\n  annotations:" in tail.partition("\nspec:")[0]:
        raise ValueError(f"{source}: `metadata:` without annotations was expected")
    return _when(".Values.crds.install", f"{head}{mark}{KEEP}{tail}", source)


def rules(text: str) -> str:
    """The rules of the operator's ClusterRole, as a named template: a Role per namespace uses them, too."""
    found = RULES.search(text)
    if not found:
        raise ValueError("charts/plain/rbac.yaml: no ClusterRole keeptrusts-operator was found")
    head = NOTE.format(source="charts/plain/rbac.yaml")
    return f'{head}\n{{{{- define "keeptrusts-operator.rules" -}}}}\n{_escaped(found[1])}{{{{- end }}}}\n'


def admission(text: str) -> str:
    """Admission policies and break-glass roles, naming the release's namespace, service account and objects."""
    return _when(".Values.admission.enabled", _named(text), "charts/plain/admission.yaml")


def stamps(text: str) -> str:
    """The policy that stamps requests, where the API server can (1.36)."""
    condition = 'eq (include "keeptrusts-operator.stamps" .) "true"'
    return _when(condition, _named(text), "charts/plain/admission-stamps.yaml")


def _named(text: str) -> str:
    account = '{{ include "keeptrusts-operator.serviceAccountName" . }}'
    text = _escaped(text).replace(":keeptrusts-system:keeptrusts-operator", f":{{{{ .Release.Namespace }}}}:{account}")
    text = SUBJECT.sub(rf"\g<1>{account}\g<2>{{{{ .Release.Namespace }}}}", text)
    return OWN_NAME.sub(r'\g<1>{{ include "keeptrusts-operator.fullname" . }}\g<2>', text)


def pages() -> Iterator[tuple[Path, str]]:
    """Every generated file with its text."""
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        yield TEMPLATES / f"crd-{path.name}", crd(path.read_text(), f"crds/{path.name}")
    yield TEMPLATES / "_rules.tpl", rules((PLAIN / "rbac.yaml").read_text())
    for name, page in (("admission.yaml", admission), ("admission-stamps.yaml", stamps)):
        if (PLAIN / name).exists():
            yield TEMPLATES / name, page((PLAIN / name).read_text())


def _when(condition: str, text: str, source: str) -> str:
    return f"{NOTE.format(source=source)}\n{{{{- if {condition} }}}}\n{text.rstrip()}\n{{{{- end }}}}\n"


def _escaped(text: str) -> str:
    """Braces that are meant as they are, e.g. in an example of a template."""
    return re.sub(r"\{\{|\}\}", lambda found: f"{{{{ `{found[0]}` }}}}", text)


def main() -> int:
    stale = [(path, text) for path, text in pages() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv and stale:
        print(f"out of date: {', '.join(p.name for p, _ in stale)}; run charts/generate.py")
        return 1
    for path, text in stale:
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
