"""The port over the official client.

Objects stay plain dicts: the client's typed models drop fields that this version does not know (a server-side apply
of what was read would then remove them), and cost ten times the CPU.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from keeptrusts_operator.api import names
from keeptrusts_operator.kube.port import (
    LEASES,
    ApiError,
    Conflict,
    Forbidden,
    NotFound,
    Obj,
    Refused,
    Resource,
    Unavailable,
)

TIMEOUT_SECONDS = 5.0  # less than the margin of the Lease: a write is over before another replica may lead
CONNECTIONS = 32  # at a time for reads, and as many for writes: more only make the API server's own queue longer
KEPT_SECONDS = 30.0  # that an idle connection is kept: a TLS handshake costs more than ten requests
APPLY, MERGE, JSON_PATCH = (
    "application/apply-patch+yaml",
    "application/merge-patch+json",
    "application/json-patch+json",
)
ERRORS: dict[int, type[ApiError]] = {
    400: Refused,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: Refused,
    422: Refused,
}


async def load_configuration() -> Configuration:
    """Where the API server is and who we are: the pod's service account, else the user's kubeconfig."""
    configuration = Configuration()
    try:
        config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    return configuration


class ApiServer:
    """`Kube` over HTTP. Use as an async context manager.

    Reads have connections of their own: neither a write nor the Lease ever waits behind hundreds of loops that look.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._tls = RESTClientObject(configuration).ssl_context
        self._proxy = configuration.proxy or _proxy(configuration.host)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}  # by whether they are for reads
        self._reading = asyncio.Semaphore(CONNECTIONS)

    async def __aenter__(self) -> ApiServer:
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in self._sessions.values():
            await session.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        return await self._call("GET", _path(resource, namespace, name))

    async def list(self, resource: Resource, namespace: str, labels: Mapping[str, str] | None = None) -> Sequence[Obj]:
        query = {"labelSelector": ",".join(f"{k}={v}" for k, v in labels.items())} if labels else {}
        answer = await self._call("GET", _path(resource, namespace), query)
        # Lists leave these two out of their items.
        return [{"apiVersion": resource.api_version, "kind": resource.kind, **i} for i in answer.get("items") or ()]

    async def create(self, resource: Resource, obj: Obj, *, dry_run: bool = False) -> Obj:
        path = _path(resource, obj["metadata"]["namespace"])
        return await self._call("POST", path, _own(dry_run), obj)

    async def apply(self, resource: Resource, obj: Obj, *, force: bool = True) -> Obj:
        path = _path(resource, obj["metadata"]["namespace"], obj["metadata"]["name"])
        return await self._call("PATCH", path, {**_own(), "force": str(force).lower()}, obj, APPLY)

    async def replace(self, resource: Resource, obj: Obj, *, dry_run: bool = False) -> Obj:
        path = _path(resource, obj["metadata"]["namespace"], obj["metadata"]["name"])
        return await self._call("PUT", path, _own(dry_run), obj)

    async def merge(self, resource: Resource, namespace: str, name: str, patch: Obj, *, subresource: str = "") -> Obj:
        return await self._call("PATCH", _path(resource, namespace, name, subresource), _own(), patch, MERGE)

    async def json_patch(self, resource: Resource, namespace: str, name: str, patch: Sequence[Obj]) -> Obj:
        try:
            return await self._call("PATCH", _path(resource, namespace, name), _own(), list(patch), JSON_PATCH)
        except Refused as error:  # the API server answers a failed `test` with 422
            if error.status == 422 and any(op["op"] == "test" for op in patch):
                raise Conflict(str(error), 409) from error
            raise

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = "", grace_seconds: int | None = None
    ) -> None:
        options: Obj = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            await self._call("DELETE", _path(resource, namespace, name), {}, options)
        except NotFound:
            return

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Obj:
        url = f"{self._configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Content-Type": content_type, **await self._authorization()}
        reads = method == "GET" and f"/{LEASES.plural}/" not in path
        # A read that waits is late, no more; its time-out begins when it is sent. That of a write bounds the waiting, too.
        waiting = self._reading if reads else contextlib.nullcontext()
        try:
            async with (
                waiting,
                self._session(reads=reads).request(
                    method,
                    url,
                    headers=headers,
                    data=None if body is None else json.dumps(body).encode(),
                    proxy=self._proxy,
                    proxy_headers=self._configuration.proxy_headers,
                    allow_redirects=False,
                    server_hostname=self._configuration.tls_server_name or None,
                ) as answer,
            ):
                status, data = answer.status, await answer.read()
        except (TimeoutError, aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise Unavailable(f"{method} {path}: {type(error).__name__} {error}") from error
        return _decoded(method, path, status, data)

    async def _authorization(self) -> dict[str, str]:
        """The token, read again when it is to be renewed."""
        token = (await self._configuration.auth_settings()).get("BearerToken")
        return {"Authorization": str(token["value"])} if token else {}

    def _session(self, *, reads: bool) -> aiohttp.ClientSession:
        """Without `trust_env`: it reads ~/.netrc and the proxies of the environment at every single request."""
        if reads not in self._sessions:
            connector = aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEPT_SECONDS, ssl=self._tls)
            self._sessions[reads] = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS, connect=5),
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=1 << 21,
            )
        return self._sessions[reads]


def _proxy(server: str) -> str | None:
    """The proxy that the environment names for a server."""
    parts = urlsplit(server)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def _decoded(method: str, path: str, status: int, data: bytes) -> Obj:
    try:
        answer = json.loads(data) if data else {}
    except ValueError:
        answer = {"message": data[:200].decode(errors="replace")}
    if 200 <= status < 300:
        return cast("Obj", answer)
    message = answer.get("message", "") if isinstance(answer, dict) else str(answer)
    kind = ERRORS.get(status, Unavailable)
    raise kind(message or f"{method} {path}: HTTP {status}", status)


def _own(dry_run: bool = False) -> dict[str, str]:
    query = {"fieldManager": names.FIELD_MANAGER}
    return {**query, "dryRun": "All"} if dry_run else query


def _path(resource: Resource, namespace: str, name: str = "", subresource: str = "") -> str:
    base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    parts = [base, f"namespaces/{namespace}" if namespace else "", resource.plural, name, subresource]
    return "/".join(p for p in parts if p)
