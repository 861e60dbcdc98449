"""Kopf as informer, lifecycle and signal handling. It is not the reconciler.

One daemon per GatewayDeployment is the whole control loop; event handlers only wake loops up. No change handlers,
timers, indexes, patches or webhooks of Kopf: they lose updates or die on a failed write.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import resource
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import kopf
from kubernetes.aio.client import Configuration

from keeptrusts_operator.api import names
from keeptrusts_operator.gateways.asking import Asker
from keeptrusts_operator.gateways.control_planes import ControlPlanes
from keeptrusts_operator.gateways.credentials import AllowedHosts
from keeptrusts_operator.gateways.watch import GatewayWatch
from keeptrusts_operator.kube.port import Kube
from keeptrusts_operator.kube.secrets import Secrets
from keeptrusts_operator.loop.clock import SteadyClock, wall
from keeptrusts_operator.loop.observe import Shared
from keeptrusts_operator.loop.outside import Asking
from keeptrusts_operator.loop.policies import PolicyReporter
from keeptrusts_operator.loop.reconcile import Reconciler
from keeptrusts_operator.loop.runner import Runner
from keeptrusts_operator.loop.telemetry import Telemetry
from keeptrusts_operator.loop.turns import Turns, asks, looks_urgent

logger = logging.getLogger(__name__)

FINALIZER = f"{names.GROUP}/operator"
MAX_FILES = 16_384
GC_THRESHOLDS = (10_000, 20, 50)
"""Python's own (700, 10, 10) go through the whole heap again and again while JSON is read: 0.13 s of CPU for 600,000
objects, in which every loop stands still. Young garbage is still collected early."""
WATCHED_CHILDREN = (("", "v1", "services"), ("", "v1", "pods"), ("", "v1", "configmaps"), ("apps", "v1", "deployments"))


class Backoffs:
    """Seconds between tries, without an end, and every time anew: an exhausted iterator would leave a dead loop behind
    a green probe."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1, 1, 2, 3, 5, 8), itertools.repeat(10))


class App:
    """Everything that runs while this replica leads."""

    def __init__(self, kube: Kube, telemetry: Telemetry, allowed: AllowedHosts) -> None:
        self._kube, self._telemetry, self._allowed = kube, telemetry, allowed
        self._secrets, self._shared = Secrets(kube), Shared.over(kube)
        self._runners: dict[tuple[str, str], Runner] = {}
        self._policy_of: dict[tuple[str, str], str] = {}
        self._policies = PolicyReporter(kube, wall)
        self._turns = Turns()
        self.started = asyncio.Event()

    async def run(self, configuration: Configuration, namespaces: tuple[str, ...]) -> None:
        """Run until a signal or cancellation. No namespaces: all of them."""
        _allow_many_files()
        gc.set_threshold(*GC_THRESHOLDS)
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=20)  # for behaviour tests
        plane_limits = httpx.Limits(max_connections=256)  # of their own: those that hang cannot use up the gateways'
        async with (
            Asker() as asker,
            httpx.AsyncClient(limits=limits, trust_env=False) as client,
            httpx.AsyncClient(limits=plane_limits, trust_env=False) as plane_client,
        ):
            planes = ControlPlanes(plane_client, self._allowed)
            asking = asyncio.create_task(planes.run(), name="control planes")
            reporter = asyncio.create_task(self._policies.run(), name="policy reporter")
            try:
                await kopf.operator(
                    registry=self._registry(configuration, asker, client, planes),
                    settings=_settings(),
                    standalone=True,
                    clusterwide=not namespaces,
                    namespaces=namespaces,
                    ready_flag=self.started,
                )
            finally:
                reporter.cancel()
                asking.cancel()

    def _registry(
        self, configuration: Configuration, asker: Asker, client: httpx.AsyncClient, planes: ControlPlanes
    ) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.ConnectionInfo:
            return _connection(configuration)

        @kopf.daemon(
            names.GROUP,
            names.VERSION,
            names.GATEWAY_DEPLOYMENT.plural,
            registry=registry,
            id="loop",
            cancellation_timeout=5.0,
        )
        async def loop(namespace: str | None, name: str, body: kopf.Body, **_: Any) -> None:
            urgent = looks_urgent(body.status) or asks(body)
            await self._loop(asker, client, planes, namespace or "", name, urgent=urgent)

        @kopf.on.event(names.GROUP, names.VERSION, names.GATEWAY_DEPLOYMENT.plural, registry=registry, id="wake")
        async def gateway_changed(namespace: str | None, name: str, body: kopf.Body, **_: Any) -> None:
            policy, version = (body.spec.get("policyRef") or {}).get("name", ""), body.meta.get("resourceVersion", "")
            self._gateway_changed(namespace or "", name, str(policy), str(version), urgent=asks(body))

        @kopf.on.event(names.GROUP, names.VERSION, names.GATEWAY_POLICY.plural, registry=registry, id="policy")
        async def policy_changed(namespace: str | None, name: str, **_: Any) -> None:
            self._policies.look(namespace or "", name)
            for (where, gateway), policy in self._policy_of.items():
                if (where, policy) == (namespace, name):
                    self._wake(where, gateway)

        for group, version, plural in WATCHED_CHILDREN:

            @kopf.on.event(group, version, plural, registry=registry, id=f"child-{plural}")
            async def child_changed(namespace: str | None, labels: Mapping[str, str], **_: Any) -> None:
                self._wake(namespace or "", labels.get(names.LABEL_DEPLOYMENT, ""))

        return registry

    async def _loop(
        self, asker: Asker, client: httpx.AsyncClient, planes: ControlPlanes, namespace: str, name: str, *, urgent: bool
    ) -> None:
        """The control loop of one GatewayDeployment, from its first sight to its deletion."""
        key = (namespace, name)

        def wake() -> None:
            self._wake(namespace, name)

        def looked(answered: bool) -> None:
            self._telemetry.observe(namespace, name, reconciler.signals.values(), time.time() if answered else None)
            if reconciler.stirred:
                wake()

        gateways = GatewayWatch(asker, client, wake, looked)
        outside = Asking(self._secrets, planes, namespace, name, wake)
        reconciler = Reconciler(self._kube, gateways, outside, self._shared, namespace, name, SteadyClock())
        runner = self._runners[key] = Runner(reconciler, self._telemetry, self._turns, namespace, name, urgent=urgent)
        watching = asyncio.create_task(gateways.run(), name=f"gateways of {namespace}/{name}")
        try:
            await runner.run()
        finally:
            watching.cancel()
            outside.forget()
            if self._runners.get(key) is runner:
                del self._runners[key]
                self._policies.look(namespace, self._policy_of.pop(key, ""))
                self._telemetry.forget(namespace, name)

    def _gateway_changed(self, namespace: str, name: str, policy: str, version: str, *, urgent: bool) -> None:
        runner = self._runners.get((namespace, name))
        if runner and not runner.wrote(version):
            runner.wake(urgent=urgent)
        before = self._policy_of.get((namespace, name), policy)
        self._policy_of[(namespace, name)] = policy
        for each in {policy, before}:
            self._policies.look(namespace, each)

    def _wake(self, namespace: str, name: str) -> None:
        if runner := self._runners.get((namespace, name)):
            runner.wake()


def _allow_many_files() -> None:
    """As many as may be: a hundred gateways that are judged at once hold 1,000 connections, more than many a default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.networking.error_backoffs = Backoffs()  # default: gives up after 54 s, a dead loop behind a green probe
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.queueing.worker_limit = 50  # unlimited: 250 MB and more in a burst of events
    settings.queueing.idle_timeout = 0.1  # with the limit and the default of 5 s: five changes a second
    settings.posting.enabled = False  # we post aggregable events.k8s.io ourselves
    settings.peering.standalone = True  # not leader election; the Lease is
    settings.scanning.disabled = True  # no RBAC on CustomResourceDefinitions and namespaces
    settings.persistence.finalizer = FINALIZER
    settings.process.ultimate_exiting_timeout = 30
    # Foreign objects never reach Python. GatewayPolicies and GatewayDeployments carry no label of ours.
    for group, version, plural in WATCHED_CHILDREN:
        settings.watching.label_selectors[group, version, plural] = names.LABEL_DEPLOYMENT
    return settings


def _connection(configuration: Configuration) -> kopf.ConnectionInfo:
    """Kopf logs in as the client library does."""
    if configuration.refresh_api_key_hook:
        configuration.refresh_api_key_hook(configuration)
    key = configuration.api_key.get("BearerToken", "")
    scheme, _, token = key.rpartition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=(scheme or "Bearer") if token else None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )
