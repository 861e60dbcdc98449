"""Configuration files of the world's components."""

from __future__ import annotations

import json
import secrets
import subprocess
from pathlib import Path
from typing import Any

ADDRESS = "10.244.0.1"
SERVER = f"https://{ADDRESS}:443"

AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:  # who wrote what: tests count the writes of the operator
- level: Request
  verbs: [create, update, patch, delete, deletecollection]
  resources: [{group: gateway.keeptrusts.com}]
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: None
"""

CONTAINERD = """\
version = 3
root = "{state}/ctd/root"
state = "{state}/ctd/state"
grpc.address = "{state}/run/containerd.sock"
plugins."io.containerd.cri.v1.images".pinned_images.sandbox = "localhost/pause:1"
plugins."io.containerd.internal.v1.opt".path = "{state}/ctd/opt"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
containerd.runtimes.runc.runtime_type = "io.containerd.runc.v2"
containerd.runtimes.runc.options = {{BinaryName = "{bin}/runc", SystemdCgroup = false}}
cni = {{bin_dirs = ["{bin}"], conf_dir = "{state}/cni"}}
"""  # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc cannot lower it and fails


def write(state: Path, bin_dir: Path, proxy_sync: str) -> None:
    """Everything that the components read; keys and tokens are made once per state folder."""
    for folder in ("run", "log", "cni", "img"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    credentials(state / "run", {"admin": '"system:masters"', "system:node:node1": '"system:nodes"'}, SERVER)
    (state / "audit.yaml").write_text(AUDIT_POLICY)
    (state / "containerd.toml").write_text(CONTAINERD.format(state=state, bin=bin_dir))
    _json(state / "kubelet.json", _kubelet(state))
    _json(state / "proxy.json", _proxy(state, proxy_sync))
    _json(state / "cni" / "10-pods.conflist", _pod_network(state))


def credentials(run: Path, users: dict[str, str], server: str) -> None:
    """Signing key, token file, and a kubeconfig for each user (`admin.yaml`, `node.yaml`)."""
    if not (run / "sa.key").exists():
        command = ["openssl", "genrsa", "-out", str(run / "sa.key"), "2048"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    lines = []
    for user, groups in users.items():
        short = user.split(":")[-1].rstrip("1")
        token = run / f"{short}.token"
        if not token.exists():
            token.touch(mode=0o600)
            token.write_text(secrets.token_hex(16))
        lines.append(f"{token.read_text()},{user},{user},{groups}")
        _json(run / f"{short}.yaml", kubeconfig(server, run / "certs" / "apiserver.crt", token.read_text()))
    (run / "tokens.csv").write_text("\n".join(lines) + "\n")


def kubeconfig(server: str, certificate: Path, token: str) -> dict[str, Any]:
    """A kubeconfig; YAML readers take JSON."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "world", "cluster": {"server": server, "certificate-authority": str(certificate)}}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "world", "context": {"cluster": "world", "user": "user"}}],
        "current-context": "world",
    }


def _kubelet(state: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "containerRuntimeEndpoint": f"unix://{state}/run/containerd.sock",
        "address": ADDRESS,
        "resolvConf": f"{state}/run/resolv.conf",
        "podLogsDir": f"{state}/log/pods",
        "oomScoreAdj": 0,
        "maxPods": 200,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "evictionHard": {"memory.available": "100Mi"},  # not nodefs: how full the machine's disk is says nothing here
        "imageGCHighThresholdPercent": 100,
        "syncFrequency": "5s",
        "nodeStatusUpdateFrequency": "5s",
    }


def _proxy(state: Path, proxy_sync: str) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": "0.0.0.0",
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "detectLocalMode": "ClusterCIDR",
        "clusterCIDR": "10.244.0.0/24",
        "clientConnection": {"kubeconfig": f"{state}/run/admin.yaml"},
        "nftables": {"minSyncPeriod": proxy_sync, "syncPeriod": "30s"},
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def _pod_network(state: Path) -> dict[str, Any]:
    ipam = {
        "type": "host-local",
        "dataDir": f"{state}/run/ipam",
        "ranges": [[{"subnet": "10.244.0.0/24", "rangeStart": "10.244.0.10"}]],
        "routes": [{"dst": "10.245.0.0/24", "gw": ADDRESS}],
    }
    bridge = {"type": "bridge", "bridge": "cni0", "ipMasq": False, "hairpinMode": True, "ipam": ipam}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")
