"""kubectl, and waiting that says what it waited for."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

from keeptrusts_operator.api import names
from tests.e2e.objects import Obj


class Cluster:
    """kubectl in one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = ["kubectl", "-n", self.namespace, *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def apply(self, *objects: Obj) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def get(self, kind: str, name: str) -> Obj:
        """An object; empty when there is none."""
        out = self.kubectl("get", kind, name, "--ignore-not-found", "-o", "json")
        return dict(json.loads(out)) if out else {}

    def items(self, kind: str, labels: str = "") -> list[Obj]:
        out: list[Obj] = json.loads(self.kubectl("get", kind, "-l", labels, "-o", "json"))["items"]
        return out

    def status(self, name: str = "gw") -> Obj:
        return dict(self.get("gwd", name).get("status") or {})

    def condition(self, type_: str, kind: str = "gwd", name: str = "gw") -> Obj:
        conditions = (self.get(kind, name).get("status") or {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == type_), {})

    def selector(self, name: str = "gw") -> str:
        """The revision that the Service selects; `live` for active and candidate."""
        selected = self.get("service", name).get("spec", {}).get("selector", {})
        return str(selected.get(names.LABEL_REVISION) or selected.get(names.LABEL_EXPOSURE, ""))

    def pods(self, revision: str) -> list[Obj]:
        found = self.items("pods", f"{names.LABEL_REVISION}={revision}")
        return [p for p in found if "deletionTimestamp" not in p["metadata"]]

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 40) -> Any:
        """The first true value of a condition."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if value := condition():
                return value
            time.sleep(0.1)
        events = self.run("get", "events", "--sort-by=.metadata.creationTimestamp").stdout
        statuses = self.run(
            "get", "gwd", "-o", 'jsonpath={range .items[*]}{.status.phase}: {.status.message}{"\\n"}{end}'
        ).stdout
        raise AssertionError(f"not within {seconds} s: {what}\n{statuses}\n{events[-3000:]}")

    def wait_phase(self, phase: str, seconds: float = 40) -> Obj:
        self.wait(lambda: self.status().get("phase") == phase, f"phase {phase}", seconds)
        return self.status()

    def stable(self, seconds: float = 40) -> str:
        """Wait until what is wanted is active; gives the revision."""

        def settled() -> bool:
            obj = self.get("gwd", "gw")
            status = obj.get("status") or {}
            same = status.get("desiredRevision") == status.get("activeRevision")
            return (
                same
                and status.get("phase") == "Stable"
                and status.get("observedGeneration") == obj["metadata"]["generation"]
            )

        self.wait(settled, "Stable on what is wanted", seconds)
        return str(self.status()["activeRevision"])
