"""OCI image archives without Docker: `tarfile` and `hashlib`. Same content, same bytes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MEDIA = "application/vnd.oci.image"


@dataclass
class Layer:
    """Files of one layer, by their path without a leading slash; folders above them come by themselves."""

    entries: dict[str, tuple[bytes, bytes, int]] = field(
        default_factory=dict
    )  # path → tar type, content or target, mode

    def file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        self.entries[path] = (tarfile.REGTYPE, data, mode)

    def folder(self, path: str, mode: int = 0o755) -> None:
        self.entries[path] = (tarfile.DIRTYPE, b"", mode)

    def link(self, path: str, target: str) -> None:
        self.entries[path] = (tarfile.SYMTYPE, target.encode(), 0o777)

    def tar(self) -> bytes:
        """The layer as a tar archive, uncompressed: its digest is its diff id."""
        for path in list(self.entries):
            while path := os.path.dirname(path):
                self.entries.setdefault(path, (tarfile.DIRTYPE, b"", 0o755))
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for path, (kind, content, mode) in sorted(self.entries.items()):
                info = tarfile.TarInfo(path)
                info.type, info.mode = kind, mode
                if kind == tarfile.SYMTYPE:
                    info.linkname = content.decode()
                    archive.addfile(info)
                else:
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
        return out.getvalue()


def write_archive(path: Path, name: str, layers: Sequence[bytes], config: dict[str, Any]) -> None:
    """An archive that `ctr images import` takes; `name` is what pods call the image."""
    blobs: dict[str, bytes] = {}

    def blob(data: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"digest": f"sha256:{digest}", "size": len(data)}

    described = [{"mediaType": f"{MEDIA}.layer.v1.tar", **blob(layer)} for layer in layers]
    image = {
        "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [d["digest"] for d in described]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{MEDIA}.manifest.v1+json",
        "config": {"mediaType": f"{MEDIA}.config.v1+json", **blob(_json(image))},
        "layers": described,
    }
    entry = {
        "mediaType": f"{MEDIA}.manifest.v1+json",
        **blob(_json(manifest)),
        "annotations": {"io.containerd.image.name": name},
    }
    files = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "manifests": [entry]}),
        **{f"blobs/sha256/{digest}": data for digest, data in blobs.items()},
    }
    scratch = path.with_suffix(".part")
    with tarfile.open(scratch, "w") as archive:
        for file, data in sorted(files.items()):
            info = tarfile.TarInfo(file)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    scratch.replace(path)


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
