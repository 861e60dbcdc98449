"""The API as the plugin needs it: three calls on plain objects, over the official client with the user's kubeconfig."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

import urllib3
import yaml
from kubernetes import config
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException

from keeptrusts_operator.kube.port import (
    GATEWAYS,
    ApiError,
    Conflict,
    Forbidden,
    NotFound,
    Obj,
    Refused,
    Resource,
    Unavailable,
)
from keeptrusts_operator.plugin.failure import Failure, explained

FIELD_MANAGER = "kubectl-keeptrusts"
TIMEOUT = (5.0, 15.0)  # seconds to connect, and without a byte
IN_CLUSTER_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
ERRORS: Mapping[int, type[ApiError]] = {400: Refused, 403: Forbidden, 404: NotFound, 409: Conflict, 422: Refused}


class Cluster(Protocol):
    """The API. A namespace of "" means all namespaces. Raises an `ApiError`; behind `Explaining`, a `Failure`."""

    def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        """The object."""
        ...

    def list(self, resource: Resource, namespace: str, labels: Mapping[str, str] | None = None) -> Sequence[Obj]:
        """Objects that carry all these labels."""
        ...

    def merge(self, resource: Resource, namespace: str, name: str, patch: Obj) -> Obj:
        """Merge patch; gives the object as it is then."""
        ...


class Explaining:
    """A cluster whose errors are sentences with the next step; of what is not there it says what there is."""

    def __init__(self, inner: Cluster) -> None:
        self._inner = inner

    def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        try:
            return self._inner.get(resource, namespace, name)
        except NotFound as error:
            raise self._missing(error, resource, namespace, name) from error
        except ApiError as error:
            raise explained(error, "get", resource, namespace, name) from error

    def list(self, resource: Resource, namespace: str, labels: Mapping[str, str] | None = None) -> Sequence[Obj]:
        try:
            return self._inner.list(resource, namespace, labels)
        except ApiError as error:
            raise explained(error, "list", resource, namespace) from error

    def merge(self, resource: Resource, namespace: str, name: str, patch: Obj) -> Obj:
        try:
            return self._inner.merge(resource, namespace, name, patch)
        except NotFound as error:
            raise self._missing(error, resource, namespace, name) from error
        except ApiError as error:
            raise explained(error, "patch", resource, namespace, name) from error

    def _missing(self, error: NotFound, resource: Resource, namespace: str, name: str) -> Failure:
        plain = explained(error, "get", resource, namespace, name)
        if resource != GATEWAYS:
            return plain
        try:
            here = sorted(str(o["metadata"]["name"]) for o in self._inner.list(resource, namespace))
            if here:
                return Failure(plain.message, f"There are: {', '.join(here)}.")
            there = [o["metadata"] for o in self._inner.list(resource, "") if o["metadata"]["name"] == name]
        except NotFound as no_kind:
            return explained(no_kind, "list", resource, namespace)
        except ApiError:
            return plain
        if there:
            also = ", ".join(sorted(str(m["namespace"]) for m in there))
            return Failure(plain.message, f"One of that name is in: {also}. Choose with -n.")
        return Failure(plain.message, "That namespace has none. To see all: kubectl keeptrusts status -A")


@dataclass(frozen=True)
class Connection:
    """A cluster, and the namespace that commands mean when none is given."""

    cluster: Cluster
    namespace: str


def connect(kubeconfig: str, context: str) -> Connection:
    """The cluster of a kubeconfig (default: as kubectl) and context (default: its current one), or the one around us."""
    configuration = Configuration()
    configuration.retries = False  # who waits tries again
    try:
        if not kubeconfig and not context and _in_pod():
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            namespace = IN_CLUSTER_NAMESPACE.read_text().strip()
        else:
            file = kubeconfig or None
            load: Any = config.load_kube_config
            load(config_file=file, context=context or None, client_configuration=configuration, persist_config=False)
            namespace = _namespace(file, context)
    except (config.ConfigException, yaml.YAMLError, OSError, KeyError, TypeError) as error:
        step = "Set KUBECONFIG or --kubeconfig to a file that works with kubectl."
        if contexts := _contexts(kubeconfig):
            step = f"Choose a --context: {', '.join(sorted(contexts))}."
        raise Failure(f"There is no cluster to talk to: {_first_line(error)}", step) from error
    return Connection(Explaining(ApiServer(configuration)), namespace)


def _in_pod() -> bool:
    files = os.environ.get("KUBECONFIG") or "~/.kube/config"
    found = any(Path(f).expanduser().exists() for f in files.split(os.pathsep) if f)
    return not found and IN_CLUSTER_NAMESPACE.exists()


def _namespace(file: str | None, context: str) -> str:
    contexts, current = config.list_kube_config_contexts(config_file=file)  # type: ignore[no-untyped-call]
    chosen = next((c for c in contexts if c["name"] == context), current) if context else current
    return str((chosen.get("context") or {}).get("namespace") or "default")


def _contexts(file: str) -> Sequence[str]:
    try:
        found, _ = config.list_kube_config_contexts(config_file=file or None)  # type: ignore[no-untyped-call]
        return [str(c["name"]) for c in found]
    except (config.ConfigException, yaml.YAMLError, OSError, KeyError, TypeError):
        return []


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


class ApiServer:
    """`Cluster` over HTTP. Objects stay plain dicts: typed models drop fields that they do not know."""

    def __init__(self, configuration: Configuration) -> None:
        self._client = ApiClient(configuration)

    def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        return self._call("GET", _path(resource, namespace, name))

    def list(self, resource: Resource, namespace: str, labels: Mapping[str, str] | None = None) -> Sequence[Obj]:
        query = {"labelSelector": ",".join(f"{k}={v}" for k, v in labels.items())} if labels else {}
        answer = self._call("GET", _path(resource, namespace), query)
        return [{"apiVersion": resource.api_version, "kind": resource.kind, **i} for i in answer.get("items") or ()]

    def merge(self, resource: Resource, namespace: str, name: str, patch: Obj) -> Obj:
        return self._call("PATCH", _path(resource, namespace, name), {"fieldManager": FIELD_MANAGER}, patch)

    def _call(self, method: str, path: str, query: Mapping[str, str] | None = None, patch: Obj | None = None) -> Obj:
        headers = {"Accept": "application/json"}
        if patch is not None:
            headers["Content-Type"] = "application/merge-patch+json"
        _, url, headers, _, _ = self._client.param_serialize(
            method, path, header_params=headers, auth_settings=["BearerToken"]
        )
        url += f"?{urlencode(query)}" if query else ""
        try:
            answer = self._client.rest_client.request(  # type: ignore[no-untyped-call]
                method, url, headers=headers, body=patch, _request_timeout=TIMEOUT
            )
            status, data = answer.status, answer.read()
        except (urllib3.exceptions.HTTPError, ApiException, OSError) as error:
            host = self._client.configuration.host
            raise Unavailable(f"{host} does not answer ({_cause(error)})") from error
        return _decoded(status, data)


def _cause(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    text = str(reason if reason is not None else error)
    return _first_line(ValueError(text.rpartition(": ")[2] or type(error).__name__))


def _decoded(status: int, data: bytes) -> Obj:
    try:
        answer: Any = json.loads(data)
    except ValueError as error:
        text = data[:200].decode(errors="replace")
        raise ERRORS.get(status, Unavailable)(
            f"HTTP {status}, which is not of an API server: {text}", status
        ) from error
    if 200 <= status < 300 and isinstance(answer, dict):
        return answer
    message = answer.get("message") if isinstance(answer, dict) else ""
    raise ERRORS.get(status, Unavailable)(str(message or f"HTTP {status}"), status)


def _path(resource: Resource, namespace: str, name: str = "") -> str:
    base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    return "/".join(p for p in (base, f"namespaces/{namespace}" if namespace else "", resource.plural, name) if p)
