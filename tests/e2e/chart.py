"""A release of the Helm chart in the test cluster, in place of the operator that the other tests use."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import urllib.request
from pathlib import Path

from tests.cluster import images, install
from tests.cluster.world import ROOT, World
from tests.e2e.cluster import Cluster
from tests.e2e.leader import Operator
from tests.e2e.objects import Obj

CHART = ROOT / "charts" / "keeptrusts-operator"
NAMESPACE, RELEASE = "chart", "kt"
NAME = f"{RELEASE}-keeptrusts-operator"
PODS = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=operator"
REPOSITORY, TAG = images.OPERATOR.rsplit(":", maxsplit=1)
PREVIOUS_VERSION, PREVIOUS_TAG = "0.0.9", "previous"
# What the version before rendered differently: were a revision that exists rendered again, its pods would restart.
RENDERED_NOW, RENDERED_BEFORE = (
    '{"periodSeconds": 2, "failureThreshold": 3}',
    '{"periodSeconds": 3, "failureThreshold": 3}',
)


class Release:
    """The chart, installed by helm 3 with its default values into a namespace that admits restricted pods only."""

    def __init__(self, helm: str, scratch: Path) -> None:
        self._helm, self._scratch = helm, scratch
        self.cluster = Cluster(NAMESPACE)
        self._installed: tuple[str, ...] = ()

    def helm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A helm command in the release's namespace."""
        command = [self._helm, *arguments, "--namespace", NAMESPACE]
        environment = {**os.environ, "HOME": str(self._scratch)}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=180)

    def done(self, *arguments: str) -> str:
        """What a helm command says that must succeed."""
        done = self.helm(*arguments)
        assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stderr}\n{self.logs()[-3000:]}"
        return done.stdout

    def be_previous(self) -> None:
        """The version before this one: an older operator by an older chart."""
        archive = self._scratch / f"keeptrusts-operator-{PREVIOUS_VERSION}.tgz"
        if not archive.exists():
            version = ("--version", PREVIOUS_VERSION, "--app-version", PREVIOUS_VERSION)
            self.done("package", str(CHART), *version, "--destination", str(self._scratch))
            _load_previous(self._scratch)
        self._be(str(archive), PREVIOUS_TAG)

    def be_current(self, *sets: str) -> None:
        """This version; helm waits until all replicas are ready."""
        self._be(str(CHART), TAG, *sets)

    def _be(self, chart: str, tag: str, *sets: str) -> None:
        if self._installed == (chart, tag, *sets):
            return
        values = [f"image.repository={REPOSITORY},image.tag={tag}", *sets]
        flags = [flag for value in values for flag in ("--set", value)]
        # The CRDs and admission policies of the other tests become the release's.
        self.done("upgrade", RELEASE, chart, "--install", "--take-ownership", "--wait", "--timeout=90s", *flags)
        self._installed = (chart, tag, *sets)

    def uninstall(self) -> None:
        """As the docs say it."""
        self.done("uninstall", RELEASE, "--wait", "--timeout=90s")
        self._installed = ()

    def pods(self) -> list[Obj]:
        """The operator's pods that stay."""
        return [p for p in self.cluster.items("pods", PODS) if "deletionTimestamp" not in p["metadata"]]

    def leader(self) -> str:
        """The pod that leads."""
        return str(self.cluster.get("lease", "keeptrusts-operator").get("spec", {}).get("holderIdentity", ""))

    def metrics(self) -> str:
        """Those of the leader; empty while there is none that answers."""
        pod = next((p for p in self.pods() if p["metadata"]["name"] == self.leader()), None)
        if not pod or not (address := pod["status"].get("podIP")):
            return ""
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://{address}:8080/metrics", timeout=5) as answer,
        ):
            return str(answer.read().decode())
        return ""

    def logs(self) -> str:
        """What all replicas have logged."""
        return self.cluster.run("logs", "-l", PODS, "--tail=-1").stdout


def begin(helm: str, scratch: Path) -> Release:
    """Put the other operator to rest, and make the namespace."""
    operator = Operator()
    operator.cluster.kubectl("scale", "deployment/keeptrusts-operator", "--replicas=0")
    operator.cluster.wait(lambda: not operator.cluster.items("pods"), "the other operator ends", 60)
    release = Release(helm, scratch)
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    release.cluster.apply(namespace)
    return release


def end(release: Release) -> None:
    """Everything as it was."""
    release.helm("uninstall", RELEASE, "--wait", "--timeout=90s")
    release.cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    kubectl = install.Kubectl(None)
    install.install_api(kubectl)
    kubectl("apply", "-f", str(ROOT / "charts" / "plain"))
    Operator().settle(1)


def _load_previous(scratch: Path) -> None:
    source = scratch / "previous" / "keeptrusts_operator"
    shutil.copytree(ROOT / "operator" / "keeptrusts_operator", source, ignore=shutil.ignore_patterns("__pycache__"))
    children = source / "render" / "children.py"
    text = children.read_text()
    assert text.count(RENDERED_NOW) == 1
    children.write_text(text.replace(RENDERED_NOW, RENDERED_BEFORE))
    archive = scratch / "previous.tar"
    images.pack_operator(archive, f"{REPOSITORY}:{PREVIOUS_TAG}", source)
    socket = World(os.environ["KEEPTRUSTS_WORLD"]).folder / "run" / "containerd.sock"
    command = ["ctr", "-a", str(socket), "-n", "k8s.io", "images", "import", str(archive)]
    subprocess.run(command, check=True, capture_output=True)
