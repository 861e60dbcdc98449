"""Deployment controller, kubelet and gateways in one, on virtual time."""

from __future__ import annotations

import copy
import json
import random
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import yaml

from keeptrusts_operator.api import names
from keeptrusts_operator.api.quantities import format_time
from keeptrusts_operator.core.world import GatewayHealth, Pack, TestResult, TestVerdict
from keeptrusts_operator.kube.port import CONFIG_MAPS, DEPLOYMENTS, ENDPOINT_SLICES, PODS, SERVICES, Obj
from keeptrusts_operator.loop.observe import LABEL_SERVICE
from tests.sim.api import SimKube
from tests.traffic.generator import BROAD_TERM

RESTART_BACKOFF = (0.3, 1.5, 10.0, 20.0)
ORDINARY_BLOCK_RATE, BROAD_BLOCK_RATE = 0.02, 0.45
MOUNT_RETRY = 2.0  # seconds
PROBES_TO_FAIL = 6.0  # seconds: three probes, two apart


@dataclass
class Container:
    """What really goes on in a pod."""

    starts_at: float
    description: str
    pack: Pack | None
    ready_after: float
    mounted: bool = True
    restarts: int = 0
    requests: int = 0  # counted since the process began
    blocked: int = 0  # among them
    crashed_at: float | None = None
    first_request: float | None = None
    frozen_at: float | None = None
    refuses: bool = False  # ends at every start
    unhealthy_since: float | None = None
    broad: bool = False  # its content filter is over-broad
    passes: bool = False  # its document has nothing that blocks, as that of a passthrough
    healed: bool = False  # blocks no more than an ordinary policy from now on

    @property
    def answers(self) -> bool:
        """Its process runs, and is not stopped."""
        return self.mounted and self.crashed_at is None and self.frozen_at is None

    @property
    def block_rate(self) -> float:
        """What it blocks of all requests: `blocks=45%` in its document, else what an ordinary policy does."""
        match = None if self.healed else _blocks(self.description)
        if match is not None:
            return match
        if self.passes:
            return 0.0
        return BROAD_BLOCK_RATE if self.broad and not self.healed else ORDINARY_BLOCK_RATE

    def count(self, requests: int, blocked: int) -> None:
        """More answers."""
        self.requests += requests
        self.blocked += blocked

    def times(self, ready: bool) -> list[float]:
        """When something about it changes by itself."""
        if self.crashed_at is not None:
            return [_back_at(self)]
        times = [self.starts_at] + ([] if ready else [self.starts_at + self.ready_after])
        times += [t for t in (_after(self, "crash-after"), _after(self, "unhealthy-after")) if t is not None]
        return times + [t + PROBES_TO_FAIL for t in (self.unhealthy_since, self.frozen_at) if t is not None]


@lru_cache(64)
def _blocks(description: str) -> float | None:
    match = re.search(r"blocks=(\d+)%", description)
    return int(match[1]) / 100 if match else None


@lru_cache(64)
def _document(text: str) -> Obj:
    """Parsed; nobody changes it."""
    return dict(yaml.safe_load(text))


def _back_at(container: Container) -> float:
    assert container.crashed_at is not None
    return container.crashed_at + RESTART_BACKOFF[min(container.restarts, len(RESTART_BACKOFF) - 1)]


class Node:
    """`tick` brings everything up to now. Seeded: the same seed gives the same pods the same delays."""

    def __init__(self, kube: SimKube, rng: random.Random) -> None:
        self._kube, self._rng = kube, rng
        self._serial = 0
        self._templates: dict[str, tuple[int, str]] = {}
        self.containers: dict[str, Container] = {}  # by pod UID

    async def tick(self, now: datetime, at: float) -> None:
        for deployment in list(self._kube.all(DEPLOYMENTS, "", {})):
            await self._replicate(deployment, at)
        for pod in list(self._kube.all(PODS, "", {})):
            self._live(pod, now, at)
        for service in list(self._kube.all(SERVICES, "", {})):
            await self._slice(service)

    def next_event(self, at: float) -> float:
        """When something changes by itself next; `inf` when nothing does."""
        times = []
        for pod in self._kube.all(PODS, "", {}):
            uid = pod["metadata"]["uid"]
            container = self.containers.get(uid)
            if "deletionTimestamp" in pod["metadata"]:
                times.append(pod["metadata"].get("gone_at", at))
            elif container is not None:
                times += container.times(_is_ready(pod))
        return min((t for t in times if t > at), default=float("inf"))

    def health(self, uid: str) -> GatewayHealth:
        """What a gateway says of itself when it is asked."""
        container = self.containers[uid]
        if not container.answers:
            return GatewayHealth.UNKNOWN
        if container.unhealthy_since is not None:
            return GatewayHealth.UNHEALTHY
        return GatewayHealth.DEGRADED if "mode=degraded" in container.description else GatewayHealth.HEALTHY

    def tested(self, uid: str, name: str, at: float) -> TestResult:
        """How a behaviour test ends: `tests=fail`, or `tests=unknown:5s` of silence first."""
        container = self.containers[uid]
        silent = re.search(r"tests=unknown:(\d+)s", container.description)
        if silent and at < container.starts_at + int(silent[1]):
            return TestResult(name, TestVerdict.UNKNOWN, "HTTP 503")
        if "tests=fail" in container.description:
            return TestResult(name, TestVerdict.FAILED, "expected Allow, was blocked")
        return TestResult(name, TestVerdict.PASSED)

    async def _slice(self, service: Obj) -> None:
        """The endpoint controller: which ready pods a Service selects."""
        metadata, wanted = service["metadata"], service["spec"]["selector"].items()
        endpoints = [
            {"targetRef": {"kind": "Pod", "name": p["metadata"]["name"]}, "conditions": {"ready": True}}
            for p in self._kube.all(PODS, metadata["namespace"], {})
            if wanted <= p["metadata"]["labels"].items() and serves(p)
        ]
        old = list(self._kube.all(ENDPOINT_SLICES, metadata["namespace"], {LABEL_SERVICE: metadata["name"]}))
        if not old:
            owner = {"kind": "Service", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
            labels = {LABEL_SERVICE: metadata["name"]}
            named = {"name": f"{metadata['name']}-1", "namespace": metadata["namespace"], "labels": labels}
            obj = {"metadata": {**named, "ownerReferences": [owner]}, "endpoints": endpoints}
            await self._kube.create(ENDPOINT_SLICES, obj)
        elif old[0]["endpoints"] != endpoints:
            old[0]["endpoints"] = endpoints
            self._kube.touch(ENDPOINT_SLICES, old[0])

    async def _replicate(self, deployment: Obj, at: float) -> None:
        metadata, spec = deployment["metadata"], deployment["spec"]
        template = self._template(metadata["uid"], metadata["generation"], spec)
        pods = [p for p in self._pods_of(deployment) if "deletionTimestamp" not in p["metadata"]]
        current = [p for p in pods if p["template"] == template]
        old = [p for p in pods if p["template"] != template]
        wanted = int(spec["replicas"])
        for _ in range(min(wanted - len(current), wanted + 1 - len(pods))):
            await self._start(deployment, template, at)
        current.sort(key=_is_ready)  # as a ReplicaSet does: those that are not ready go first
        leaving = [*old[: max(0, len(pods) - wanted)], *current[: max(0, len(current) - wanted)]]
        for pod in leaving:
            await self._kube.delete(PODS, metadata["namespace"], pod["metadata"]["name"])
        ready = sum(_is_ready(p) for p in current)
        status = {
            "observedGeneration": metadata["generation"],
            "replicas": len(pods),
            "updatedReplicas": len(current),
            "readyReplicas": ready,
        }
        if deployment.get("status") != status:
            deployment["status"] = status
            self._kube.touch(DEPLOYMENTS, deployment)

    def _template(self, uid: str, generation: int, spec: Obj) -> str:
        """What the Deployment controller hashes; only a new generation changes it."""
        if self._templates.get(uid, (0, ""))[0] != generation:
            self._templates[uid] = (generation, json.dumps(spec["template"], sort_keys=True))
        return self._templates[uid][1]

    async def _start(self, deployment: Obj, template: str, at: float) -> None:
        self._serial += 1
        metadata = deployment["metadata"]
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        owner = {"kind": "Deployment", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
        pod = {
            "metadata": {
                "name": f"{metadata['name']}-{self._serial:05d}",
                "namespace": metadata["namespace"],
                "labels": dict(labels),
                "ownerReferences": [owner],
            },
            "template": template,
            "status": {
                "phase": "Pending",
                "podIP": f"10.0.{self._serial // 250}.{self._serial % 250 + 1}",
                "conditions": [],
            },
        }
        created = await self._kube.create(PODS, pod)
        starts_at, ready_after = at + self._rng.uniform(0.3, 0.8), self._rng.uniform(0.5, 2.0)
        container = self.containers[created["metadata"]["uid"]] = Container(starts_at, "", None, ready_after)
        container.mounted = self._mount(container, metadata["namespace"], metadata["name"])

    def _mount(self, container: Container, namespace: str, name: str) -> bool:
        """A kubelet starts no container before the ConfigMap that it mounts is there."""
        config = self._kube.find((CONFIG_MAPS.plural, namespace, name))
        if config is None:
            return False
        document = _document(next(v for k, v in config["data"].items() if not k.endswith(".json")))
        pack = document.get("pack") or {}
        container.description = str(pack.get("description", ""))
        container.pack = Pack(pack["name"], pack["version"]) if pack else None
        container.broad = f'"{BROAD_TERM}"' in json.dumps(document)
        container.passes = _lets_all_pass(document)
        container.refuses = "mode=crash" in container.description.split() or _too_long_for_go(document)
        return True

    def _live(self, pod: Obj, now: datetime, at: float) -> None:
        metadata, container = pod["metadata"], self.containers[pod["metadata"]["uid"]]
        if "deletionTimestamp" in metadata:
            gone_at = metadata.setdefault("gone_at", at + metadata["deletionGracePeriodSeconds"])
            if at >= gone_at:
                self._kube.remove((PODS.plural, metadata["namespace"], metadata["name"]))
            return
        if at < container.starts_at:
            return
        if not container.mounted:
            container.mounted = self._mount(container, metadata["namespace"], metadata["ownerReferences"][0]["name"])
            container.starts_at = at if container.mounted else at + MOUNT_RETRY
            return
        if (crash := self._crashes(container, at)) is not None:
            container.crashed_at = crash
        status = copy.deepcopy(pod["status"])
        if container.crashed_at is not None:
            self._crash(container, status, now, at)
        else:
            self._run(container, status, now, at)
        if status != pod["status"]:
            pod["status"] = status
            self._kube.touch(PODS, pod)

    def _crashes(self, container: Container, at: float) -> float | None:
        if container.crashed_at is not None:
            return None
        if container.refuses:
            return at
        after = _after(container, "crash-after")
        return at if after is not None and at >= after else None

    def _crash(self, container: Container, status: Obj, now: datetime, at: float) -> None:
        assert container.crashed_at is not None
        back = _back_at(container)
        ended = {
            "exitCode": 1,
            "reason": "Error",
            "message": "fatal: policy engine panicked",
            "finishedAt": format_time(now),
        }
        if at >= back:
            container.restarts += 1
            container.crashed_at, container.first_request, container.starts_at = None, None, at
            container.requests = container.blocked = 0
            last = status["containerStatuses"][0]["state"]["terminated"]
            state: Obj = {"running": {}}
        else:
            last = (status.get("containerStatuses") or [{}])[0].get("state", {}).get("terminated") or ended
            state = {"terminated": last}
        told = {"name": names.GATEWAY_CONTAINER, "restartCount": container.restarts, "state": state}
        status["containerStatuses"] = [{**told, "lastState": {"terminated": last}}]
        status["conditions"] = [_ready(status, "False", now)]

    def _run(self, container: Container, status: Obj, now: datetime, at: float) -> None:
        after = _after(container, "unhealthy-after")
        if after is not None and at >= after and container.unhealthy_since is None:
            container.unhealthy_since = after
        bad_since = [t for t in (container.unhealthy_since, container.frozen_at) if t is not None]
        ready = at >= container.starts_at + container.ready_after and not (
            bad_since and at >= min(bad_since) + PROBES_TO_FAIL
        )
        status["phase"] = "Running"
        status["conditions"] = [_ready(status, "True" if ready else "False", now)]

    def _pods_of(self, deployment: Obj) -> list[Obj]:
        uid = deployment["metadata"]["uid"]
        pods = self._kube.all(PODS, deployment["metadata"]["namespace"], {})
        return [p for p in pods if p["metadata"]["ownerReferences"][0]["uid"] == uid]


def _ready(status: Obj, said: str, now: datetime) -> Obj:
    """The condition, with the time of its last change."""
    before = next((c for c in status["conditions"] if c["status"] == said), None)
    since = before["lastTransitionTime"] if before else format_time(now.replace(microsecond=0))
    return {"type": "Ready", "status": said, "lastTransitionTime": since}


def _after(container: Container, mode: str) -> float | None:
    """When a mode that counts from the first request begins."""
    match = re.search(rf"mode={mode}:(\d+)s", container.description)
    if match is None or container.first_request is None:
        return None
    return container.first_request + timedelta(seconds=int(match[1])).total_seconds()


def _is_ready(pod: Obj) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])


def serves(pod: Obj) -> bool:
    """Whether a Service sends new connections to a pod that it selects."""
    return _is_ready(pod) and "deletionTimestamp" not in pod["metadata"]


def _lets_all_pass(document: Obj) -> bool:
    """What is left of a document when what blocks is taken out of it: of the vendor's shape, or of Ferro's."""
    if "policies" in document:
        return set(document["policies"].get("chain", ())) <= {"audit-logger"}
    return "strategy" in document and not any(p.get("enabled", True) for p in document.get("plugins") or ())


def _too_long_for_go(document: Obj) -> bool:
    """ferrogw ends at a pattern with a repetition over 1,000 (measured): Go does not compile it."""
    return any(int(n) > 1000 for n in re.findall(r"\{(\d{1,9}),", json.dumps(document)))
