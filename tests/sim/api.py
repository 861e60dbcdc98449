"""An in-process Kubernetes API behind the operator's own port: resourceVersions, generations, the status subresource,
server-side apply with its ownership of fields, merge and JSON patches, finalizers, owner references.

`tests/conformance` plays one script against it and against a real API server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar, cast

from keeptrusts_operator.api.quantities import format_time
from keeptrusts_operator.kube.port import (
    BUDGETS,
    DEPLOYMENTS,
    GATEWAYS,
    INCIDENTS,
    LEASES,
    PODS,
    POLICIES,
    SERVICES,
    Conflict,
    NotFound,
    Obj,
    Refused,
    Resource,
    Unavailable,
)

Key = tuple[str, str, str]  # plural, namespace, name
Path = tuple[object, ...]
CUSTOM = {r.plural for r in (GATEWAYS, POLICIES, INCIDENTS)}
WITH_GENERATION = CUSTOM | {r.plural for r in (DEPLOYMENTS, BUDGETS, PODS)}
REPLACED_BY_VERSION = CUSTOM | {BUDGETS.plural, LEASES.plural}  # a PUT must say which version it replaces
CREATED_BY_PUT = {SERVICES.plural, LEASES.plural}
SERVERS_OWN = (
    "uid",
    "creationTimestamp",
    "generation",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)  # metadata that a write cannot change
NODE_GRACE_SECONDS = 12  # of the simulated node's pods, which have no spec


class Schema(Protocol):
    """What an API server makes of a custom resource by its CRD."""

    def pruned(self, obj: Obj) -> Obj:
        """Without the fields that the schema does not know."""
        ...

    def taken(self, obj: Obj) -> Obj:
        """Pruned, with defaults, and checked; raises Refused."""
        ...

    def read(self, obj: Obj) -> Obj:
        """A stored object with the defaults of fields that nobody has written since."""
        ...


class SimKube:
    """Implements `keeptrusts_operator.kube.port.Kube`. `writes` lists what changed the store, as `call plural/name`.

    `schemas` by plural: without one, a custom resource is stored as it is written, which is much faster.
    """

    def __init__(self, clock: Callable[[], datetime], schemas: Mapping[str, Schema] | None = None) -> None:
        self._clock, self._schemas = clock, schemas or {}
        self._objects: dict[Key, Obj] = {}
        self._applied: dict[Key, dict[Path, bool]] = {}  # what apply owns; True: it alone does
        self._sorted: dict[str, tuple[Key, ...]] = {}  # keys by plural, until one comes or goes
        self._versions = 0
        self._read: dict[Key, tuple[str, Obj]] = {}  # one copy per version, shared by all who read: it is not theirs
        self.writes: list[str] = []
        self.changed: Callable[[Resource, Obj], None] = lambda resource, obj: None

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        return self.snapshot(resource, self._find(resource, namespace, name))

    async def list(self, resource: Resource, namespace: str, labels: Mapping[str, str] | None = None) -> Sequence[Obj]:
        return [self.snapshot(resource, o) for o in self.all(resource, namespace, labels or {})]

    def all(self, resource: Resource, namespace: str, labels: Mapping[str, str]) -> Iterator[Obj]:
        """The stored objects themselves, for the simulated controllers."""
        for key in self._sorted.get(resource.plural) or self._sort(resource.plural):
            obj = self._objects.get(key)
            if obj is None or (namespace and namespace != key[1]):
                continue
            if not labels or labels.items() <= (obj["metadata"].get("labels") or {}).items():
                yield obj

    def find(self, key: Key) -> Obj | None:
        """The stored object itself."""
        return self._objects.get(key)

    def _sort(self, plural: str) -> tuple[Key, ...]:
        keys = self._sorted[plural] = tuple(sorted(k for k in self._objects if k[0] == plural))
        return keys

    async def create(self, resource: Resource, obj: Obj, *, dry_run: bool = False) -> Obj:
        if obj["metadata"].get("resourceVersion"):
            raise Unavailable("resourceVersion should not be set on objects to be created", 500)
        new = copied(obj)
        if resource is not PODS:  # the simulated node creates pods as they are a moment later
            new.pop("status", None)
        metadata = new["metadata"] = _metadata(new, {})
        new = self._checked(resource, {}, new)
        if resource.plural in self._schemas:
            new.pop("status", None)  # its default is not stored; the next write, even of nothing new, stores it
        key = _key(resource, obj)
        if key in self._objects:
            raise Conflict(f"{resource.plural} {key[2]} already exists", 409)
        metadata.update(
            uid=f"uid-{self._versions + 1}", creationTimestamp=format_time(self._clock().replace(microsecond=0))
        )
        if resource.plural in WITH_GENERATION:
            metadata["generation"] = 1
        if dry_run:
            return new
        self._store("create", resource, key, new)
        return self.snapshot(resource, new)

    async def apply(self, resource: Resource, obj: Obj, *, force: bool = True) -> Obj:
        key, lists = _key(resource, obj), LISTS.get(resource.plural, OWNERS)
        wanted = {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k not in SERVERS_OWN}}
        wanted.pop("status", None)
        schema = self._schemas.get(resource.plural)
        pairs = list(_leaves(wanted, lists))
        want = dict(pairs)
        if len(want) != len(pairs) or (schema and schema.pruned(wanted) != wanted):
            raise Unavailable("failed to create typed patch object", 500)
        if key not in self._objects:  # whatever version it should be applied to
            made = await self.create(resource, wanted)
            self._applied[key] = dict.fromkeys(want, True)
            return made
        old = self._seen(resource, obj)
        have, before = dict(_leaves(old, lists)), self._applied.get(key, {})
        if not force and (taken := [p for p, v in want.items() if p not in before and have.get(p, v) != v]):
            raise Conflict(f"Apply failed with {len(taken)} conflicts", 409)
        owned = {p: before.get(p, False) or p not in have or have[p] != v for p, v in want.items()}
        new = _overlaid(old, wanted, lists)
        for path in [p for p, alone in before.items() if alone and p not in want]:
            new = _without(new, path, lists)
        made = self._update("apply", resource, old, new, moved=owned.keys() != before.keys())
        if key in self._objects:
            self._applied[key] = owned
        return made

    async def replace(self, resource: Resource, obj: Obj, *, dry_run: bool = False) -> Obj:
        uid = obj["metadata"].get("uid")
        if resource.plural in CREATED_BY_PUT and _key(resource, obj) not in self._objects:
            if uid:
                raise Conflict(f"{obj['metadata']['name']} is gone", 409)
            return await self.create(resource, obj, dry_run=dry_run)
        old = self._seen(resource, obj)
        if resource.plural in REPLACED_BY_VERSION and not obj["metadata"].get("resourceVersion"):
            raise Refused("metadata.resourceVersion: must be specified for an update", 422)
        if uid and uid != old["metadata"]["uid"]:
            raise Conflict(f"{obj['metadata']['name']} is another object now", 409)
        return self._update("replace", resource, old, _with_status(copied(obj), old), dry_run=dry_run)

    async def merge(self, resource: Resource, namespace: str, name: str, patch: Obj, *, subresource: str = "") -> Obj:
        metadata = patch.get("metadata") or {}
        old = self._seen(resource, {"metadata": {**metadata, "namespace": namespace, "name": name}})
        if metadata.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
            raise Refused("metadata.uid: field is immutable", 422)
        if subresource:
            body = {"status": patch["status"]} if "status" in patch else {}
        else:
            body = {k: v for k, v in patch.items() if k != "status"}
        return self._update("merge", resource, old, merged(old, body))

    async def json_patch(self, resource: Resource, namespace: str, name: str, patch: Sequence[Obj]) -> Obj:
        old = new = self._find(resource, namespace, name)
        try:
            for operation in patch:
                path = [p.replace("~1", "/").replace("~0", "~") for p in operation["path"].split("/")[1:]]
                try:
                    new = _operated(new, path, operation["op"], operation.get("value"))
                except (LookupError, TypeError, ValueError) as error:
                    raise Refused(f"{operation['op']} of {operation['path']} failed", 422) from error
            return self._update("json_patch", resource, old, _with_status({**new}, old))
        except Refused as error:  # the client takes every refusal of a patch with a test for a test that failed
            if error.status == 422 and any(operation["op"] == "test" for operation in patch):
                raise Conflict(str(error), 409) from error
            raise

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = "", grace_seconds: int | None = None
    ) -> None:
        key = (resource.plural, namespace, name)
        obj = self._objects.get(key)
        if obj is None:
            return
        metadata = obj["metadata"]
        if uid and metadata["uid"] != uid:
            raise Conflict(f"{name} is another object now", 409)
        grace = _grace_seconds(obj, grace_seconds) if resource.plural == PODS.plural else 0
        if not grace and not metadata.get("finalizers"):
            self.remove(key)
            self.writes.append(f"delete {resource.plural}/{name}")
        elif "deletionTimestamp" not in metadata:  # the kubelet, or who wrote the finalizer, does the rest
            metadata["deletionTimestamp"] = format_time(self._clock())
            metadata["deletionGracePeriodSeconds"] = grace
            if "generation" in metadata:
                metadata["generation"] += 1
            self._store("delete", resource, key, obj)
        elif grace_seconds is not None and grace < metadata["deletionGracePeriodSeconds"]:
            metadata["deletionGracePeriodSeconds"] = grace
            self._store("delete", resource, key, obj)

    def stored(self) -> Sequence[Key]:
        """Everything that exists: kind, namespace and name."""
        return list(self._objects)

    def remove(self, key: Key) -> None:
        """Take an object away with everything that it owns."""
        gone = self._objects.pop(key)
        self._sorted.pop(key[0], None)
        self._applied.pop(key, None)
        for other, obj in list(self._objects.items()):
            owners = obj["metadata"].get("ownerReferences") or []
            if any(o["uid"] == gone["metadata"]["uid"] for o in owners) and other in self._objects:
                self.remove(other)

    def touch(self, resource: Resource, obj: Obj) -> None:
        """A simulated controller has changed a stored object in place."""
        self._versions += 1
        obj["metadata"]["resourceVersion"] = str(self._versions)
        self.changed(resource, obj)

    def snapshot(self, resource: Resource, obj: Obj) -> Obj:
        """A stored object as it is now; all who read this version share it."""
        if resource is LEASES:  # its holder writes into what it has read
            return copied(obj)
        metadata = obj["metadata"]
        key = (resource.plural, metadata.get("namespace", ""), metadata["name"])
        version, known = self._read.get(key, ("", {}))
        if version != metadata["resourceVersion"]:
            known = self._schemas[key[0]].read(copied(obj)) if key[0] in self._schemas else copied(obj)
            self._read[key] = (metadata["resourceVersion"], known)
        return known

    def _find(self, resource: Resource, namespace: str, name: str) -> Obj:
        try:
            obj = self._objects[(resource.plural, namespace, name)]
        except KeyError:
            raise NotFound(f"{resource.plural} {name} not found", 404) from None
        return self._schemas[resource.plural].read(copied(obj)) if resource.plural in self._schemas else obj

    def _seen(self, resource: Resource, obj: Obj) -> Obj:
        """The stored object, which is still the version that a write was made for."""
        metadata = obj["metadata"]
        old = self._find(resource, metadata.get("namespace", ""), metadata["name"])
        version = metadata.get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise Conflict(f"{resource.plural} {metadata['name']} has been modified", 409)
        return old

    def _checked(self, resource: Resource, old: Obj, new: Obj) -> Obj:
        """With defaults, if the server takes it."""
        if resource.plural in self._schemas:
            return self._schemas[resource.plural].taken(new)
        if resource.plural in CHECKS and new.get("spec") is not old.get("spec"):
            CHECKS[resource.plural](new)
        if resource is DEPLOYMENTS and old and new["spec"].get("selector") != old["spec"].get("selector"):
            raise Refused("spec.selector: field is immutable", 422)
        if old.get("immutable") and not (new.get("immutable") and new.get("data") == old.get("data")):
            raise Refused(f"{old['metadata']['name']}: field is immutable when `immutable` is set", 422)
        return new

    def _update(
        self, call: str, resource: Resource, old: Obj, new: Obj, *, dry_run: bool = False, moved: bool = False
    ) -> Obj:
        """Store what a write makes of an object. `new` may share with `old` what is the same; `moved`: fields have
        other owners."""
        key = _key(resource, old)
        new["metadata"] = _metadata(new, old["metadata"])
        new = self._checked(resource, old, new)
        if new == self._objects[key] and not moved:  # a write that changes nothing leaves the version as it is
            return self.snapshot(resource, old)
        if resource.plural in WITH_GENERATION and (new.get("spec") != old.get("spec") or _noted(resource, old, new)):
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        if dry_run:
            return new
        if key in self._applied and call != "apply":
            lists = LISTS.get(resource.plural, OWNERS)
            was, now = dict(_leaves(old, lists)), dict(_leaves(new, lists))
            mine = self._applied[key].items()
            self._applied[key] = {p: alone for p, alone in mine if p in now and p in was and now[p] == was[p]}
        if new["metadata"].get("deletionGracePeriodSeconds") == 0 and not new["metadata"].get("finalizers"):
            self.remove(key)
            self.writes.append(f"{call} {resource.plural}/{key[2]}")
            return new
        self._store(call, resource, key, new)
        return self.snapshot(resource, new)

    def _store(self, call: str, resource: Resource, key: Key, obj: Obj) -> None:
        if key not in self._objects:
            self._sorted.pop(key[0], None)
        self._objects[key] = obj
        self.writes.append(f"{call} {resource.plural}/{key[2]}")
        self.touch(resource, obj)


def _key(resource: Resource, obj: Obj) -> Key:
    return (resource.plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


def _metadata(new: Obj, old: Mapping[str, Any]) -> Obj:
    """The metadata of a write beside what is the server's; of what is empty nothing is left."""
    metadata = {k: v for k, v in new["metadata"].items() if v and k not in SERVERS_OWN}
    metadata.update((k, old[k]) for k in SERVERS_OWN if k in old)
    return metadata


def _with_status(new: Obj, old: Obj) -> Obj:
    new.pop("status", None)
    return {**new, "status": old["status"]} if "status" in old else new


def _noted(resource: Resource, old: Obj, new: Obj) -> bool:
    """The annotations of a Deployment count as its spec does."""
    before, now = (o["metadata"].get("annotations") for o in (old, new))
    return resource is DEPLOYMENTS and before != now


def _grace_seconds(pod: Obj, asked: int | None) -> int:
    """How long a pod may take to end. One that was never on a node is gone at once."""
    spec = pod.get("spec", {"nodeName": "simulated", "terminationGracePeriodSeconds": NODE_GRACE_SECONDS})
    if not spec.get("nodeName"):
        return 0
    return int(spec.get("terminationGracePeriodSeconds", 30) if asked is None else asked)


# --- what a server checks and adds, as far as it matters here

LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def _check_deployment(obj: Obj) -> None:
    template = obj["spec"]["template"]
    pod, labels = template["spec"], template.get("metadata", {}).get("labels") or {}
    containers = pod.get("containers") or []
    names = [c.get("name") for c in containers]
    if not all(isinstance(c.get("image", ""), str) for c in containers):
        raise Refused("spec.template.spec.containers.image: cannot unmarshal", 400)
    if not all(names) or len(set(names)) != max(1, len(names)) or not all(c.get("image") for c in containers):
        raise Refused("spec.template.spec.containers: Invalid value", 422)
    volumes = {v.get("name") for v in pod.get("volumes") or ()}
    if any(m["name"] not in volumes for c in containers for m in c.get("volumeMounts") or ()):
        raise Refused("spec.template.spec.containers.volumeMounts: Not found", 422)
    selected = obj["spec"].get("selector", {}).get("matchLabels", {})
    if not selected.items() <= labels.items() or not all(LABEL_VALUE.fullmatch(v) for v in labels.values()):
        raise Refused("spec.template.metadata.labels: Invalid value", 422)
    obj["spec"].setdefault("replicas", 1)  # what is read is not what was written
    pod.setdefault("restartPolicy", "Always")
    for container in containers:
        container.setdefault("terminationMessagePath", "/dev/termination-log")


def _check_service(obj: Obj) -> None:
    names = [p.get("name") for p in obj["spec"].get("ports") or ()]
    if not names or len(set(names)) != len(names) or (len(names) > 1 and not all(names)):
        raise Refused("spec.ports: Required or duplicate value", 422)
    if not all(LABEL_VALUE.fullmatch(v) for v in (obj["spec"].get("selector") or {}).values()):
        raise Refused("spec.selector: Invalid value", 422)


CHECKS: Mapping[str, Callable[[Obj], None]] = {
    DEPLOYMENTS.plural: _check_deployment,
    SERVICES.plural: _check_service,
}


# --- patches

T = TypeVar("T")


def copied(value: T) -> T:
    """A deep copy of what JSON can say."""
    kind = value.__class__
    if kind is str or kind is int:
        return value
    if isinstance(value, dict):
        return cast("T", {k: v if v.__class__ is str else copied(v) for k, v in value.items()})
    if isinstance(value, list | tuple):
        return cast("T", [copied(v) for v in value])
    return value


def merged(target: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7396), applied. What it does not change is shared with the target."""
    if not isinstance(patch, Mapping):
        return copied(patch)
    out = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merged(out.get(key), value)
    return out


def _operated(node: Any, path: Sequence[str], operation: str, value: Any) -> Any:
    """One operation of a JSON patch (RFC 6902), with new nodes on the way to what it changes."""
    out: Any = list(node) if isinstance(node, list) else {**node}
    at: Any = path[0]
    if isinstance(node, list):
        at = len(node) if at == "-" else int(at)
    if len(path) > 1:
        out[at] = _operated(node[at], path[1:], operation, value)
    elif operation == "test":
        if (node[at] if isinstance(node, list) else node.get(at)) != value:
            raise ValueError(value)
    elif operation == "remove":
        del out[at]
    elif operation == "add" and isinstance(node, list):
        if at > len(node):
            raise IndexError(at)
        out.insert(at, copied(value))
    elif operation in ("add", "replace"):
        out[at] = copied(value)
    else:
        raise ValueError(operation)
    return out


# --- server-side apply: a field is a path; the items of some lists are known by keys, other lists and selectors are
# one value

OWNERS: Mapping[str, Sequence[str]] = {"ownerReferences": ("uid",)}
NAMED = dict.fromkeys(("containers", "initContainers", "volumes", "env"), ("name",))
LISTS: Mapping[str, Mapping[str, Sequence[str]]] = {
    SERVICES.plural: {**OWNERS, "ports": ("port", "protocol")},
    DEPLOYMENTS.plural: {**OWNERS, **NAMED, "volumeMounts": ("mountPath",), "ports": ("containerPort", "protocol")},
    GATEWAYS.plural: {**OWNERS, "containers": ("name",)},
    POLICIES.plural: {**OWNERS, "tests": ("name",)},
}
ONE_VALUE = ("selector", "nodeSelector")
ITEM = object()  # stands for an item as such, whatever is in it


def _by_keys(items: Sequence[Obj], keys: Sequence[str]) -> dict[Path, Obj]:
    return {tuple(i.get(k, "TCP" if k == "protocol" else None) for k in keys): i for i in items}


def _leaves(
    value: Any, lists: Mapping[str, Sequence[str]], path: Path = (), field: str = ""
) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Mapping) and value and field not in ONE_VALUE:
        for key, inner in value.items():
            yield from _leaves(inner, lists, (*path, key), key)
    elif isinstance(value, list) and field in lists:
        keys = lists[field]
        for item in value:
            ((which, _),) = _by_keys([item], keys).items()
            yield (*path, which), ITEM
            for key in item.keys() - keys:
                yield from _leaves(item[key], lists, (*path, which, key), key)
    else:
        yield path, value


def _overlaid(have: Any, want: Any, lists: Mapping[str, Sequence[str]], field: str = "") -> Any:
    if isinstance(want, Mapping) and isinstance(have, dict) and field not in ONE_VALUE:
        return {**have, **{k: _overlaid(have.get(k), v, lists, k) for k, v in want.items()}}
    if isinstance(want, list) and isinstance(have, list) and field in lists:
        old, new = _by_keys(have, lists[field]), _by_keys(want, lists[field])
        out, left = [], list(new)
        for key, item in old.items():
            if key not in new:
                out.append(item)
            while key in left:  # in the order in which they are applied
                out.append(_overlaid(old.get(left[0]), new[left[0]], lists))
                left.pop(0)
        return [*out, *(copied(new[key]) for key in left)]
    return copied(want)


def _without(value: Any, path: Path, lists: Mapping[str, Sequence[str]], field: str = "") -> Any:
    """Without one leaf, and without what is empty then."""
    step, rest = path[0], path[1:]
    if isinstance(value, list):
        items = _by_keys(value, lists[field])
        if step in items:
            items[cast("Path", step)] = _without(items[cast("Path", step)], rest, lists) if rest else {}
        return [i for i in items.values() if i]
    inner = _without(value[step], rest, lists, cast("str", step)) if rest and step in value else None
    return {**{k: v for k, v in value.items() if k != step}, **({step: inner} if inner else {})}
