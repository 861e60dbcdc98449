"""helm (3 and 4), promtool, prometheus and kstatus: from Go modules with locked sums, built once into the user cache."""

from __future__ import annotations

import hashlib
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
    # Without the clients of the clouds that Prometheus can discover targets in: a third of it, and no test needs them.
    Part(
        str(MODULES / "prometheus"),
        {
            "promtool": "github.com/prometheus/prometheus/cmd/promtool",
            "prometheus": "github.com/prometheus/prometheus/cmd/prometheus",
        },
        150,  # of each
        tags="remove_all_sd",
    ),
    Part(str(MODULES / "kstatus"), {"kstatus": "."}, 20),
)


def found(tool: str) -> Path | None:
    """The path of a built tool (helm3, helm4, promtool, prometheus, kstatus); None while it is not built."""
    path = next(_folder(part) / tool for part in TOOLS if tool in part.packages)
    return path if path.exists() else None


def build_all() -> list[Path]:
    """Build what is not there yet, with progress; gives all paths. Raises Missing when one cannot be built."""
    folders = go_build.cache_folder() / "tools"
    folders.mkdir(parents=True, exist_ok=True)
    with go_build._locked(folders / ".lock"):
        missing = [part for part in TOOLS if not all((_folder(part) / name).exists() for name in part.packages)]
        if missing:
            minutes = sum(t.seconds * len(t.packages) for t in missing) // 60 + 1
            go = go_build._go()
            print(
                f"building helm, promtool, prometheus and kstatus with {go}: about {minutes} min on two cores, once",
                flush=True,
            )
        for number, tool in enumerate(missing, 1):
            target = _folder(tool)
            target.mkdir(parents=True, exist_ok=True)
            for name, package in tool.packages.items():
                go_build._build(go, tool, name, package, target, f"[{number}/{len(missing)}]")
    return [_folder(part) / name for part in TOOLS for name in part.packages]


def _folder(part: Part) -> Path:
    """Its name changes with anything that the tool is made of."""
    module = Path(part.module)
    digest = hashlib.sha256(repr((part.packages, part.ldflags, part.tags)).encode())
    for path in sorted([*module.glob("go.*"), *module.glob("*.go")]):
        digest.update(path.name.encode() + path.read_bytes())
    return go_build.cache_folder() / "tools" / f"{module.name}-{digest.hexdigest()[:16]}"
