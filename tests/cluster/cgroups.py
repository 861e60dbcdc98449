"""Control groups of a world: children of the caller's own, never siblings, so that nothing else is touched."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
V1 = ("cpu", "cpuacct", "cpuset", "devices", "freezer", "blkio", "pids", "memory", "name=systemd")


def create(name: str, record: Path) -> None:
    """Make the groups and write their paths to `record`, so that `remove` finds them even after a crash."""
    groups = _create_v2(name) if (MOUNT / "cgroup.controllers").exists() else _create_v1(name)
    record.write_text("".join(f"{g}\n" for g in groups))


def remove(record: Path) -> None:
    """Remove the groups that `create` recorded, deepest first, once their processes are gone."""
    if not record.exists():
        return
    for line in record.read_text().split():
        group = Path(line)
        for folder, _, _ in os.walk(group, topdown=False):
            for _ in range(50):
                try:
                    os.rmdir(folder)
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.02)  # a killed process is still on its way out
                else:
                    break
    record.unlink()


def _create_v1(name: str) -> list[Path]:
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys([controllers, *controllers.split(",")], path))
    groups = []
    for controller in V1:
        base = MOUNT / controller.removeprefix("name=") / own.get(controller, "/").lstrip("/")
        group = base / name
        group.mkdir(exist_ok=True)
        if controller == "cpuset":  # empty at first, and no process may enter an empty one
            for file in ("cpuset.cpus", "cpuset.mems"):
                (group / file).write_text((base / file).read_text())
        groups.append(group)
    return groups


def _create_v2(name: str) -> list[Path]:
    """Not tried on the machines this was written on."""
    own = next(
        line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0:")
    )
    base = MOUNT / own.lstrip("/")
    # A group whose children get controllers must have no processes itself, unless it is the root.
    parent = base.parent if base != MOUNT else base
    with contextlib.suppress(OSError):
        for controller in (parent / "cgroup.controllers").read_text().split():
            (parent / "cgroup.subtree_control").write_text(f"+{controller}")
    group = parent / name
    group.mkdir(exist_ok=True)
    return [group]
