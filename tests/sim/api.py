"""An in-process Kubernetes API behind the operator's own port: resourceVersions, generations, the status subresource,
server-side apply, merge and JSON patches, owner references."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

from keeptrusts_operator.api.quantities import format_time
from keeptrusts_operator.kube.port import GATEWAYS, PODS, POLICIES, Conflict, NotFound, Obj, Refused, Resource

Key = tuple[str, str, str]  # plural, namespace, name
WITH_STATUS = {GATEWAYS.plural, POLICIES.plural}


class SimKube:
    """Implements `keeptrusts_operator.kube.port.Kube`. `writes` lists what changed the store, as `call plural/name`."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._objects: dict[Key, Obj] = {}
        self._applied: dict[Key, Obj] = {}
        self._versions = 0
        self._read: dict[Key, tuple[str, Obj]] = {}  # one copy per version, shared by all who read: it is not theirs
        self.writes: list[str] = []
        self.changed: Callable[[Resource, Obj], None] = lambda resource, obj: None

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        return self._copy(resource, self._find(resource, namespace, name))

    async def list(self, resource: Resource, namespace: str, labels: Mapping[str, str] | None = None) -> Sequence[Obj]:
        return [self._copy(resource, o) for o in self.all(resource, namespace, labels or {})]

    def _copy(self, resource: Resource, obj: Obj) -> Obj:
        metadata = obj["metadata"]
        key = (resource.plural, metadata["namespace"], metadata["name"])
        version, known = self._read.get(key, ("", {}))
        if version != metadata["resourceVersion"]:
            known = copied(obj)
            self._read[key] = (metadata["resourceVersion"], known)
        return known

    def all(self, resource: Resource, namespace: str, labels: Mapping[str, str]) -> Iterator[Obj]:
        """The stored objects themselves, for the simulated controllers."""
        for key in sorted(k for k in self._objects if k[0] == resource.plural and namespace in ("", k[1])):
            has = self._objects[key]["metadata"].get("labels") or {}
            if labels.items() <= has.items():
                yield self._objects[key]

    async def create(self, resource: Resource, obj: Obj, *, dry_run: bool = False) -> Obj:
        new = copied(obj)
        metadata = new["metadata"]
        _validate(resource, new)
        _default(resource, new)
        if dry_run:
            return new
        key = (resource.plural, metadata["namespace"], metadata["name"])
        if key in self._objects:
            raise Conflict(f"{resource.plural} {metadata['name']} already exists", 409)
        metadata.update(
            uid=f"uid-{self._versions + 1}", creationTimestamp=format_time(self._clock().replace(microsecond=0))
        )
        metadata["generation"] = 1
        if resource.plural in WITH_STATUS:
            new.pop("status", None)
        self._store("create", resource, key, new)
        return copied(new)

    async def apply(self, resource: Resource, obj: Obj) -> Obj:
        namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
        key = (resource.plural, namespace, name)
        if key not in self._objects:
            self._applied[key] = copied(obj)
            return await self.create(resource, obj)
        new = copied(self._checked(resource, namespace, name, obj["metadata"].get("resourceVersion")))
        wanted = copied(obj)
        wanted["metadata"].pop("resourceVersion", None)
        _forget(new, self._applied.get(key, {}), wanted)
        _overlay(new, wanted)
        self._applied[key] = wanted
        return self._update("apply", resource, key, new)

    async def replace(self, resource: Resource, obj: Obj, *, dry_run: bool = False) -> Obj:
        namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
        old = self._checked(resource, namespace, name, obj["metadata"].get("resourceVersion"))
        new = copied(obj)
        _validate(resource, new)
        _default(resource, new)
        kept = ("uid", "creationTimestamp", "generation", "resourceVersion")
        new["metadata"] = {**new["metadata"], **{k: old["metadata"][k] for k in kept}}
        if "status" in old:
            new["status"] = copied(old["status"])
        return new if dry_run else self._update("replace", resource, (resource.plural, namespace, name), new)

    async def merge(self, resource: Resource, namespace: str, name: str, patch: Obj, *, subresource: str = "") -> Obj:
        old = self._checked(resource, namespace, name, patch.get("metadata", {}).get("resourceVersion"))
        new = copied(old)
        body = {k: v for k, v in patch.items() if (k == "status") == (subresource == "status") or k == "metadata"}
        body["metadata"] = (
            {} if subresource else {k: v for k, v in body.get("metadata", {}).items() if k != "resourceVersion"}
        )
        return self._update("merge", resource, (resource.plural, namespace, name), merged(new, body))

    async def json_patch(self, resource: Resource, namespace: str, name: str, patch: Sequence[Obj]) -> Obj:
        new = copied(self._find(resource, namespace, name))
        for operation in patch:
            *path, last = [p.replace("~1", "/").replace("~0", "~") for p in operation["path"].split("/")[1:]]
            target = new
            for part in path:
                target = target.get(part, {})
            if operation["op"] == "test":
                if target.get(last) != operation["value"]:
                    raise Conflict(f"test of {operation['path']} failed", 409)
            else:
                target[last] = copied(operation["value"])
        return self._update("json_patch", resource, (resource.plural, namespace, name), new)

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = "", grace_seconds: int | None = None
    ) -> None:
        key = (resource.plural, namespace, name)
        obj = self._objects.get(key)
        if obj is None:
            return
        if uid and obj["metadata"]["uid"] != uid:
            raise Conflict(f"{name} is another object now", 409)
        if resource.plural == PODS.plural:  # the kubelet removes it when its grace is over
            if "deletionTimestamp" not in obj["metadata"]:
                obj["metadata"]["deletionTimestamp"] = format_time(self._clock())
                obj["metadata"]["deletionGracePeriodSeconds"] = 12 if grace_seconds is None else grace_seconds
                self._store("delete", resource, key, obj)
        else:
            self.remove(key)
            self.writes.append(f"delete {resource.plural}/{name}")

    def stored(self) -> Sequence[Key]:
        """Everything that exists: kind, namespace and name."""
        return list(self._objects)

    def remove(self, key: Key) -> None:
        """Take an object away with everything that it owns."""
        gone = self._objects.pop(key)
        for other, obj in list(self._objects.items()):
            owners = obj["metadata"].get("ownerReferences") or []
            if any(o["uid"] == gone["metadata"]["uid"] for o in owners) and other in self._objects:
                self.remove(other)

    def touch(self, resource: Resource, obj: Obj) -> None:
        """A simulated controller has changed a stored object in place."""
        self._versions += 1
        obj["metadata"]["resourceVersion"] = str(self._versions)
        self.changed(resource, obj)

    def _find(self, resource: Resource, namespace: str, name: str) -> Obj:
        try:
            return self._objects[(resource.plural, namespace, name)]
        except KeyError:
            raise NotFound(f"{resource.plural} {name} not found", 404) from None

    def _checked(self, resource: Resource, namespace: str, name: str, version: str | None) -> Obj:
        obj = self._find(resource, namespace, name)
        if version and obj["metadata"]["resourceVersion"] != version:
            raise Conflict(f"{resource.plural} {name} has been modified", 409)
        return obj

    def _update(self, call: str, resource: Resource, key: Key, new: Obj) -> Obj:
        old = self._objects[key]
        if new != old:  # a write that changes nothing leaves the version as it is
            if new.get("spec") != old.get("spec"):
                new["metadata"]["generation"] = old["metadata"]["generation"] + 1
            if old.get("immutable") and new.get("data") != old.get("data"):
                raise Refused(f"{key[2]}: field is immutable", 422)
            self._store(call, resource, key, new)
        return copied(new)

    def _store(self, call: str, resource: Resource, key: Key, obj: Obj) -> None:
        self._objects[key] = obj
        self.writes.append(f"{call} {resource.plural}/{key[2]}")
        self.touch(resource, obj)


def _validate(resource: Resource, obj: Obj) -> None:
    if resource.kind != "Deployment":
        return
    names = [c.get("name") for c in obj["spec"]["template"]["spec"]["containers"]]
    if len(set(names)) != len(names) or any(not c.get("image") for c in obj["spec"]["template"]["spec"]["containers"]):
        raise Refused("spec.template.spec.containers: Invalid value", 422)


def _default(resource: Resource, obj: Obj) -> None:
    """Some of what a server adds: what is read is not what was written."""
    if resource.kind == "Deployment":
        obj["spec"].setdefault("replicas", 1)
        obj["spec"]["template"]["spec"].setdefault("restartPolicy", "Always")
        for container in obj["spec"]["template"]["spec"]["containers"]:
            container.setdefault("terminationMessagePath", "/dev/termination-log")


T = TypeVar("T")


def copied(value: T) -> T:
    """A deep copy of what JSON can say."""
    if isinstance(value, dict):
        return cast("T", {k: copied(v) for k, v in value.items()})
    if isinstance(value, list | tuple):
        return cast("T", [copied(v) for v in value])
    return value


def merged(target: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7396), applied."""
    if not isinstance(patch, Mapping):
        return copied(patch)
    out = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merged(out.get(key), value)
    return out


def _forget(target: Obj, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Remove what our manager applied the last time and leaves out now."""
    for key, value in before.items():
        if key not in now:
            target.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(now[key], Mapping) and isinstance(target.get(key), dict):
            _forget(target[key], value, now[key])


def _overlay(target: Obj, wanted: Mapping[str, Any]) -> None:
    for key, value in wanted.items():
        if key != "selector" and isinstance(value, Mapping) and isinstance(target.get(key), dict):
            _overlay(target[key], value)
        else:  # lists, and selectors, are replaced as a whole
            target[key] = value
