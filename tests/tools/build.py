"""helm (3 and 4) and promtool: from Go modules with locked sums, built once into the user cache."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tests.cluster import build as go_build
from tests.cluster.build import Part

MODULES = Path(__file__).parent / "go"
HELM_3 = "v3.22.0"
HELM_4 = "v4.3.1"
KUBERNETES = {
    "Major": "1",
    "Minor": "37",
}  # what `helm template` takes the cluster for; Helm 4 reads it from its modules
HELM_3_FLAGS = " ".join(
    [f"-X helm.sh/helm/v3/internal/version.version={HELM_3}"]
    + [
        f"-X helm.sh/helm/v3/pkg/{package}.k8sVersion{key}={value}"
        for package in ("chartutil", "lint/rules")
        for key, value in KUBERNETES.items()
    ]
)
TOOLS = (
    Part(str(MODULES / "helm3"), {"helm3": "helm.sh/helm/v3/cmd/helm"}, 150, ldflags=f"-s -w {HELM_3_FLAGS}"),
    Part(
        str(MODULES / "helm4"),
        {"helm4": "helm.sh/helm/v4/cmd/helm"},
        150,
        ldflags=f"-s -w -X helm.sh/helm/v4/internal/version.version={HELM_4}",
    ),
    # Without the clients of the clouds that Prometheus can discover targets in: a third of it, and no rule needs them.
    Part(
        str(MODULES / "promtool"),
        {"promtool": "github.com/prometheus/prometheus/cmd/promtool"},
        240,
        tags="remove_all_sd",
    ),
)


def folder() -> Path:
    """Where the tools are, or will be."""
    return go_build.cache_folder() / "tools" / _key()


def found(tool: str) -> Path | None:
    """The path of a built tool (helm3, helm4, promtool); None while it is not built. `KEEPTRUSTS_TOOLS` names a folder
    to look in first."""
    folders = [Path(given)] if (given := os.environ.get("KEEPTRUSTS_TOOLS")) else []
    for each in [*folders, folder()]:
        if (path := each / tool).exists():
            return path
    return None


def build_all() -> Path:
    """Build what is not there yet, with progress; gives the folder. Raises Missing when it cannot be built."""
    target = folder()
    target.mkdir(parents=True, exist_ok=True)
    with go_build._locked(target / ".lock"):
        missing = [t for t in TOOLS if not all((target / name).exists() for name in t.packages)]
        if missing:
            minutes = sum(t.seconds for t in missing) // 60 + 1
            go = go_build._go()
            print(f"building helm and promtool with {go}: about {minutes} min on two cores, once", flush=True)
        for number, tool in enumerate(missing, 1):
            for name, package in tool.packages.items():
                go_build._build(go, tool, name, package, target, f"[{number}/{len(missing)}]")
    return target


def _key() -> str:
    """Changes with anything that the tools are made of."""
    digest = hashlib.sha256(repr([(t.packages, t.ldflags, t.tags) for t in TOOLS]).encode())
    for path in sorted(MODULES.rglob("go.*")):
        digest.update(path.parent.name.encode() + path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
