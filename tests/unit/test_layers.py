"""Who may import whom: a file's folder says what it may use."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "operator" / "keeptrusts_operator"

# folder → packages of ours, and other people's, that its files may import beside the standard library
MAY_IMPORT = {
    "api": ({"api"}, set()),
    "policy": ({"policy"}, {"yaml"}),
    "core": ({"core", "api"}, set()),
    "render": ({"render", "core", "api", "policy"}, set()),
    "kube": ({"kube", "api"}, {"kubernetes", "aiohttp"}),
    "gateways": ({"gateways", "core", "api"}, {"aiohttp", "httpx", "prometheus_client"}),
    "loop": (
        {"loop", "core", "api", "policy", "render", "kube", "gateways"},
        {"kopf", "httpx", "aiohttp", "prometheus_client", "kubernetes"},
    ),
    # A program of its own: what it knows of the operator is the API.
    "plugin": ({"plugin", "api", "policy", "kube"}, {"click", "rich", "httpx", "kubernetes", "urllib3", "yaml"}),
}
# of a package that a folder may use, where it may not use all of it
ONLY = {"plugin": {"kube": {"keeptrusts_operator.kube.port"}}}
NOT_IN_THE_CORE = {"time", "random", "os", "socket", "asyncio", "threading", "subprocess", "logging", "pathlib"}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_file_imports_only_what_its_folder_may(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    if folder not in MAY_IMPORT:
        return
    ours, theirs = MAY_IMPORT[folder]
    for name in imports(path):
        top = name.split(".")[0]
        if top == "keeptrusts_operator":
            package = name.split(".")[1]
            assert package in ours, f"{folder} may not import {name}"
            assert name in ONLY.get(folder, {}).get(package, {name}), f"{folder} may not import {name}"
        elif top not in theirs:
            assert top in __import__("sys").stdlib_module_names, f"{folder} may not import {name}"
        if folder == "core":
            assert top not in NOT_IN_THE_CORE, f"the core must be pure: {name}"


def test_every_folder_has_its_rule() -> None:
    folders = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith("__")}
    assert folders == set(MAY_IMPORT)


def test_no_package_named_operator() -> None:
    assert not (ROOT.parent / "__init__.py").exists(), "it would shadow the standard library's operator"
