#!/bin/sh
# The first process of a node, in a PID and a mount namespace of its own: when
# it is killed the kernel ends every process of the node, containers and their
# shims too, and every mount goes with the last of them.
#
#   node.sh DIR NAME ADDRESS KUBECONFIG
#
# DIR has bin/, containerd.toml, kubelet.yaml, resolv.conf and sysctl/. What
# the kubelet logs is the output.
set -eu
dir=$1 name=$2 address=$3 kubeconfig=$4

mount --make-rprivate /
mount -t proc proc /proc

# What daemons keep at fixed places lies in DIR, or in memory.
mount -t tmpfs -o mode=755 tmpfs /run
for d in lib log; do
	mkdir -p "$dir/$d"
	mount --bind "$dir/$d" "/var/$d"
done

# Names are not looked up outside this machine.
resolv=$(readlink -m /etc/resolv.conf)
mkdir -p "$(dirname "$resolv")"
[ -e "$resolv" ] || : >"$resolv"
mount --bind "$dir/resolv.conf" "$resolv"

# The kubelet wants some settings of the kernel and would write them. It finds
# them as it wants them, and the machine keeps its own.
(cd "$dir/sysctl" && find . -type f) | while read -r f; do
	[ ! -e "/proc/sys/$f" ] || mount --bind "$dir/sysctl/$f" "/proc/sys/$f"
done
mount --make-rshared /

PATH=$dir/bin:$PATH
export PATH
containerd --config "$dir/containerd.toml" >"$dir/containerd.log" 2>&1 &
until [ -S /run/containerd/containerd.sock ]; do
	sleep 0.05
	if ! kill -0 $!; then
		tail -n 5 "$dir/containerd.log"
		exit 1
	fi
done
kubelet --config "$dir/kubelet.yaml" --kubeconfig "$kubeconfig" \
	--hostname-override "$name" --node-ip "$address" &
wait
