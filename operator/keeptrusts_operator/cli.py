"""The command: `run` (default) leads or stands by, `cleanup` prepares an uninstall."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from kubernetes.aio.client import Configuration

from keeptrusts_operator.gateways.credentials import AllowedHosts
from keeptrusts_operator.kube.client import ApiServer, load_configuration
from keeptrusts_operator.kube.fence import FencedKube
from keeptrusts_operator.kube.lease import CLEANUP_HOLDER, Lease
from keeptrusts_operator.kube.port import GATEWAYS, ApiError
from keeptrusts_operator.loop.app import FINALIZER, App
from keeptrusts_operator.loop.telemetry import Telemetry
from keeptrusts_operator.loop.web import Web

logger = logging.getLogger("keeptrusts_operator")

LEASE_NAME = "keeptrusts-operator"
CLEANUP_SECONDS = 600.0
"""How long nobody leads after a cleanup: long enough for the uninstall to delete the replicas."""
EXIT_LOST_LEASE = 3
ALLOWED_HOSTS = "KEEPTRUSTS_OPERATOR_ALLOWED_HOSTS"


def main() -> None:
    """Entry point of `keeptrusts-operator`."""
    arguments = _arguments(_parser(os.environ))
    logging.basicConfig(
        level=arguments.log_level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", stream=sys.stderr
    )
    for noisy, level in (("httpx", logging.WARNING), ("kopf", logging.WARNING), ("kopf.objects", logging.ERROR)):
        logging.getLogger(noisy).setLevel(level)  # a line for every event of every object says nothing
    command = _cleanup if arguments.command == "cleanup" else _run
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(command(arguments)))


def _arguments(parser: argparse.ArgumentParser, words: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments; `allowed_hosts` are those of the options and of the environment together."""
    arguments = parser.parse_args(words)
    try:
        arguments.allowed_hosts = AllowedHosts.of(arguments.allow_host)
    except ValueError as error:
        parser.error(f"--allow-host (or {ALLOWED_HOSTS}): {error}")
    return arguments


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="keeptrusts-operator", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["run", "cleanup"], default="run")
    parser.add_argument(
        "--namespace", action="append", default=[], help="watch this namespace only (repeatable); default: all"
    )
    parser.add_argument(
        "--lease-namespace", default=environment.get("POD_NAMESPACE", ""), help="default: the pod's own"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=environment.get(ALLOWED_HOSTS, "").replace(",", " ").split(),
        metavar="HOST[:PORT]",
        help="a control plane or Prometheus server that may be sent a token a user names (repeatable, and in addition to "
        f"those in {ALLOWED_HOSTS}, separated by commas); default: none",
    )
    parser.add_argument("--port", type=int, default=8080, help="of /metrics, /healthz, /readyz (default 8080)")
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")
    return parser


async def _run(arguments: argparse.Namespace) -> int:
    """Compete for the Lease; lead while it is ours; exit when it is lost (the pod is restarted as a standby)."""
    configuration = await load_configuration()
    telemetry = Telemetry()
    async with ApiServer(configuration) as api:
        lease = Lease(api, _lease_namespace(arguments), LEASE_NAME, _identity())
        leading: list[App] = []
        server = Web(telemetry, lambda: _unready(lease, leading))
        await server.start(arguments.port)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        try:
            if not await _acquired(lease, stop):
                return 0
            telemetry.leader.set(1)
            return await _lead(arguments, configuration, api, lease, telemetry, leading)
        finally:
            await lease.release()
            await server.stop()


async def _acquired(lease: Lease, stop: asyncio.Event) -> bool:
    """Stand by until the Lease is ours; False when told to stop first. A standby does not start Kopf: its finalizer
    patches are not fenced."""
    competing, stopping = asyncio.create_task(lease.acquire()), asyncio.create_task(stop.wait())
    await asyncio.wait({competing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if competing.done():
        return True
    competing.cancel()
    return False


async def _lead(
    arguments: argparse.Namespace,
    configuration: Configuration,
    api: ApiServer,
    lease: Lease,
    telemetry: Telemetry,
    leading: list[App],
) -> int:
    app = App(FencedKube(api, lease), telemetry, arguments.allowed_hosts)
    leading.append(app)
    working = asyncio.create_task(app.run(configuration, tuple(arguments.namespace)), name="kopf")
    keeping = asyncio.create_task(lease.keep(), name="lease")
    await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
    if not working.done():
        logger.error("leadership is lost: exiting at once, so that nothing more is written")
        logging.shutdown()
        os._exit(EXIT_LOST_LEASE)
    keeping.cancel()
    await working
    return 0


def _unready(lease: Lease, leading: list[App]) -> str:
    """Why this replica is not ready; empty when it is. A standby is ready; one that waits for the API server is not
    (and never dead: a restart would throw away what it knows)."""
    if not leading:
        return "" if lease.seen_recently else "the Lease cannot be read: waiting for the API server"
    if not lease.held:
        return "the Lease could not be renewed: waiting for the API server"
    return "" if leading[0].started.is_set() else "starting to watch"


async def _cleanup(arguments: argparse.Namespace) -> int:
    """Before an uninstall: stop every replica from leading, then let go of all GatewayDeployments.

    Gateways go on serving; nothing but our finalizer is removed.
    """
    failed = 0
    async with ApiServer(await load_configuration()) as api:
        lease = Lease(api, _lease_namespace(arguments), LEASE_NAME, CLEANUP_HOLDER)
        await lease.take(CLEANUP_SECONDS)
        logger.info("took the Lease for %d s: the leader exits, nobody follows it", CLEANUP_SECONDS)
        await asyncio.sleep(lease.old_leader_gone_after)
        for namespace in arguments.namespace or [""]:
            for gateway in await api.list(GATEWAYS, namespace):
                failed += not await _released(api, gateway)
    return 1 if failed else 0


async def _released(api: ApiServer, gateway: dict[str, object]) -> bool:
    metadata = gateway["metadata"]
    assert isinstance(metadata, dict)
    finalizers = metadata.get("finalizers") or []
    if FINALIZER not in finalizers:
        return True
    where = f"{metadata['namespace']}/{metadata['name']}"
    patch = {
        "metadata": {
            "resourceVersion": metadata["resourceVersion"],
            "finalizers": [f for f in finalizers if f != FINALIZER] or None,
        }
    }
    try:
        await api.merge(GATEWAYS, metadata["namespace"], metadata["name"], patch)
    except ApiError as error:
        logger.error("%s: the finalizer could not be removed: %s; run cleanup again", where, error)
        return False
    logger.info("%s: let go", where)
    return True


def _lease_namespace(arguments: argparse.Namespace) -> str:
    if arguments.lease_namespace:
        return str(arguments.lease_namespace)
    file = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    return file.read_text().strip() if file.exists() else "default"


def _identity() -> str:
    """The pod's name: a container that restarts in its pod leads again at once. Elsewhere unique per process."""
    return os.environ.get("POD_NAME") or f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
