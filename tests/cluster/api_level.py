"""Without root: etcd, kube-apiserver and the controllers as plain processes on loopback. No node, so no pods run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import config

START_SECONDS = 90


def start(folder: Path, binaries: Path, manager: Sequence[str] = ()) -> None:
    """Start on free ports; `run/ready` says that it is up, `run/pids` whom to end. `manager`: more arguments of the
    controller manager."""
    for name in ("run", "log"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    etcd_port, peer_port, api_port = free_ports(3)
    server = f"https://127.0.0.1:{api_port}"
    run = folder / "run"
    config.credentials(run, {"admin": '"system:masters"'}, server)
    (folder / "audit.yaml").write_text(config.AUDIT_POLICY)
    etcd = f"http://127.0.0.1:{etcd_port}"
    commands = {
        "etcd": [
            f"--data-dir={run}/etcd", "--unsafe-no-fsync", f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
        ],
        "kube-apiserver": [
            f"--etcd-servers={etcd}", "--bind-address=127.0.0.1", f"--secure-port={api_port}", f"--cert-dir={run}/certs",
            f"--service-account-key-file={run}/sa.key", f"--service-account-signing-key-file={run}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc", f"--token-auth-file={run}/tokens.csv",
            "--authorization-mode=RBAC", "--service-cluster-ip-range=10.245.0.0/16", "--endpoint-reconciler-type=none",
            f"--audit-policy-file={folder}/audit.yaml", f"--audit-log-path={folder}/log/audit.log",
        ],
        "kube-controller-manager": [
            f"--kubeconfig={run}/admin.yaml", f"--service-account-private-key-file={run}/sa.key",
            f"--root-ca-file={run}/certs/apiserver.crt", "--leader-elect=false", "--secure-port=0",
            *manager,
        ],
    }  # fmt: skip
    pids: dict[str, int] = {}
    for name, arguments in commands.items():
        with (folder / "log" / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(binaries / name), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        pids[name] = process.pid
        (run / "pids").write_text(json.dumps(pids))
        if name == "kube-apiserver":
            _wait(server, run, process)
    (run / "world.pid").write_text(str(pids["kube-apiserver"]))
    (run / "ready").touch()


def stop(folder: Path) -> None:
    """End the processes that `start` recorded and nothing else."""
    record = folder / "run" / "pids"
    if not record.exists():
        return
    for name, pid in json.loads(record.read_text()).items():
        with contextlib.suppress(OSError):
            if name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
    record.unlink()


def _wait(server: str, run: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            context = ssl.create_default_context(cafile=str(run / "certs" / "apiserver.crt"))
            headers = {"Authorization": f"Bearer {(run / 'admin.token').read_text()}"}
            request = urllib.request.Request(f"{server}/readyz", headers=headers)
            with urllib.request.urlopen(request, context=context, timeout=2) as answer:
                if answer.read() == b"ok":
                    return
        time.sleep(0.1)
    log = (run.parent / "log" / "kube-apiserver.log").read_text(errors="replace")
    raise RuntimeError("the API server did not come up:\n" + "\n".join(log.splitlines()[-10:]))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
