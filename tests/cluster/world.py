"""A world: a whole single-node Kubernetes in namespaces of its own, started in seconds and gone when it is killed.

Two levels: `node` (root) runs pods; `api` needs no privileges and is etcd, API server and controllers only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import api_level, build, cgroups, config, images

ROOT = Path(__file__).parents[2]
START_SECONDS = 90
LOGS = ("containerd", "etcd", "kube-apiserver", "kube-controller-manager", "kubelet", "kube-proxy", "import", "world")


class StartFailed(Exception):
    """The world did not come up; the message ends with the newest lines of the logs that tell why."""


class World:
    """One named world of this clone. Its files are in `build/cluster/<name>`."""

    def __init__(self, name: str = "up", *, level: str = "") -> None:
        self.name = name
        self.level = level or ("node" if os.geteuid() == 0 and sys.platform == "linux" else "api")
        self.folder = _short(ROOT / "build" / "cluster" / name)
        self.kubeconfig = self.folder / "run" / "admin.yaml"
        self._pid_file = self.folder / "run" / "world.pid"

    @property
    def pid(self) -> int:
        """The world's outer process; 0 when it does not run."""
        try:
            pid = int(self._pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return 0
        return pid if str(self.folder).encode() in command else 0  # a pid may be another process's by now

    @property
    def running(self) -> bool:
        return bool(self.pid) and (self.folder / "run" / "ready").exists()

    def start(self, *, proxy_sync: str = "1s", manager: Sequence[str] = ()) -> None:
        """Start it, or find it running. What an earlier one left behind is cleared first. `manager`: more arguments of
        the controller manager, at level `api`."""
        if self.running:
            return
        self.stop()
        if self.level == "api":
            api_level.start(self.folder, build.binaries(node=False), manager)
            return
        binaries = build.binaries(node=True)
        config.write(self.folder, binaries, proxy_sync)
        for name in (images.PAUSE,):
            images.pack(name, self.folder / "img", binaries)
        self._launch(binaries)

    def _launch(self, binaries: Path) -> None:
        inner = ["bash", str(Path(__file__).with_name("world.sh")), str(self.folder), str(binaries)]
        namespaces = [
            "--net",
            "--mount",
            "--propagation",
            "private",
            "--cgroup",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]
        record = self.folder / "run" / "cgroups"
        cgroups.create(self._cgroup_name(), record)
        enter = 'for group in $(cat "$1"); do echo $$ > "$group/cgroup.procs"; done; shift; exec unshare "$@"'
        with (self.folder / "log" / "world.log").open("wb") as log:
            process = subprocess.Popen(
                ["sh", "-c", enter, "sh", str(record), *namespaces, *inner],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._pid_file.write_text(str(process.pid))
        deadline = time.monotonic() + START_SECONDS
        while not (self.folder / "run" / "ready").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = self._tail()
                self.stop()
                raise StartFailed(f"the world did not come up within {START_SECONDS} s; its logs say:\n{tail}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End exactly what was started: all its processes, mounts and networks go with the one process."""
        if self.level == "api":
            api_level.stop(self.folder)
        if pid := self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + 10
            while Path(f"/proc/{pid}").exists() and _state(pid) != "Z" and time.monotonic() < deadline:
                time.sleep(0.02)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        cgroups.remove(self.folder / "run" / "cgroups")
        for path in ("run/etcd", "run/ipam", "run/certs", "run/ready", "run/world.pid", "ctd", "kubelet", "log"):
            target = self.folder / path
            shutil.rmtree(target, ignore_errors=True) if target.is_dir() else target.unlink(missing_ok=True)

    def load(self, names: Sequence[str]) -> None:
        """Pack images and hand them to the node."""
        binaries = build.binaries(node=True)
        for name in names:
            archive = images.pack(name, self.folder / "img", binaries)
            socket = self.folder / "run" / "containerd.sock"
            command = [str(binaries / "ctr"), "-a", str(socket), "-n", "k8s.io", "images", "import", str(archive)]
            done = subprocess.run(self.inside(command), capture_output=True, text=True, check=False)
            if done.returncode:
                raise StartFailed(f"{name} could not be imported: {done.stderr.strip()}")
            archive.unlink()

    def inside(self, command: Sequence[str]) -> list[str]:
        """A command as it must be called to run inside the world's namespaces."""
        if self.level == "api":
            return list(command)
        child = subprocess.run(
            ["pgrep", "-P", str(self.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        if not child:
            raise StartFailed(f"the world {self.name} does not run; start it with `make up`")
        return ["nsenter", "-t", child[0], "-n", "-m", "-p", "-C", f"--wd={os.getcwd()}", *command]

    def environment(self) -> dict[str, str]:
        """The environment for commands inside: kubeconfig, and kubectl in the path."""
        binaries = build.binaries(node=self.level == "node")
        path = f"{binaries}:{os.environ.get('PATH', '')}"
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path, "KEEPTRUSTS_WORLD": self.name}

    def _cgroup_name(self) -> str:
        return f"world-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:10]}"

    def _tail(self) -> str:
        lines = []
        for name in LOGS:
            path = self.folder / "log" / f"{name}.log"
            if path.exists() and (text := path.read_text(errors="replace").strip()):
                lines.append(f"--- {name}.log\n" + "\n".join(text.splitlines()[-6:]))
        return "\n".join(lines)


def _short(folder: Path) -> Path:
    """The folder itself, or a short alias: a Unix socket's path must stay under 108 characters."""
    if len(str(folder)) <= 70:
        return folder
    alias = Path("/tmp") / f"keeptrusts-{os.getuid()}-{hashlib.sha256(str(folder).encode()).hexdigest()[:10]}"
    folder.mkdir(parents=True, exist_ok=True)
    if not alias.exists():
        alias.symlink_to(folder)
    return alias


def _state(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return "Z"
