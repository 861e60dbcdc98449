"""The chart as helm renders it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "keeptrusts-operator"
RELEASE = ("kt", "system")  # not the names that charts/plain has
NAME = "kt-keeptrusts-operator"
EVERYTHING = (
    "monitoring.operator.podMonitor=true,monitoring.gateways.podMonitor=true,monitoring.rules.enabled=true,"
    "monitoring.dashboards.enabled=true,gateways.networkPolicy.namespaces={platform},"
    "rbac.secrets[0].namespace=platform"
)

Obj = dict[str, Any]
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the CRDs are long


class Helm:
    """One version of helm; it never meets a cluster here."""

    def __init__(self, path: str) -> None:
        self._path = path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A helm command on the chart of this clone."""
        environment = {"KUBECONFIG": "/nonexistent", "HOME": "/nonexistent", "PATH": "/usr/bin:/bin"}
        return subprocess.run([self._path, *arguments], capture_output=True, text=True, env=environment, check=False)

    def template(self, *sets: str, namespace: str = RELEASE[1]) -> list[Obj]:
        """Every object of the release, hooks as well, with values set as by `--set`."""
        done = self.run("template", RELEASE[0], str(CHART), "--namespace", namespace, *_flags(sets))
        assert done.returncode == 0, done.stderr
        return [o for o in yaml.load_all(done.stdout, Loader=LOADER) if o]

    def refusal(self, *sets: str) -> str:
        """What helm says about values that it refuses; empty when it takes them."""
        done = self.run("template", RELEASE[0], str(CHART), "--namespace", RELEASE[1], *_flags(sets))
        return done.stderr if done.returncode else ""

    def notes(self, *sets: str) -> str:
        """What people read after an installation."""
        done = self.run("install", RELEASE[0], str(CHART), "-n", RELEASE[1], "--dry-run=client", *_flags(sets))
        assert done.returncode == 0, done.stderr
        return done.stdout.partition("\nNOTES:\n")[2]


def find(objects: list[Obj], kind: str, name: str = "") -> Obj:
    """The only object of a kind (and name)."""
    found = [o for o in objects if o["kind"] == kind and name in ("", o["metadata"]["name"])]
    assert len(found) == 1, [f"{o['kind']} {o['metadata']['name']}" for o in objects]
    return found[0]


def kinds(objects: list[Obj]) -> set[tuple[str, str]]:
    """Kind and name of each."""
    return {(o["kind"], o["metadata"]["name"]) for o in objects}


def pod_specs(objects: list[Obj]) -> dict[str, Obj]:
    """Every pod that the objects make, as `{metadata, spec}`, by the kind that makes it."""
    pods = {o["kind"]: o for o in objects if o["kind"] == "Pod"}
    return pods | {o["kind"]: o["spec"]["template"] for o in objects if o["kind"] in ("Deployment", "Job")}


def _flags(sets: tuple[str, ...]) -> list[str]:
    return [flag for each in sets for flag in ("--set", each)]
