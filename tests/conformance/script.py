"""The script: each case plays calls of the port in a namespace of its own and says what was answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from keeptrusts_operator.kube.port import (
    BUDGETS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    GATEWAYS,
    INCIDENTS,
    LEASES,
    PODS,
    SERVICES,
    Kube,
    Obj,
)
from tests.conformance.objects import (
    NAME,
    budget,
    config_map,
    container,
    deployment,
    gateway,
    incident,
    lease,
    named,
    pod,
    port,
    service,
)
from tests.conformance.told import Answer, Said

Case = Callable[[Kube, str, Said], Awaitable[None]]
CASES: dict[str, Case] = {}
MAPS, LABELS, NOTES = (CONFIG_MAPS, "metadata.labels", "metadata.annotations")
STATUS = {"subresource": "status"}


def case(function: Case) -> Case:
    CASES[getattr(function, "__name__", "")] = function
    return function


async def play(name: str, kube: Kube, namespace: str) -> list[Answer]:
    """The answers to one case."""
    said = Said()
    await CASES[name](kube, namespace, said)
    return said.answers


def version(obj: Obj) -> Obj:
    """Metadata that makes a write one onto exactly this version."""
    return {"resourceVersion": obj["metadata"]["resourceVersion"]}


def onto(obj: Obj, seen: Obj) -> Obj:
    return {**obj, "metadata": {**obj["metadata"], **version(seen)}}


# --- creating, reading, deleting


@case
async def create(kube: Kube, ns: str, said: Said) -> None:
    await said("create", kube.create(MAPS, config_map(ns, {"a": "1"}, labels={"l": "1"})), "data", LABELS)
    await said("get", kube.get(MAPS, ns, NAME), "apiVersion", "kind", "data", "metadata.creationTimestamp?")
    await said("create again", kube.create(MAPS, config_map(ns, {"a": "2"})))
    await said("create again, dry", kube.create(MAPS, config_map(ns, {"a": "2"}), dry_run=True))
    await said("get again", kube.get(MAPS, ns, NAME), "data")


@case
async def create_says_too_much(kube: Kube, ns: str, said: Said) -> None:
    """UID, generation and times are the server's; a resourceVersion is refused."""
    metadata = {"uid": "mine", "generation": 7, "creationTimestamp": "2020-01-01T00:00:00Z"}
    made = await said("create", kube.create(GATEWAYS, named_gateway(ns, **metadata)), "spec.replicas")
    said.answers.append({"uid": made["metadata"]["uid"] == "mine"})
    await said("delete", kube.delete(GATEWAYS, ns, NAME))
    await said("with a version", kube.create(GATEWAYS, named_gateway(ns, resourceVersion="1")))


@case
async def missing(kube: Kube, ns: str, said: Said) -> None:
    await said("get", kube.get(MAPS, ns, NAME))
    await said("list", kube.list(DEPLOYMENTS, ns))
    await said("merge", kube.merge(MAPS, ns, NAME, {"data": {"a": "1"}}))
    await said("merge status", kube.merge(GATEWAYS, ns, NAME, {"status": {}}, **STATUS))
    await said("patch", kube.json_patch(MAPS, ns, NAME, [{"op": "add", "path": "/data", "value": {}}]))
    await said("delete", kube.delete(MAPS, ns, NAME))
    await said("delete a uid", kube.delete(MAPS, ns, NAME, uid="one-that-is-gone"))


@case
async def missing_replace(kube: Kube, ns: str, said: Said) -> None:
    for resource, obj in (
        (DEPLOYMENTS, deployment(ns)),
        (SERVICES, service(ns)),
        (BUDGETS, budget(ns, 1)),
        (GATEWAYS, gateway(ns)),
        (LEASES, lease(ns, "me")),
    ):
        await said(f"replace {resource.plural}", kube.replace(resource, obj))


@case
async def replace_of_what_is_gone(kube: Kube, ns: str, said: Said) -> None:
    for resource, obj in ((DEPLOYMENTS, deployment(ns)), (MAPS, config_map(ns, {})), (LEASES, lease(ns, "me"))):
        seen = await said(f"create {resource.plural}", kube.create(resource, obj))
        await said("delete", kube.delete(resource, ns, NAME))
        await said("replace what was read", kube.replace(resource, seen))
        await said("apply onto its version", kube.apply(resource, onto(obj, seen)))
        await said("get", kube.get(resource, ns, NAME))


@case
async def list_by_labels(kube: Kube, ns: str, said: Said) -> None:
    for name, labels in (("a", {"one": "1", "two": "2"}), ("b", {"one": "1"}), ("c", {"one": "2"})):
        await said("create", kube.create(MAPS, config_map(ns, {}, name, labels=labels)))
    for labels in ({"one": "1"}, {"one": "1", "two": "2"}, {"one": "3"}, {"three": "1"}):
        await said(f"list {labels}", kube.list(MAPS, ns, labels))
    (only,) = await kube.list(MAPS, ns, {"two": "2"})
    said.answers.append({"kind": only["kind"], "apiVersion": only["apiVersion"]})


@case
async def delete(kube: Kube, ns: str, said: Said) -> None:
    made = await said("create", kube.create(DEPLOYMENTS, deployment(ns)))
    await said("with another uid", kube.delete(DEPLOYMENTS, ns, NAME, uid="another"))
    await said("get", kube.get(DEPLOYMENTS, ns, NAME))
    await said("with its uid", kube.delete(DEPLOYMENTS, ns, NAME, uid=made["metadata"]["uid"]))
    await said("get", kube.get(DEPLOYMENTS, ns, NAME))
    await said("create again", kube.create(DEPLOYMENTS, deployment(ns)))


@case
async def delete_pod(kube: Kube, ns: str, said: Said) -> None:
    """One that no node has is gone at once; another one stays until its node says that it has ended."""
    going = ("metadata.deletionTimestamp?", "metadata.deletionGracePeriodSeconds")
    await said("create", kube.create(PODS, pod(ns)))
    await said("delete", kube.delete(PODS, ns, NAME))
    await said("get", kube.get(PODS, ns, NAME), *going)
    made = await said("create on a node", kube.create(PODS, pod(ns, "nowhere", terminationGracePeriodSeconds=20)))
    await said("with another uid", kube.delete(PODS, ns, NAME, uid="another"))
    await said("get", kube.get(PODS, ns, NAME), *going)
    await said("delete", kube.delete(PODS, ns, NAME, uid=made["metadata"]["uid"]))
    await said("get", kube.get(PODS, ns, NAME), *going)
    await said("delete again", kube.delete(PODS, ns, NAME))
    await said("get", kube.get(PODS, ns, NAME), *going)
    await said("in more time", kube.delete(PODS, ns, NAME, grace_seconds=60))
    await said("get", kube.get(PODS, ns, NAME), *going)
    await said("in haste", kube.delete(PODS, ns, NAME, grace_seconds=3))
    await said("get", kube.get(PODS, ns, NAME), *going)
    await said("label", kube.merge(PODS, ns, NAME, {"metadata": {"labels": {"a": "1"}}}), LABELS, *going)
    await said("now", kube.delete(PODS, ns, NAME, grace_seconds=0))
    await said("get", kube.get(PODS, ns, NAME))


@case
async def finalizers(kube: Kube, ns: str, said: Said) -> None:
    going = ("metadata.deletionTimestamp?", "metadata.finalizers")
    held = {**gateway(ns), "metadata": {**gateway(ns)["metadata"], "finalizers": ["example.com/a", "example.com/b"]}}
    await said("create", kube.create(GATEWAYS, held), *going)
    await said("delete", kube.delete(GATEWAYS, ns, NAME))
    await said("get", kube.get(GATEWAYS, ns, NAME), *going)
    await said("delete again", kube.delete(GATEWAYS, ns, NAME))
    await said("get", kube.get(GATEWAYS, ns, NAME), *going)
    await said("status", kube.merge(GATEWAYS, ns, NAME, {"status": {"message": "hello"}}, **STATUS), "status", *going)
    await said("spec", kube.merge(GATEWAYS, ns, NAME, {"spec": {"replicas": 4}}), "spec.replicas", *going)
    one = {"metadata": {"finalizers": ["example.com/a"]}}
    await said("one is done", kube.merge(GATEWAYS, ns, NAME, one), *going)
    await said("both are", kube.merge(GATEWAYS, ns, NAME, {"metadata": {"finalizers": None}}))
    await said("get", kube.get(GATEWAYS, ns, NAME))


@case
async def nothing_is_left_of_what_is_empty(kube: Kube, ns: str, said: Said) -> None:
    fields = (LABELS, NOTES, "metadata.ownerReferences")
    empty: Obj = {"labels": {}, "annotations": {}, "ownerReferences": []}
    await said("create", kube.create(SERVICES, service(ns, **empty)), *fields)
    await said("merge", kube.merge(SERVICES, ns, NAME, {"metadata": empty}), *fields)
    await said("one", kube.merge(SERVICES, ns, NAME, {"metadata": {"annotations": {"a": "1"}}}), *fields)
    await said("none", kube.merge(SERVICES, ns, NAME, {"metadata": {"annotations": {"a": None}}}), *fields)
    await said("custom resource", kube.create(GATEWAYS, named_gateway(ns, **empty)), *fields)
    await said("its rollout", kube.merge(GATEWAYS, ns, NAME, {"spec": {"rollout": {}}}), "spec.rollout")


# --- merge patches


@case
async def merge_onto_a_version(kube: Kube, ns: str, said: Said) -> None:
    first = await said("create", kube.create(MAPS, config_map(ns, {"a": "1"})))
    await said("right", kube.merge(MAPS, ns, NAME, {"metadata": version(first), "data": {"a": "2"}}), "data")
    await said("stale", kube.merge(MAPS, ns, NAME, {"metadata": version(first), "data": {"a": "3"}}))
    await said("stale, no change", kube.merge(MAPS, ns, NAME, {"metadata": version(first), "data": {"a": "2"}}))
    await said("none", kube.merge(MAPS, ns, NAME, {"data": {"a": "4"}}), "data")
    await said("another uid", kube.merge(MAPS, ns, NAME, {"metadata": {"uid": "another"}, "data": {"a": "5"}}))
    same = {"uid": first["metadata"]["uid"], "creationTimestamp": "2020-01-01T00:00:00Z", "generation": 8}
    await said("what is the server's", kube.merge(MAPS, ns, NAME, {"metadata": same}))
    await said("get", kube.get(MAPS, ns, NAME), "data")


@case
async def merge_null_removes(kube: Kube, ns: str, said: Said) -> None:
    await said("create", kube.create(MAPS, config_map(ns, {"a": "1", "b": "1"}, labels={"l": "1", "m": "1"})))
    await said("one", kube.merge(MAPS, ns, NAME, {"data": {"a": None}}), "data")
    await said("one that is not there", kube.merge(MAPS, ns, NAME, {"data": {"a": None}}), "data")
    await said("a label", kube.merge(MAPS, ns, NAME, {"metadata": {"labels": {"l": None}}}), LABELS)
    await said("all labels", kube.merge(MAPS, ns, NAME, {"metadata": {"labels": None}}), LABELS)
    await said("all", kube.merge(MAPS, ns, NAME, {"data": None}), "data")
    await said("add anew", kube.merge(MAPS, ns, NAME, {"data": {"c": "1", "d": None}}), "data")


@case
async def merge_replaces_lists(kube: Kube, ns: str, said: Said) -> None:
    await said("create", kube.create(SERVICES, service(ns, port(80), port(81, "other"))), "spec.ports")
    await said("one", kube.merge(SERVICES, ns, NAME, {"spec": {"ports": [port(82)]}}), "spec.ports")
    more = {"spec": {"selector": {"app": None, "tier": "1"}}}
    await said("selector", kube.merge(SERVICES, ns, NAME, more), "spec.selector")


@case
async def status_is_apart(kube: Kube, ns: str, said: Said) -> None:
    """Of a custom resource: a write of the object does not touch its status, one of the status nothing else."""
    fields = ("status", "spec.replicas", LABELS, NOTES)
    with_status = {**gateway(ns), "status": {"message": "mine"}}
    made = await said("create", kube.create(GATEWAYS, with_status), *fields)
    both: Obj = {
        "metadata": {"labels": {"l": "1"}, "annotations": {"n": "1"}},
        "spec": {"replicas": 5},
        "status": {"message": "merged"},
    }
    await said("status", kube.merge(GATEWAYS, ns, NAME, both, **STATUS), *fields)
    await said("status again", kube.merge(GATEWAYS, ns, NAME, both, **STATUS), *fields)
    await said("status of none", kube.merge(GATEWAYS, ns, NAME, {"spec": {"replicas": 6}}, **STATUS), *fields)
    await said("stale", kube.merge(GATEWAYS, ns, NAME, {**both, "metadata": version(made)}, **STATUS))
    both["status"] = {"message": "ignored"}
    last = await said("object", kube.merge(GATEWAYS, ns, NAME, both), *fields)
    await said("replace", kube.replace(GATEWAYS, onto(with_status, last)), *fields)
    patch = [{"op": "add", "path": "/status/message", "value": "patched"}]
    await said("patch", kube.json_patch(GATEWAYS, ns, NAME, patch), *fields)
    await said("apply", kube.apply(GATEWAYS, with_status), *fields)
    await said("null", kube.merge(GATEWAYS, ns, NAME, {"status": {"message": None}}, **STATUS), *fields)
    await said("status away", kube.merge(GATEWAYS, ns, NAME, {"status": None}, **STATUS), *fields)
    await said("get", kube.get(GATEWAYS, ns, NAME), *fields)


@case
async def status_of_an_incident(kube: Kube, ns: str, said: Said) -> None:
    fields = ("spec", "status", LABELS)
    status = {"type": "Rollback", "message": "it went back"}
    await said("create", kube.create(INCIDENTS, {**incident(ns), "status": status}), *fields)
    await said("again", kube.create(INCIDENTS, incident(ns)))
    await said("status", kube.merge(INCIDENTS, ns, NAME, {"status": status}, **STATUS), *fields)
    await said("status again", kube.merge(INCIDENTS, ns, NAME, {"status": status}, **STATUS), *fields)
    await said("people", kube.merge(INCIDENTS, ns, NAME, {"spec": {"severity": "SEV2"}}), *fields)


@case
async def status_of_a_deployment(kube: Kube, ns: str, said: Said) -> None:
    lies = {"status": {"replicas": 7, "readyReplicas": 7}}
    await said("create", kube.create(DEPLOYMENTS, {**deployment(ns), **lies}))
    await said("merge", kube.merge(DEPLOYMENTS, ns, NAME, {**lies, "spec": {"replicas": 0}}))
    got = await said("get", kube.get(DEPLOYMENTS, ns, NAME))
    said.answers.append({"readyReplicas": got.get("status", {}).get("readyReplicas", 0)})


# --- generation, and writes that change nothing


@case
async def generation_of_a_custom_resource(kube: Kube, ns: str, said: Said) -> None:
    await said("create", kube.create(GATEWAYS, gateway(ns)))
    await said("label", kube.merge(GATEWAYS, ns, NAME, {"metadata": {"labels": {"l": "1"}}}))
    await said("annotation", kube.merge(GATEWAYS, ns, NAME, {"metadata": {"annotations": {"a": "1"}}}))
    await said("status", kube.merge(GATEWAYS, ns, NAME, {"status": {"message": "hello"}}, **STATUS))
    await said("spec", kube.merge(GATEWAYS, ns, NAME, {"spec": {"replicas": 4}}))
    await said("the same spec", kube.merge(GATEWAYS, ns, NAME, {"spec": {"replicas": 4}}))
    await said("mine", kube.merge(GATEWAYS, ns, NAME, {"metadata": {"generation": 9}}))


@case
async def generation_of_a_deployment(kube: Kube, ns: str, said: Said) -> None:
    """Annotations count, too."""
    await said("create", kube.create(DEPLOYMENTS, deployment(ns)))
    await said("label", kube.merge(DEPLOYMENTS, ns, NAME, {"metadata": {"labels": {"l": "1"}}}))
    await said("annotation", kube.merge(DEPLOYMENTS, ns, NAME, {"metadata": {"annotations": {"a": "1"}}}))
    mark = {"spec": {"template": {"metadata": {"annotations": {"a": "1"}}}}}
    await said("template", kube.merge(DEPLOYMENTS, ns, NAME, mark))
    await said("the same template", kube.merge(DEPLOYMENTS, ns, NAME, mark))
    await said("replicas", kube.merge(DEPLOYMENTS, ns, NAME, {"spec": {"paused": True, "replicas": 0}}))
    await said("strategy", kube.merge(DEPLOYMENTS, ns, NAME, {"spec": {"minReadySeconds": 3}}))


@case
async def generation_of_others(kube: Kube, ns: str, said: Said) -> None:
    patch: Obj
    for resource, obj, patch in (
        (SERVICES, service(ns), {"spec": {"selector": {"app": "y"}}}),
        (BUDGETS, budget(ns, 1), {"spec": {"minAvailable": 2}}),
        (MAPS, config_map(ns, {"a": "1"}), {"data": {"a": "2"}}),
        (LEASES, lease(ns, "me"), {"spec": {"holderIdentity": "you"}}),
        (INCIDENTS, incident(ns), {"spec": {"severity": "SEV1"}}),
        (PODS, pod(ns), {"metadata": {"labels": {"l": "1"}}}),
    ):
        await said(f"create {resource.plural}", kube.create(resource, obj))
        await said("annotation", kube.merge(resource, ns, NAME, {"metadata": {"annotations": {"a": "1"}}}))
        await said("merge", kube.merge(resource, ns, NAME, patch))


@case
async def nothing_new(kube: Kube, ns: str, said: Said) -> None:
    """A write that changes nothing leaves the version as it is, even onto an exact one."""
    for resource, obj, same in (
        (SERVICES, service(ns, annotations={"a": "1"}), {"spec": {"selector": {"app": NAME}}}),
        (DEPLOYMENTS, deployment(ns), {"spec": {"replicas": 0}}),
        (MAPS, config_map(ns, {"a": "1"}), {"data": {"a": "1"}}),
        (BUDGETS, budget(ns, 1), {"spec": {"minAvailable": 1}}),
        (GATEWAYS, gateway(ns, replicas=3), {"spec": {"replicas": 3}}),
    ):
        await said(f"create {resource.plural}", kube.create(resource, obj))
        await said("merge", kube.merge(resource, ns, NAME, same))
        seen = await said("get", kube.get(resource, ns, NAME))
        await said("merge onto it", kube.merge(resource, ns, NAME, {**same, "metadata": version(seen)}))
        await said("replace by what was read", kube.replace(resource, seen))
        await said("replace by what was written", kube.replace(resource, onto(obj, seen)))
        (key, value) = next((k, v) for k, v in same.items())
        inner = next(iter(value))
        patch = [{"op": "replace", "path": f"/{key}/{inner}", "value": value[inner]}]
        await said("patch", kube.json_patch(resource, ns, NAME, patch))
        await said("apply", kube.apply(resource, obj))
        await said("apply again", kube.apply(resource, obj))
        await said("merge again", kube.merge(resource, ns, NAME, same))


# --- server-side apply


@case
async def apply(kube: Kube, ns: str, said: Said) -> None:
    """Keys of ours come and go with what we apply; those of others stay."""
    first = await said("creates", kube.apply(MAPS, config_map(ns, {"a": "1", "b": "1"})), "data")
    await said("again", kube.apply(MAPS, config_map(ns, {"a": "1", "b": "1"})), "data")
    await said("another's", kube.merge(MAPS, ns, NAME, {"data": {"theirs": "1"}}), "data")
    await said("updates", kube.apply(MAPS, config_map(ns, {"a": "2", "b": "1"})), "data")
    await said("stale", kube.apply(MAPS, onto(config_map(ns, {"a": "3"}), first)))
    now = await said("leaves out", kube.apply(MAPS, config_map(ns, {"a": "2"})), "data")
    await said("onto the version", kube.apply(MAPS, onto(config_map(ns, {"a": "4"}), now)), "data")
    again = await said("get", kube.get(MAPS, ns, NAME))
    await said("onto it again", kube.apply(MAPS, onto(config_map(ns, {"a": "4"}), again)), "data")
    await said("nothing", kube.apply(MAPS, named(MAPS, ns)), "data")


@case
async def apply_metadata(kube: Kube, ns: str, said: Said) -> None:
    fields = (LABELS, NOTES)
    await said(
        "creates", kube.apply(SERVICES, service(ns, labels={"l": "1", "m": "1"}, annotations={"a": "1"})), *fields
    )
    theirs = {"metadata": {"annotations": {"theirs": "1"}}}
    await said("another's", kube.merge(SERVICES, ns, NAME, theirs), *fields)
    await said("fewer", kube.apply(SERVICES, service(ns, labels={"l": "2"})), *fields)
    await said("none", kube.apply(SERVICES, service(ns)), *fields)


@case
async def apply_onto_what_was_created(kube: Kube, ns: str, said: Said) -> None:
    """What a create wrote is another writer's, though the name of the manager is the same: it stays."""
    await said("create", kube.create(MAPS, config_map(ns, {"a": "1", "b": "1"}, labels={"l": "1"})))
    await said("apply the same", kube.apply(MAPS, config_map(ns, {"a": "1", "b": "1"}, labels={"l": "1"})))
    await said("less", kube.apply(MAPS, config_map(ns, {"a": "1"})), "data", LABELS)
    await said("changed", kube.apply(MAPS, config_map(ns, {"a": "2"})), "data")
    await said("nothing", kube.apply(MAPS, named(MAPS, ns)), "data")


@case
async def apply_shares_a_key(kube: Kube, ns: str, said: Said) -> None:
    """A key that both have written with one value goes when neither wants it; we take one with another value."""
    await said("apply", kube.apply(MAPS, config_map(ns, {"a": "1"})), "data")
    await said("merge", kube.merge(MAPS, ns, NAME, {"data": {"same": "1", "other": "1", "a": "1"}}), "data")
    await said("apply both", kube.apply(MAPS, config_map(ns, {"a": "1", "same": "1", "other": "2"})), "data")
    await said("apply none", kube.apply(MAPS, config_map(ns, {"a": "1"})), "data")
    await said("apply again", kube.apply(MAPS, config_map(ns, {"a": "1"})), "data")


@case
async def apply_loses_a_key(kube: Kube, ns: str, said: Said) -> None:
    """Whoever changes a key of ours has it from then on, even when the value is ours again."""
    all_ours = {"a": "1", "b": "1", "c": "1", "d": "1", "e": "1"}
    await said("apply", kube.apply(MAPS, config_map(ns, all_ours)), "data")
    await said("change", kube.merge(MAPS, ns, NAME, {"data": {"a": "2", "b": "2", "c": None, "d": None}}), "data")
    await said("change back", kube.merge(MAPS, ns, NAME, {"data": {"b": "1", "c": "1"}}), "data")
    patch = [{"op": "replace", "path": "/data/e", "value": "2"}]
    await said("patch", kube.json_patch(MAPS, ns, NAME, patch), "data")
    await said("leave out", kube.apply(MAPS, config_map(ns, {"f": "1"})), "data")
    await said("apply all", kube.apply(MAPS, config_map(ns, {**all_ours, "f": "1"})), "data")
    await said("leave out again", kube.apply(MAPS, config_map(ns, {"f": "1"})), "data")


@case
async def apply_ports(kube: Kube, ns: str, said: Said) -> None:
    """A list of maps, told apart by port and protocol."""
    ports = "spec.ports"
    await said("creates", kube.apply(SERVICES, service(ns, port(80), port(81, "more"))), ports)
    await said("renames", kube.apply(SERVICES, service(ns, port(80, "web"), port(81, "more"))), ports)
    await said("retargets", kube.apply(SERVICES, service(ns, port(80, "web", 8080), port(81, "more"))), ports)
    await said("reorders", kube.apply(SERVICES, service(ns, port(81, "more"), port(80, "web", 8080))), ports)
    await said("leaves out", kube.apply(SERVICES, service(ns, port(80, "web", 8080))), ports)
    await said("moves", kube.apply(SERVICES, service(ns, port(90, "web", 8080))), ports)
    add = [{"op": "add", "path": "/spec/ports/-", "value": port(99, "theirs")}]
    await said("another's", kube.json_patch(SERVICES, ns, NAME, add), ports)
    await said("applies its own", kube.apply(SERVICES, service(ns, port(91, "web", 8080))), ports)
    await said("adds one", kube.apply(SERVICES, service(ns, port(91, "web", 8080), port(92, "new"))), ports)
    await said("without protocol", kube.apply(SERVICES, service(ns, {"name": "web", "port": 91})), f"{ports}.port")


@case
async def apply_ports_of_a_created_service(kube: Kube, ns: str, said: Said) -> None:
    ports = "spec.ports"
    await said("create", kube.create(SERVICES, service(ns, port(80))), ports)
    await said("move", kube.apply(SERVICES, service(ns, port(90))), ports)
    await said("move under another name", kube.apply(SERVICES, service(ns, port(90, "other"))), ports)
    await said("get", kube.get(SERVICES, ns, NAME), ports)


@case
async def apply_without_force(kube: Kube, ns: str, said: Said) -> None:
    """Creates what is not there, and takes nothing from anybody."""
    selector, force = "spec.selector", False
    await said("creates", kube.apply(SERVICES, service(ns, port(80), selector={"a": "1"}), force=force), selector)
    await said("its own", kube.apply(SERVICES, service(ns, port(80), selector={"a": "2"}), force=force), selector)
    await said("another's", kube.merge(SERVICES, ns, NAME, {"spec": {"selector": {"a": "3"}}}), selector)
    await said("takes it", kube.apply(SERVICES, service(ns, port(80), selector={"a": "4"}), force=force), selector)
    await said(
        "wants it so too", kube.apply(SERVICES, service(ns, port(80), selector={"a": "3"}), force=force), selector
    )
    await kube.delete(SERVICES, ns, NAME)
    await said("create", kube.create(SERVICES, service(ns, port(80), selector={"a": "1"})), selector)
    await said("takes what was created", kube.apply(SERVICES, service(ns, port(80), selector={"a": "2"}), force=force))
    await said("adds", kube.apply(SERVICES, service(ns, port(80), annotations={"a": "1"}), force=force), NOTES)


@case
async def apply_selector(kube: Kube, ns: str, said: Said) -> None:
    """Taken as a whole."""
    selector = "spec.selector"
    await said("creates", kube.apply(SERVICES, service(ns, selector={"a": "1", "b": "1"})), selector)
    await said("another", kube.apply(SERVICES, service(ns, selector={"a": "1", "c": "1"})), selector)
    await said("merged", kube.merge(SERVICES, ns, NAME, {"spec": {"selector": {"theirs": "1"}}}), selector)
    await said("taken back", kube.apply(SERVICES, service(ns, selector={"a": "1", "c": "1"})), selector)
    patch = [{"op": "replace", "path": "/spec/selector", "value": {"a": "2"}}]
    await said("patched", kube.json_patch(SERVICES, ns, NAME, patch), selector)
    await said("taken back again", kube.apply(SERVICES, service(ns, selector={"a": "1", "c": "1"})), selector)


@case
async def apply_budget(kube: Kube, ns: str, said: Said) -> None:
    fields = ("spec.minAvailable", "spec.maxUnavailable", "spec.selector")
    await said("creates", kube.apply(BUDGETS, budget(ns, 1, app="x", tier="1")), *fields)
    await said("again", kube.apply(BUDGETS, budget(ns, 1, app="x", tier="1")), *fields)
    await said("changes", kube.apply(BUDGETS, budget(ns, "50%", app="x")), *fields)
    theirs = {"spec": {"minAvailable": 2, "selector": {"matchLabels": {"theirs": "1"}}}}
    await said("merge", kube.merge(BUDGETS, ns, NAME, theirs), *fields)
    await said("taken back", kube.apply(BUDGETS, budget(ns, "50%", app="x")), *fields)
    wanted = {**named(BUDGETS, ns), "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "x"}}}}
    await said("the other way", kube.apply(BUDGETS, wanted), *fields)


@case
async def apply_containers(kube: Kube, ns: str, said: Said) -> None:
    """Maps by name, with maps by name in them; arguments are one value."""
    where = "spec.template.spec.containers"
    fields = (f"{where}.name", f"{where}.image", f"{where}.args", f"{where}.env")
    one, two = container("one", args=["a", "b"], env=[{"name": "A", "value": "1"}]), container("two")
    await said("creates", kube.apply(DEPLOYMENTS, deployment(ns, one, two)), *fields)
    add = [
        {"op": "add", "path": "/spec/template/spec/containers/-", "value": container("theirs")},
        {"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": {"name": "B", "value": "1"}},
    ]
    await said("another's", kube.json_patch(DEPLOYMENTS, ns, NAME, add), *fields)
    one = container("one", args=["c"], env=[{"name": "A", "value": "2"}])
    await said("changes", kube.apply(DEPLOYMENTS, deployment(ns, one, two)), *fields)
    await said("leaves out", kube.apply(DEPLOYMENTS, deployment(ns, container("one"))), *fields)
    await said("of the same name", kube.apply(DEPLOYMENTS, deployment(ns, container("one"), container("one"))))
    await said("of no image", kube.apply(DEPLOYMENTS, deployment(ns, container("one"), {"name": "three"})))


@case
async def apply_owners(kube: Kube, ns: str, said: Said) -> None:
    """A map by UID; that of another stays."""
    owners: list[Obj] = []
    for name in ("one", "two"):
        made = await said(f"create {name}", kube.create(MAPS, config_map(ns, {}, name)))
        owners.append({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": made["metadata"]["uid"]})
    ours = owners[0]
    await said("apply", kube.apply(MAPS, config_map(ns, {}, ownerReferences=[ours])), "metadata.ownerReferences")
    both = {"metadata": {"ownerReferences": owners}}
    await said("merge", kube.merge(MAPS, ns, NAME, both), "metadata.ownerReferences")
    controls = config_map(ns, {}, ownerReferences=[{**ours, "controller": True}])
    await said("control", kube.apply(MAPS, controls), "metadata.ownerReferences")
    await said("leave out", kube.apply(MAPS, config_map(ns, {})), "metadata.ownerReferences")


@case
async def apply_custom_resource(kube: Kube, ns: str, said: Said) -> None:
    """As people do with `kubectl apply --server-side`."""
    fields = ("spec.replicas", "spec.rollout", "spec.template.metadata", LABELS)
    steps = [{"weight": "10%"}, {"weight": "50%"}]
    free = {"metadata": {"labels": {"team": "a"}}, "spec": {"containers": [container("gateway")]}}
    await said("creates", kube.apply(GATEWAYS, gateway(ns, rollout={"steps": steps}, template=free)), *fields)
    await said("again", kube.apply(GATEWAYS, gateway(ns, rollout={"steps": steps}, template=free)), *fields)
    await said("scaled", kube.merge(GATEWAYS, ns, NAME, {"spec": {"replicas": 7}}), *fields)
    await said("fewer", kube.apply(GATEWAYS, gateway(ns, rollout={"steps": steps[:1]})), *fields)
    await said("none", kube.apply(GATEWAYS, gateway(ns)), *fields)
    await said("unknown", kube.apply(GATEWAYS, gateway(ns, unheardOf=1)), *fields)


@case
async def apply_what_is_refused(kube: Kube, ns: str, said: Said) -> None:
    """Neither objects nor ownership change."""
    await said("creates", kube.apply(SERVICES, service(ns, labels={"l": "1"})), "spec.ports.port", LABELS)
    await said("two of a name", kube.apply(SERVICES, service(ns, port(80), port(81))))
    await said("the first again", kube.apply(SERVICES, service(ns, labels={"l": "1"})), "spec.ports.port", LABELS)
    await said("without label", kube.apply(SERVICES, service(ns)), "spec.ports.port", LABELS)


# --- replace


@case
async def replace(kube: Kube, ns: str, said: Said) -> None:
    first = await said("create", kube.create(MAPS, config_map(ns, {"a": "1", "b": "1"}, labels={"l": "1"})))
    wanted = config_map(ns, {"a": "2"})
    await said("another uid", kube.replace(MAPS, config_map(ns, {}, uid="another")))
    await said("onto the version", kube.replace(MAPS, onto(wanted, first)), "data", LABELS)
    await said("stale", kube.replace(MAPS, onto(wanted, first)))
    await said("dry", kube.replace(MAPS, config_map(ns, {"a": "3"}), dry_run=True), "data")
    await said("get", kube.get(MAPS, ns, NAME), "data")


@case
async def replace_whatever_is_there(kube: Kube, ns: str, said: Said) -> None:
    """Without a version: some kinds take it, some want to be told one."""
    for resource, obj in (
        (DEPLOYMENTS, deployment(ns)),
        (SERVICES, service(ns)),
        (MAPS, config_map(ns, {"a": "1"})),
        (BUDGETS, budget(ns, 1)),
        (GATEWAYS, gateway(ns)),
        (LEASES, lease(ns, "me")),
    ):
        await said(f"create {resource.plural}", kube.create(resource, obj))
        await said("replace", kube.replace(resource, obj))
        await said("dry", kube.replace(resource, obj, dry_run=True))


@case
async def replace_lease(kube: Kube, ns: str, said: Said) -> None:
    await said("create", kube.create(LEASES, lease(ns, "me")), "spec.holderIdentity")
    mine, yours = await kube.get(LEASES, ns, NAME), await kube.get(LEASES, ns, NAME)
    mine["spec"]["holderIdentity"], yours["spec"]["holderIdentity"] = "still me", "you"
    await said("mine", kube.replace(LEASES, mine), "spec.holderIdentity")
    await said("yours", kube.replace(LEASES, yours), "spec.holderIdentity")
    mine = await kube.get(LEASES, ns, NAME)
    mine["spec"]["holderIdentity"] = "not written"
    await said("get", kube.get(LEASES, ns, NAME), "spec.holderIdentity")


@case
async def replace_deployment(kube: Kube, ns: str, said: Said) -> None:
    """As a workload that somebody edited is put back."""
    where = ("spec.replicas", "spec.template.metadata", "spec.template.spec.containers.image", LABELS)
    await said("create", kube.create(DEPLOYMENTS, deployment(ns, labels={"l": "1"})), *where)
    theirs = {"spec": {"template": {"metadata": {"annotations": {"a": "1"}}}}, "metadata": {"labels": {"m": "1"}}}
    edited = await said("edit", kube.merge(DEPLOYMENTS, ns, NAME, theirs), *where)
    await said("dry", kube.replace(DEPLOYMENTS, deployment(ns, labels={"l": "1"}), dry_run=True), *where)
    await said("get", kube.get(DEPLOYMENTS, ns, NAME), *where)
    await said("put back", kube.replace(DEPLOYMENTS, onto(deployment(ns, labels={"l": "1"}), edited)), *where)
    await said("again, stale", kube.replace(DEPLOYMENTS, onto(deployment(ns, labels={"l": "1"}), edited)))


# --- what is refused


@case
async def immutable_config_map(kube: Kube, ns: str, said: Said) -> None:
    fixed = config_map(ns, {"a": "1"}, immutable=True)
    await said("create", kube.create(MAPS, fixed), "data", "immutable")
    await said("merge data", kube.merge(MAPS, ns, NAME, {"data": {"a": "2"}}))
    await said("add data", kube.merge(MAPS, ns, NAME, {"data": {"b": "2"}}))
    await said("patch data", kube.json_patch(MAPS, ns, NAME, [{"op": "replace", "path": "/data/a", "value": "2"}]))
    await said("replace data", kube.replace(MAPS, config_map(ns, {"a": "2"}, immutable=True)))
    await said("replace data, dry", kube.replace(MAPS, config_map(ns, {"a": "2"}, immutable=True), dry_run=True))
    await said("apply data", kube.apply(MAPS, config_map(ns, {"a": "2"}, immutable=True)))
    await said("make mutable", kube.merge(MAPS, ns, NAME, {"immutable": False}))
    await said("forget that it is", kube.merge(MAPS, ns, NAME, {"immutable": None}))
    await said("label", kube.merge(MAPS, ns, NAME, {"metadata": {"labels": {"l": "1"}}}), LABELS)
    await said("the same data", kube.merge(MAPS, ns, NAME, {"data": {"a": "1"}}), "data")
    await said("get", kube.get(MAPS, ns, NAME), "data", "immutable")


@case
async def immutable_selector_of_a_deployment(kube: Kube, ns: str, said: Said) -> None:
    await said("create", kube.create(DEPLOYMENTS, deployment(ns)))
    labels = {"app": NAME, "more": "1"}
    other = deployment(ns)
    other["spec"]["selector"]["matchLabels"] = other["spec"]["template"]["metadata"]["labels"] = labels
    await said("replace", kube.replace(DEPLOYMENTS, other))
    await said("replace, dry", kube.replace(DEPLOYMENTS, other, dry_run=True))
    await said("merge", kube.merge(DEPLOYMENTS, ns, NAME, {"spec": {"selector": {"matchLabels": {"more": "1"}}}}))
    unselected = {"spec": {"template": {"metadata": {"labels": {"app": "y"}}}}}
    await said("labels it does not select", kube.merge(DEPLOYMENTS, ns, NAME, unselected))
    more = {"spec": {"template": {"metadata": {"labels": {"more": "1"}}}}}
    await said("labels it does", kube.merge(DEPLOYMENTS, ns, NAME, more))


def _templates(ns: str) -> dict[str, Obj]:
    """Deployments that an API server refuses, and some that it takes."""
    wrong_labels = deployment(ns)
    wrong_labels["spec"]["template"]["metadata"]["labels"] = {"app": "y"}
    no_containers = deployment(ns)
    no_containers["spec"]["template"]["spec"]["containers"] = []
    bad_labels = deployment(ns)
    bad_labels["spec"]["template"]["metadata"]["labels"] = {"app": NAME, "l": "not a label value"}
    unknown = deployment(ns)
    unknown["spec"]["template"]["spec"]["unheardOf"] = 1
    mounts = [{"name": "no-volume", "mountPath": "/x"}]
    return {
        "good": deployment(ns),
        "no image": deployment(ns, {"name": "main"}),
        "two of a name": deployment(ns, container(), container()),
        "no name": deployment(ns, {"image": "registry.invalid/image:1"}),
        "no containers": no_containers,
        "labels it does not select": wrong_labels,
        "bad labels": bad_labels,
        "unknown field": unknown,
        "mount without volume": deployment(ns, container(volumeMounts=mounts)),
        "number for a string": deployment(ns, container(image=7)),
    }


@case
async def dry_run_create(kube: Kube, ns: str, said: Said) -> None:
    for what, obj in _templates(ns).items():
        await said(what, kube.create(DEPLOYMENTS, obj, dry_run=True), "spec.replicas")
    await said("get", kube.get(DEPLOYMENTS, ns, NAME))
    await said("list", kube.list(DEPLOYMENTS, ns))
    await said("create", kube.create(DEPLOYMENTS, deployment(ns)))
    await said("what exists", kube.create(DEPLOYMENTS, deployment(ns), dry_run=True))
    await said("no image of what exists", kube.create(DEPLOYMENTS, deployment(ns, {"name": "main"}), dry_run=True))


@case
async def refused_workloads(kube: Kube, ns: str, said: Said) -> None:
    for what, obj in _templates(ns).items():
        if what != "good":
            await said(f"create: {what}", kube.create(DEPLOYMENTS, obj))
            await said("delete", kube.delete(DEPLOYMENTS, ns, NAME))
    seen = await said("create", kube.create(DEPLOYMENTS, deployment(ns)))
    for what, obj in _templates(ns).items():
        if what not in ("good", "unknown field"):  # the simulated API keeps that one
            await said(f"replace, dry: {what}", kube.replace(DEPLOYMENTS, obj, dry_run=True))
    where = {"containers": [{"name": "main"}]}
    await said("merge", kube.merge(DEPLOYMENTS, ns, NAME, {"spec": {"template": {"spec": where}}}))
    image = "/spec/template/spec/containers/0/image"
    await said("patch", kube.json_patch(DEPLOYMENTS, ns, NAME, [{"op": "remove", "path": image}]))
    await said("replace", kube.replace(DEPLOYMENTS, onto(_templates(ns)["no image"], seen)))
    await said("get", kube.get(DEPLOYMENTS, ns, NAME))


@case
async def defaults_of_a_deployment(kube: Kube, ns: str, said: Said) -> None:
    where = "spec.template.spec"
    fields = ("spec.replicas", f"{where}.restartPolicy", f"{where}.containers.terminationMessagePath")
    bare = deployment(ns)
    del bare["spec"]["replicas"]
    await said("dry", kube.create(DEPLOYMENTS, bare, dry_run=True), *fields)
    await said("create", kube.create(DEPLOYMENTS, bare), *fields)
    two: Obj = {"replicas": None, "template": {"spec": {"containers": [container("a"), container("b")]}}}
    await said("merge", kube.merge(DEPLOYMENTS, ns, NAME, {"spec": two}), *fields)
    await said("replace", kube.replace(DEPLOYMENTS, bare), *fields)
    add = {"op": "add", "path": "/spec/template/spec/containers/-", "value": container("c")}
    await said("patch", kube.json_patch(DEPLOYMENTS, ns, NAME, [add]), *fields)


@case
async def refused_ports(kube: Kube, ns: str, said: Said) -> None:
    await said("two of a name", kube.create(SERVICES, service(ns, port(80), port(81))))
    await said("no name", kube.create(SERVICES, service(ns, port(80), {"port": 81, "protocol": "TCP"})))
    await said("none", kube.create(SERVICES, {**named(SERVICES, ns), "spec": {"selector": {"app": NAME}}}))
    await said("two", kube.create(SERVICES, service(ns, port(80), port(81, "more"))), "spec.ports.port")
    await said("merge", kube.merge(SERVICES, ns, NAME, {"spec": {"ports": [port(80), port(81)]}}))
    patch = [{"op": "replace", "path": "/spec/ports/1/name", "value": "http"}]
    await said("patch", kube.json_patch(SERVICES, ns, NAME, patch))


# --- schemas of custom resources


@case
async def unknown_fields_are_pruned(kube: Kube, ns: str, said: Said) -> None:
    """`client.py` does not ask for strict validation: the server drops them, with a warning that nobody reads."""
    fields = ("unheardOf", "spec.unheardOf", "spec.rollout", "spec.policyRef", "spec.template.spec.unheardOf")
    template = {"spec": {"containers": [container("gateway")], "unheardOf": {"kept": True}}}
    spec = {
        "template": template,
        "unheardOf": {"x": 1},
        "rollout": {"steps": [{"weight": "10%", "unheardOf": 1}], "unheardOf": 1},
        "policyRef": {"name": "nobody", "namespace": "elsewhere"},
    }
    made = await said("create", kube.create(GATEWAYS, {**gateway(ns, **spec), "unheardOf": 1}), *fields)
    await said("merge", kube.merge(GATEWAYS, ns, NAME, {"spec": {"unheardOf": 2}, "unheardOf": 2}), *fields)
    await said("replace", kube.replace(GATEWAYS, onto(gateway(ns, **spec), made)), *fields)
    add = [{"op": "add", "path": "/spec/unheardOf", "value": 3}]
    await said("patch", kube.json_patch(GATEWAYS, ns, NAME, add), *fields)
    status = {"status": {"message": "m", "unheardOf": 1, "rollout": {"unheardOf": 1}}}
    await said("status", kube.merge(GATEWAYS, ns, NAME, status, **STATUS), "status")
    await said("status again", kube.merge(GATEWAYS, ns, NAME, status, **STATUS), "status")


@case
async def schema_is_kept(kube: Kube, ns: str, said: Said) -> None:
    for what, spec in (
        ("type", {"replicas": "three"}),
        ("integer", {"replicas": 1.5}),
        ("whole number", {"replicas": 3.0}),
        ("minimum", {"replicas": 0}),
        ("maximum", {"replicas": 1001}),
        ("enum", {"gateway": {"profile": "Unheard"}}),
        ("pattern", {"policyRef": {"name": "Not A Name"}}),
        ("required", {"policyRef": {}}),
        ("object", {"rollout": "fast"}),
        ("list", {"rollout": {"steps": {}}}),
    ):
        await said(f"create: {what}", kube.create(GATEWAYS, gateway(ns, **spec)), "spec.replicas")
        await said("delete", kube.delete(GATEWAYS, ns, NAME))
    await said("no spec", kube.create(GATEWAYS, named(GATEWAYS, ns)))
    made = await said("create", kube.create(GATEWAYS, gateway(ns)))
    await said("create what exists, wrong", kube.create(GATEWAYS, gateway(ns, replicas=0)))
    await said("merge", kube.merge(GATEWAYS, ns, NAME, {"spec": {"replicas": 0}}))
    await said("remove", kube.merge(GATEWAYS, ns, NAME, {"spec": {"policyRef": None}}))
    await said("replace", kube.replace(GATEWAYS, onto(gateway(ns, replicas=0), made)))
    await said("replace, dry", kube.replace(GATEWAYS, onto(gateway(ns, replicas=0), made), dry_run=True))
    await said("apply", kube.apply(GATEWAYS, gateway(ns, replicas=0)))
    patch = [{"op": "add", "path": "/spec/replicas", "value": 0}]
    await said("patch", kube.json_patch(GATEWAYS, ns, NAME, patch))
    await said("status", kube.merge(GATEWAYS, ns, NAME, {"status": {"message": 7}}, **STATUS))
    long = {"status": {"phase": "x" * 1000}}
    await said("long status", kube.merge(GATEWAYS, ns, NAME, long, **STATUS))
    await said("get", kube.get(GATEWAYS, ns, NAME), "spec.replicas", "status")


@case
async def schema_defaults(kube: Kube, ns: str, said: Said) -> None:
    replicas = "spec.replicas"
    made = await said("create", kube.create(GATEWAYS, gateway(ns)), replicas)
    await said("remove", kube.merge(GATEWAYS, ns, NAME, {"spec": {"replicas": None}}), replicas)
    await said("change", kube.merge(GATEWAYS, ns, NAME, {"spec": {"replicas": 5}}), replicas)
    await said("remove", kube.merge(GATEWAYS, ns, NAME, {"spec": {"replicas": None}}), replicas)
    seen = await said("change", kube.merge(GATEWAYS, ns, NAME, {"spec": {"replicas": 5}}), replicas)
    await said("replace without", kube.replace(GATEWAYS, onto(gateway(ns), seen)), replicas)
    await said("apply without", kube.apply(GATEWAYS, gateway(ns)), replicas)
    assert made


@case
async def schema_and_null(kube: Kube, ns: str, said: Said) -> None:
    """Null is taken for absent: a default, or nothing, or a requirement that is not met."""
    fields = ("spec.replicas", "spec.gateway", "spec.rollout", "spec.template.metadata")
    free = {"metadata": None, "spec": {"containers": [container("gateway")]}}
    spec = {"replicas": None, "gateway": None, "rollout": {"steps": None}, "template": free}
    await said("create", kube.create(GATEWAYS, gateway(ns, **spec)), *fields)
    await said("delete", kube.delete(GATEWAYS, ns, NAME))
    await said("required", kube.create(GATEWAYS, gateway(ns, policyRef=None)))
    await said("in a list", kube.create(GATEWAYS, gateway(ns, rollout={"steps": [None]})))
    await said("in free form", kube.create(GATEWAYS, gateway(ns, template={**free, "x": [None]})), "spec.template.x")


@case
async def schema_of_lists_and_formats(kube: Kube, ns: str, said: Said) -> None:
    def condition(**more: object) -> Obj:
        now = {"lastTransitionTime": "2026-11-24T03:00:00Z", "reason": "Because", "message": ""}
        return {"type": "Ready", "status": "True", **now, **more}

    async def status(what: str, conditions: object) -> None:
        patch = {"status": {"conditions": conditions}}
        await said(what, kube.merge(GATEWAYS, ns, NAME, patch, **STATUS), "status.conditions.type")

    await said("create", kube.create(GATEWAYS, gateway(ns)))
    await status("good", [condition()])
    await status("milliseconds", [condition(lastTransitionTime="2026-11-24T03:00:00.123Z")])
    await status("two", [condition(), condition(type="Stalled")])
    await status("twice the same", [condition(), condition()])
    await status("no time", [condition(lastTransitionTime="yesterday")])
    await status("no reason", [condition(reason="")])
    await status("unknown in a list", [condition(unheardOf=1)])
    await status("not a list", {})
    await status("null", None)
    twice = {"spec": {"containers": [container("gateway"), container("gateway")]}}
    await said("containers", kube.merge(GATEWAYS, ns, NAME, {"spec": {"template": twice}}))
    for weight in ("50%", 50, 1.5, True, "half"):
        patch = {"spec": {"rollout": {"steps": [{"weight": weight}]}}}
        await said(f"weight {weight}", kube.merge(GATEWAYS, ns, NAME, patch), "spec.rollout.steps")
    await said("set", kube.merge(GATEWAYS, ns, NAME, {"spec": {"gateway": {"blockedStatus": [400, 400]}}}))
    spread = {"spec": {"template": {"metadata": {"labels": {"l": 7}}}}}
    await said("map of strings", kube.merge(GATEWAYS, ns, NAME, spread))


# --- JSON patches


@case
async def patch_tests(kube: Kube, ns: str, said: Said) -> None:
    await said("create", kube.create(MAPS, config_map(ns, {"a": "1"}, annotations={"example.com/n": "1"})))

    async def patch(what: str, *operations: Obj) -> None:
        await said(what, kube.json_patch(MAPS, ns, NAME, operations), "data", NOTES)

    change = {"op": "replace", "path": "/data/a", "value": "2"}
    note = "/metadata/annotations/example.com~1n"
    await patch("holds", {"op": "test", "path": note, "value": "1"}, change)
    await patch("fails", {"op": "test", "path": note, "value": "2"}, {**change, "value": "3"})
    await patch("fails later", {**change, "value": "4"}, {"op": "test", "path": note, "value": "2"})
    await patch("of what is not there", {"op": "test", "path": "/data/b", "value": "1"}, {**change, "value": "5"})
    await patch("of no parent", {"op": "test", "path": "/nothing/b", "value": "1"}, {**change, "value": "6"})
    await patch("null of what is not there", {"op": "test", "path": "/data/b", "value": None})
    await patch("whole", {"op": "test", "path": "/data", "value": {"a": "2"}}, {**change, "value": "7"})
    await patch("only", {"op": "test", "path": note, "value": "1"})
    await said("get", kube.get(MAPS, ns, NAME), "data", NOTES)


@case
async def patch_adds_and_replaces(kube: Kube, ns: str, said: Said) -> None:
    await said("create", kube.create(MAPS, config_map(ns, {"a": "1"})))

    async def patch(what: str, op: str, path: str, value: object = "2") -> None:
        operation = {"op": op, "path": path} if op == "remove" else {"op": op, "path": path, "value": value}
        await said(what, kube.json_patch(MAPS, ns, NAME, [operation]), "data", NOTES)

    await patch("replace", "replace", "/data/a")
    await patch("replace what is not there", "replace", "/data/b")
    await patch("add over", "add", "/data/a", "3")
    await patch("add new", "add", "/data/c")
    await patch("add to no parent", "add", "/metadata/annotations/n")
    await patch("replace in no parent", "replace", "/metadata/annotations/n")
    await patch("add parent", "add", "/metadata/annotations", {"n": "1"})
    await patch("add to it", "add", "/metadata/annotations/example.com~1m", "1")
    await patch("remove", "remove", "/data/c")
    await patch("remove again", "remove", "/data/c")
    await patch("remove from no parent", "remove", "/nothing/c")
    await patch("unknown operation", "twist", "/data/a")
    await said("none", kube.json_patch(MAPS, ns, NAME, []), "data", NOTES)
    parts = [
        {"op": "add", "path": "/data/d", "value": "1"},
        {"op": "replace", "path": "/data/missing", "value": "1"},
    ]
    await said("all or nothing", kube.json_patch(MAPS, ns, NAME, parts))
    await said("get", kube.get(MAPS, ns, NAME), "data", NOTES)


@case
async def patch_lists(kube: Kube, ns: str, said: Said) -> None:
    await said("create", kube.create(SERVICES, service(ns, port(80))), "spec.ports")

    async def patch(what: str, op: str, path: str, value: object = None) -> None:
        operation = {"op": op, "path": path} if op == "remove" else {"op": op, "path": path, "value": value}
        await said(what, kube.json_patch(SERVICES, ns, NAME, [operation]), "spec.ports")

    await patch("in an item", "replace", "/spec/ports/0/targetPort", 8080)
    await patch("append", "add", "/spec/ports/-", port(82, "c"))
    await patch("insert", "add", "/spec/ports/1", port(81, "b"))
    await patch("beyond", "add", "/spec/ports/7", port(83, "d"))
    await patch("replace", "replace", "/spec/ports/0", port(84, "e"))
    await patch("replace beyond", "replace", "/spec/ports/7", port(85, "f"))
    await patch("remove", "remove", "/spec/ports/0")
    await patch("remove beyond", "remove", "/spec/ports/7")
    await patch("all", "replace", "/spec/ports", [port(86)])


@case
async def patch_lowers_exposure(kube: Kube, ns: str, said: Said) -> None:
    """As the operator takes traffic back: only in the same rollout, whatever version it is."""
    notes = {"example.com/rollout": "1"}
    await said("create", kube.create(SERVICES, service(ns, selector={"a": "1", "b": "1"}, annotations=notes)))
    test = {"op": "test", "path": "/metadata/annotations/example.com~1rollout", "value": "1"}
    lower = {"op": "replace", "path": "/spec/selector", "value": {"a": "1", "c": "1"}}
    note = {"op": "add", "path": "/metadata/annotations/example.com~1reason", "value": "tripped"}
    fields = ("spec.selector", NOTES)
    await said("lower", kube.json_patch(SERVICES, ns, NAME, [test, lower, note]), *fields)
    await said("again", kube.json_patch(SERVICES, ns, NAME, [test, lower, note]), *fields)
    bad = {"op": "replace", "path": "/spec/selector", "value": {"a": "not a label value"}}
    await said("refused", kube.json_patch(SERVICES, ns, NAME, [bad]))
    await said("refused after a test", kube.json_patch(SERVICES, ns, NAME, [test, bad]))
    await said(
        "next rollout", kube.merge(SERVICES, ns, NAME, {"metadata": {"annotations": {"example.com/rollout": "2"}}})
    )
    await said("too late", kube.json_patch(SERVICES, ns, NAME, [test, lower, note]))
    await said("no notes", kube.merge(SERVICES, ns, NAME, {"metadata": {"annotations": None}}), *fields)
    await said("without", kube.json_patch(SERVICES, ns, NAME, [test, lower, note]))
    await said("get", kube.get(SERVICES, ns, NAME), *fields)


def named_gateway(ns: str, **metadata: object) -> Obj:
    obj = gateway(ns)
    return {**obj, "metadata": {**obj["metadata"], **metadata}}
