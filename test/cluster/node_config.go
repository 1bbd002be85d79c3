package cluster

import (
	"fmt"
	"path/filepath"
)

// The files that a node's daemons read.

// kernelSettings are what the kubelet wants /proc/sys to have.
var kernelSettings = map[string]string{
	"vm/overcommit_memory":     "1",
	"vm/panic_on_oom":          "0",
	"kernel/panic":             "10",
	"kernel/panic_on_oops":     "1",
	"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
}

// containerdConfig is for a node whose folder is dir. Its own folders are
// containerd's default ones, which node.sh makes the node's own.
func containerdConfig(dir string) string {
	return fmt.Sprintf(`version = 3
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt"]

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = %q

[plugins."io.containerd.cri.v1.runtime"]
  # Root without CAP_SYS_RESOURCE may not lower an OOM score.
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/usr/lib/cni", "/opt/cni/bin"]
  conf_dir = %q
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  BinaryName = %q
`, pauseImage, filepath.Join(dir, "cni"), filepath.Join(dir, "bin", "runc"))
}

// cniConfig puts pods on the seat's bridge. The bridge and the host's address
// on it exist already, so the plugin has no need to turn forwarding on.
func cniConfig(s *seat, ipam string) string {
	return fmt.Sprintf(`{
  "cniVersion": "1.0.0",
  "name": "queuemill",
  "plugins": [{
    "type": "bridge",
    "bridge": %q,
    "ipam": {
      "type": "host-local",
      "dataDir": %q,
      "ranges": [[{"subnet": %q, "gateway": %q}]],
      "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
`, s.bridge(), ipam, s.podRange(), s.host())
}

// kubeletConfig lets a container that dies again and again be started again at
// once: tests kill on purpose.
func kubeletConfig(s *seat, node string, port int, dir, ca string) string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %q
port: %d
healthzPort: 0
readOnlyPort: 0
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: %q}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: %q
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
volumePluginDir: /var/lib/kubelet/volumeplugins
resolvConf: %q
makeIPTablesUtilChains: false
imageGCHighThresholdPercent: 100
crashLoopBackOff: {maxContainerRestartPeriod: 1s}
evictionHard: {memory.available: 1%%, nodefs.available: 1%%, nodefs.inodesFree: 1%%, imagefs.available: 1%%}
`, s.host(), port, ca, s.cgroup()+"/"+node, filepath.Join(dir, "resolv.conf"))
}
