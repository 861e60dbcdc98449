"""When a restart is over, and what it waits for until then."""

from __future__ import annotations

from typing import Any

import pytest

from keeptrusts_operator.api.names import LABEL_DEPLOYMENT, LABEL_REVISION
from keeptrusts_operator.kube.port import PODS
from keeptrusts_operator.plugin.restarts import pods, unfinished
from tests.unit.plugin import statuses
from tests.unit.plugin.terminal import Terminal


def pod(uid: str, *, ready: bool = True, waiting: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": waiting, "message": "back-off 10s"}} if waiting else {"running": {}}
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {
        "metadata": {"uid": uid, "name": f"pod-{uid}"},
        "status": {"conditions": conditions, "containerStatuses": [{"state": state}]},
    }


CASES = [
    ((pod("a"), pod("b")), {}, "0 of 2 pods are replaced"),
    ((pod("b"), pod("c")), {}, "1 of 2 pods are replaced"),
    (
        (pod("b"), pod("c", ready=False, waiting="CrashLoopBackOff")),
        {},
        "1 of 2 pods are replaced (pod-c: CrashLoopBackOff back-off 10s)",
    ),
    ((pod("b"), pod("c", ready=False, waiting="ContainerCreating")), {}, "1 of 2 pods are replaced"),
    ((pod("c"), pod("d", ready=False)), {}, "1 of 2 new pods are ready"),
    ((), {}, "0 of 0 new pods are ready"),
    ((pod("c"), pod("d")), {"readyReplicas": 1}, "1 of 2 serving pods are ready"),
    (
        (pod("c"), pod("d")),
        {"conditions": [statuses.condition("Healthy", "False", "Degraded", "some gateways report degraded")]},
        "Degraded: some gateways report degraded",
    ),
    ((pod("c"), pod("d")), {}, ""),
]


@pytest.mark.parametrize(("running", "status", "words"), CASES, ids=[c[2] or "over" for c in CASES])
def test_what_a_restart_waits_for(running: Any, status: dict[str, Any], words: str) -> None:
    assert unfinished(statuses.gateway(**status), running, {"a", "b"}) == words


def test_pods_of_a_standby_are_not_waited_for(terminal: Terminal) -> None:
    terminal.serve()
    listed = terminal.list
    standby = {"metadata": {"uid": "s", "labels": {LABEL_DEPLOYMENT: "kt-gateway", LABEL_REVISION: "standby000"}}}
    terminal.list = lambda resource, *rest: (*listed(resource, *rest), standby)  # type: ignore[method-assign]
    assert len(terminal.list(PODS, "demo")) == 4
    found = pods(terminal, "demo", "kt-gateway")
    assert len(found) == 3
    assert standby not in found
