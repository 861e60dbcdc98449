"""Writes argocd-cm.yaml from the Lua files beside it: what an Argo CD that is configured, not built, takes.

`--check` only says whether it is up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

HERE = Path(__file__).parent
GROUP = "gateway.keeptrusts.com"
KINDS = HERE / "resource_customizations" / GROUP
HEAD = """\
# Generated from resource_customizations/ by generate.py; do not edit. Merge `data` into the ConfigMap argocd-cm:
#   kubectl -n argocd patch configmap argocd-cm --type=merge --patch-file=argocd-cm.yaml
"""


class Literal(str):
    """Text that is written as a block, as people write it."""


def config_map() -> str:
    """The ConfigMap as YAML."""
    data: dict[str, Literal] = {}
    for kind in sorted(p for p in KINDS.iterdir() if p.is_dir()):
        data[f"resource.customizations.health.{GROUP}_{kind.name}"] = Literal((kind / "health.lua").read_text())
        if (actions := kind / "actions").exists():
            data[f"resource.customizations.actions.{GROUP}_{kind.name}"] = Literal(_yaml(_actions(actions)))
    return HEAD + _yaml({"data": data})


def _actions(folder: Path) -> dict[str, object]:
    definitions = [
        {"name": path.parent.name, "action.lua": Literal(path.read_text())}
        for path in sorted(folder.glob("*/action.lua"))
    ]
    return {"discovery.lua": Literal((folder / "discovery.lua").read_text()), "definitions": definitions}


def _yaml(value: object) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=200)


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(Literal, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|"))


def main() -> int:
    path, text = HERE / "argocd-cm.yaml", config_map()
    if path.exists() and path.read_text() == text:
        return 0
    if "--check" in sys.argv:
        print(f"out of date: {path.name}; run docs/gitops/argocd/generate.py")
        return 1
    path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
