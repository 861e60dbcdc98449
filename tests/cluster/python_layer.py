"""A layer with the running Python, its standard library, and what the operator depends on."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution
from importlib.util import source_hash
from pathlib import Path

import certifi
from packaging.requirements import Requirement

from tests.cluster.oci import Layer

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
INTERPRETER = f"/usr/bin/python{VERSION}"
ENVIRONMENT = [
    "PATH=/usr/bin",
    "PYTHONHOME=/usr",
    "PYTHONPATH=/app",
    "PYTHONUNBUFFERED=1",
    "PYTHONDONTWRITEBYTECODE=1",
    "LD_LIBRARY_PATH=/usr/lib",
    "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
    "LANG=C.UTF-8",
]
NOT_NEEDED = {
    "test",
    "tests",
    "idlelib",
    "ensurepip",
    "lib2to3",
    "tkinter",
    "turtledemo",
    "pydoc_data",
    "site-packages",
    "venv",
}
LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")


def cached(folder: Path, *projects: str) -> bytes:
    """The layer with these projects' dependencies (and themselves, but for the operator, whose code is a layer of its
    own); from `folder` when nothing that goes into it has changed."""
    closure = dict(sorted(_closure(projects).items()))
    names = [f"{name}=={d.version}" for name, d in closure.items()]
    own = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    key = hashlib.sha256("\n".join([sys.version, own, *names]).encode()).hexdigest()[:16]
    path = folder / f"python-{key}.tar"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(f".{os.getpid()}")
        scratch.write_bytes(_build(closure.values()))
        scratch.replace(path)
    return path.read_bytes()


def add_code(layer: Layer, source: Path, target: str, skip: Iterable[str] = ()) -> None:
    """A folder of Python files with their compiled forms, which are trusted without a look at the source's time."""
    for folder, folders, files in os.walk(source):
        folders[:] = sorted(f for f in folders if f not in skip and f != "__pycache__" and not f.startswith("config-"))
        for file in sorted(files):
            path = Path(folder) / file
            if file.endswith((".a", ".pyc")) or (file.endswith(".so") and file.startswith(("_test", "xx", "_tkinter"))):
                continue
            _add(layer, f"{target}/{path.relative_to(source)}", path)


def _build(distributions: Iterable[Distribution]) -> bytes:
    layer, home = Layer(), f"usr/lib/python{VERSION}"
    executable = Path(os.path.realpath(sys.executable))
    standard = Path(sysconfig.get_path("stdlib"))
    layer.file(f"usr/bin/python{VERSION}", executable.read_bytes(), 0o755)
    layer.link("usr/bin/python3", f"python{VERSION}")
    add_code(layer, standard, home, NOT_NEEDED)
    binaries = [executable, *(standard / "lib-dynload").glob("*.so")]
    for each in distributions:
        for file in each.files or ():
            path = Path(str(each.locate_file(file)))
            if ".." in file.parts or file.suffix == ".pyc" or not path.is_file():
                continue
            _add(layer, f"{home}/site-packages/{file}", path)
            if ".so" in file.suffixes:
                binaries.append(path)
    for library in sorted(set(_libraries(binaries))):
        data = Path(os.path.realpath(library)).read_bytes()
        # The loader is called by its full path; everything else is found by LD_LIBRARY_PATH.
        where = library.lstrip("/") if "ld-linux" in library else f"usr/lib/{os.path.basename(library)}"
        layer.file(where, data, 0o755)
    layer.link("lib", "usr/lib")
    layer.folder("tmp", 0o1777)
    add_system_files(layer)
    layer.file("etc/nsswitch.conf", b"hosts: files dns\n")
    layer.file("etc/ssl/certs/ca-certificates.crt", Path(certifi.where()).read_bytes())
    return layer.tar()


def add_system_files(layer: Layer) -> None:
    """What programs look for in any image."""
    layer.folder("tmp", 0o1777)
    layer.file("etc/passwd", b"root:x:0:0::/:/\nnobody:x:65534:65534::/:/\n")
    layer.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n")


def _add(layer: Layer, target: str, path: Path) -> None:
    data = path.read_bytes()
    layer.file(target, data, 0o755 if os.access(path, os.X_OK) else 0o644)
    if path.suffix == ".py" and (compiled := _compiled(data, target)):
        folder, name = os.path.split(target)
        layer.file(f"{folder}/__pycache__/{name[:-3]}.{sys.implementation.cache_tag}.pyc", compiled)


def _compiled(source: bytes, target: str) -> bytes | None:
    from importlib import _bootstrap_external  # noqa: PLC0415

    try:
        code = compile(source, f"/{target}", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None  # templates and test data that end in .py
    return bytes(_bootstrap_external._code_to_hash_pyc(code, source_hash(source), False))  # type: ignore[attr-defined]


def _closure(projects: Iterable[str]) -> dict[str, Distribution]:
    """Everything that projects need at run time."""
    found: dict[str, Distribution] = {}
    waiting = list(projects)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        found[name] = distribution(name)
        for line in found[name].requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    found.pop("keeptrusts-operator", None)
    return found


def _libraries(binaries: Iterable[Path]) -> Iterator[str]:
    for binary in binaries:
        out = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False).stdout
        if "not found" in out:
            raise RuntimeError(f"{binary} misses a shared library:\n{out}")
        yield from LIBRARY.findall(out)
