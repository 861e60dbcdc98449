"""Where numbers go: one JSON file per bench, with the machine they were measured on."""

from __future__ import annotations

import json
import os
import platform
import time
from typing import Any

from tests.cluster.world import ROOT

FOLDER = ROOT / "build" / "bench"


def write(name: str, result: dict[str, Any]) -> None:
    """Write build/bench/<name>.json and print it."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    whole = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": machine, **result}
    text = json.dumps(whole, indent=2, ensure_ascii=False)
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(text + "\n")
    print(text, flush=True)
