#!/usr/bin/env bash
# Inside the world: its own network, mount, cgroup and pid namespaces. Starts every component of a node and stays as
# PID 1, so that killing the one process outside ends all of them. The world has no route to anywhere else.
# Arguments: state folder, folder with the binaries, kube-proxy's minSyncPeriod is in proxy.json.
set -u
state=$1 bin=$2 address=10.244.0.1
export PATH=$bin:$PATH
cd "$state" || exit 1

mount_cgroups() {
  if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then
    # cgroup v2 (not tried on the machines this was written on): our own subtree is the root of the new namespace. The
    # controllers can only be handed to children once no process is in it.
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mkdir -p /sys/fs/cgroup/init
    while read -r pid; do echo "$pid" > /sys/fs/cgroup/init/cgroup.procs 2>/dev/null; done < /sys/fs/cgroup/cgroup.procs
    for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
      echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control
    done
    return
  fi
  mount -t tmpfs tmpfs /sys/fs/cgroup
  for controller in cpu cpuacct cpuset memory devices freezer blkio pids systemd; do
    mkdir "/sys/fs/cgroup/$controller"
    options=$controller; [ "$controller" = systemd ] && options=none,name=systemd
    mount -t cgroup -o "$options" cgroup "/sys/fs/cgroup/$controller"
  done
}

api() { curl -s --cacert run/certs/apiserver.crt -H "Authorization: Bearer $(cat run/admin.token)" "https://$address:443$1"; }

mount_cgroups
for folder in /run /var/lib /var/log; do mount -t tmpfs tmpfs $folder; done # shim sockets, device plugins, pods
ip link set lo up
ip link add cni0 type bridge && ip addr add $address/24 dev cni0 && ip link set cni0 up
ip route add 10.245.0.0/24 dev cni0 src $address
echo 1 > /proc/sys/net/ipv4/ip_forward
[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] && echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables
echo "nameserver 127.0.0.1" > run/resolv.conf

containerd --config containerd.toml > log/containerd.log 2>&1 &
etcd --data-dir run/etcd --unsafe-no-fsync > log/etcd.log 2>&1 &
kube-apiserver --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --advertise-address=$address --secure-port=443 \
  --cert-dir=run/certs --service-account-key-file=run/sa.key --service-account-signing-key-file=run/sa.key \
  --service-account-issuer=https://kubernetes.default.svc --token-auth-file=run/tokens.csv \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
  --audit-policy-file=audit.yaml --audit-log-path=log/audit.log \
  --service-cluster-ip-range=10.245.0.0/24 --kubelet-preferred-address-types=InternalIP > log/kube-apiserver.log 2>&1 &

until ctr -a "$state/run/containerd.sock" version > /dev/null 2>&1; do sleep 0.1; done
for image in img/*.tar; do ctr -a "$state/run/containerd.sock" -n k8s.io images import "$image"; done > log/import.log 2>&1
until api /readyz | grep -qx ok; do sleep 0.1; done # `grep ok` alone also matches failures

kube-controller-manager --kubeconfig=run/admin.yaml --service-account-private-key-file=run/sa.key \
  --root-ca-file=run/certs/apiserver.crt --leader-elect=false --bind-address=127.0.0.1 > log/kube-controller-manager.log 2>&1 &
kube-scheduler --kubeconfig=run/admin.yaml --leader-elect=false --bind-address=127.0.0.1 > log/kube-scheduler.log 2>&1 &
kubelet --config="$state/kubelet.json" --kubeconfig=run/node.yaml --hostname-override=node1 --node-ip=$address \
  --root-dir="$state/kubelet" --cert-dir=run/kubelet-pki > log/kubelet.log 2>&1 &
until api /api/v1/nodes/node1 | grep -q InternalIP; do sleep 0.1; done # earlier, kube-proxy would look a second later again
kube-proxy --config="$state/proxy.json" --hostname-override=node1 > log/kube-proxy.log 2>&1 &
until api /api/v1/nodes/node1 | tr -d ' \n' | grep -q '"type":"Ready","status":"True"'; do sleep 0.1; done
until curl -s http://127.0.0.1:10249/metrics | grep -qE 'sync_proxy_rules_duration_seconds_count\{ip_family="IPv4"\} [1-9]'; do sleep 0.1; done
touch run/ready
while :; do wait; sleep 1; done # PID 1 reaps orphans
