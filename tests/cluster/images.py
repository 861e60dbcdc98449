"""The images of the test cluster. None comes from a registry of images."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.cluster import python_layer
from tests.cluster.build import Missing, cache_folder
from tests.cluster.oci import Layer, write_archive

ROOT = Path(__file__).parents[2]
WORKLOADS = Path(__file__).parent / "workloads"
USER = "65534:65534"

OPERATOR = "localhost/keeptrusts-operator:dev"
STANDIN = "localhost/standin-gateway:dev"
UPSTREAM = "localhost/upstream:dev"
CONTROL_PLANE = "localhost/controlplane:dev"
FERRO = "localhost/ferrogw:1.5.10"
PAUSE = "localhost/pause:1"

FERRO_WHEEL = "ferrogw==1.5.10"
WORKLOADS_NEED = ("aiohttp", "pyyaml", "prometheus-client")


def pack(name: str, folder: Path, binaries: Path) -> Path:
    """Write the archive of one image into a folder; gives its path."""
    target = folder / f"{name.rsplit('/', maxsplit=1)[-1].replace(':', '-')}.tar"
    folder.mkdir(parents=True, exist_ok=True)
    PACKERS[name](target, binaries)
    return target


def pack_operator(target: Path, name: str, source: Path) -> None:
    """The operator's image from a folder with its package."""
    _python(target, name, source, "keeptrusts-operator")


def _operator(target: Path, _: Path) -> None:
    pack_operator(target, OPERATOR, ROOT / "operator" / "keeptrusts_operator")


def _standin(target: Path, _: Path) -> None:
    _python(target, STANDIN, WORKLOADS / "standin", *WORKLOADS_NEED)


def _upstream(target: Path, _: Path) -> None:
    _python(target, UPSTREAM, WORKLOADS / "upstream", *WORKLOADS_NEED)


def _control_plane(target: Path, _: Path) -> None:
    _python(target, CONTROL_PLANE, WORKLOADS / "controlplane", *WORKLOADS_NEED)


def _python(target: Path, name: str, source: Path, *needs: str) -> None:
    module, code = source.name, Layer()
    python_layer.add_code(code, source, f"app/{module}")
    base = python_layer.cached(cache_folder() / "layers", *needs)
    config = {
        "Entrypoint": [python_layer.INTERPRETER, "-m", module],
        "User": USER,
        "Env": python_layer.ENVIRONMENT,
        "WorkingDir": "/",
    }
    write_archive(target, name, [base, code.tar()], config)


def _ferro(target: Path, _: Path) -> None:
    """The static binary that PyPI packages; its sum is in the lock file beside this one."""
    wheels = cache_folder() / "wheels"
    if not (found := list(wheels.glob("ferrogw-1.5.10-*.whl"))):
        lock = Path(__file__).with_name("ferrogw.lock")
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "-r", str(lock)]
        if subprocess.run([*command, "-d", str(wheels)], check=False).returncode:
            raise Missing(f"{FERRO_WHEEL} could not be downloaded from PyPI")
        found = list(wheels.glob("ferrogw-1.5.10-*.whl"))
    with zipfile.ZipFile(found[0]) as wheel:
        binary = max(wheel.infolist(), key=lambda i: i.file_size)
        layer = Layer()
        layer.file("ferrogw", wheel.read(binary), 0o755)
    python_layer.add_system_files(layer)
    write_archive(target, FERRO, [layer.tar()], {"Entrypoint": ["/ferrogw"], "User": USER})


def _pause(target: Path, binaries: Path) -> None:
    layer = Layer()
    layer.file("pause", (binaries / "pause").read_bytes(), 0o755)
    write_archive(target, PAUSE, [layer.tar()], {"Entrypoint": ["/pause"], "User": USER})


PACKERS: dict[str, Callable[[Path, Path], None]] = {
    PAUSE: _pause,
    OPERATOR: _operator,
    STANDIN: _standin,
    UPSTREAM: _upstream,
    CONTROL_PLANE: _control_plane,
    FERRO: _ferro,
}
