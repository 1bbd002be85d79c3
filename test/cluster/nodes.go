package cluster

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

//go:embed node.sh
var nodeScript string

// firstKubeletPort is the first node's, at an address that is the cluster's
// own.
const firstKubeletPort = 10250

// nodes are the nodes of one cluster: a kubelet and a containerd each, on one
// bridge. Everything of them lies in the cluster's folder, runs in namespaces
// of its own, or is named by the seat.
type nodes struct {
	seat *seat
	api  *service
	all  []*process
}

// HostAddress is this machine as the pods of a cluster with nodes see it: what
// listens there can be reached by them.
func (c *Cluster) HostAddress() string { return c.nodes.seat.host() }

// LoadImage puts an image onto every node: an archive (Image.WriteTo) or an OCI
// layout, of which the image for this machine's processor is taken.
func (c *Cluster) LoadImage(ctx context.Context, image string) error {
	if info, err := os.Stat(image); err != nil {
		return fmt.Errorf("load image: %w", err)
	} else if info.IsDir() {
		archive := c.path("nodes", "image.tar")
		if err := archiveOf(image, archive); err != nil {
			return fmt.Errorf("load image: %w", err)
		}
		defer func() { _ = os.Remove(archive) }() // it goes with the folder too
		image = archive
	}
	for _, n := range c.nodes.all {
		if err := c.ctr(ctx, n, "images", "import", image); err != nil {
			return fmt.Errorf("load image: %w", err)
		}
	}
	return nil
}

// takeSeat prepares for nodes what the control plane must know of them: the
// range of the Services' addresses.
func (c *Cluster) takeSeat() error {
	for _, hidden := range []string{"/run/", "/var/lib/", "/var/log/"} {
		if strings.HasPrefix(c.dir+"/", hidden) {
			return fmt.Errorf("a cluster with nodes can't lie in %s: a node has a %s of its own; choose another folder", c.dir, hidden)
		}
	}
	s, err := takeSeat(c.path("nodes"))
	if err != nil {
		return err
	}
	c.nodes = &nodes{seat: s}
	c.serviceRange, c.serviceIP = s.serviceRange(), s.apiService()
	return nil
}

// startNodes joins the nodes to the control plane and waits until they are
// ready and have the images Busybox and pause.
func (c *Cluster) startNodes(ctx context.Context) error {
	if err := c.nodes.seat.network(ctx); err != nil {
		return fmt.Errorf("make the pods' network: %w", err)
	}
	var err error
	if c.nodes.api, err = serve(c.serviceIP+":443", "127.0.0.1:"+c.port.String()); err != nil {
		return err
	}
	for i := range c.o.Nodes {
		if err := c.startNode(fmt.Sprintf("node%d", i+1), firstKubeletPort+i); err != nil {
			return err
		}
	}
	for _, n := range c.nodes.all {
		if err := n.await(ctx, func(context.Context) error {
			_, err := os.Stat(n.containerd())
			return err
		}); err != nil {
			return err
		}
	}
	if err := c.loadOwn(ctx); err != nil {
		return err
	}
	return c.awaitNodes(ctx)
}

// startNode writes what the node's daemons read and starts its first process.
func (c *Cluster) startNode(name string, port int) error {
	dir := c.path("nodes", name)
	seat := c.nodes.seat
	files := map[string]string{
		"node.sh":             nodeScript,
		"containerd.toml":     containerdConfig(dir),
		"cni/bridge.conflist": cniConfig(seat, c.path("nodes", "ipam")),
		"kubelet.yaml":        kubeletConfig(seat, name, port, dir, c.ca.file),
		"resolv.conf":         "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
	}
	for setting, value := range kernelSettings {
		files["sysctl/"+setting] = value + "\n"
	}
	for path, content := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("set up %s: %w", name, err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return fmt.Errorf("set up %s: %w", name, err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		return fmt.Errorf("set up %s: %w", name, err)
	}
	for _, program := range []string{"kubelet", "containerd", "containerd-shim-runc-v2", "runc"} {
		if err := os.Symlink(c.Bin(program), filepath.Join(dir, "bin", program)); err != nil {
			return fmt.Errorf("set up %s: %w", name, err)
		}
	}
	kubeconfig, err := c.componentKubeconfig(name, "system:node:"+name, "system:nodes")
	if err != nil {
		return err
	}
	if err := seat.makeCgroups(name); err != nil {
		return fmt.Errorf("set up %s: %w", name, err)
	}
	cmd := exec.Command("/bin/sh", filepath.Join(dir, "node.sh"), dir, name, seat.host(), kubeconfig)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/"}
	cmd.SysProcAttr = ownNamespaces()
	n, err := c.launchAs(name, cmd)
	if err != nil {
		return err
	}
	c.nodes.all = append(c.nodes.all, n)
	return nil
}

// stopNodes ends the nodes with all that runs on them and removes what is left
// of them on the machine.
func (c *Cluster) stopNodes() error {
	if c.nodes == nil {
		return nil
	}
	for _, n := range c.nodes.all {
		n.kill()
	}
	c.nodes.api.close()
	err := errors.Join(c.nodes.seat.sweep(), c.nodes.seat.leave())
	c.nodes = nil
	return err
}

// containerd is where the node's containerd listens. It lies in a mount
// namespace of the node's.
func (p *process) containerd() string {
	return fmt.Sprintf("/proc/%d/root/run/containerd/containerd.sock", p.cmd.Process.Pid)
}

// ctr calls containerd's own client on a node.
func (c *Cluster) ctr(ctx context.Context, n *process, args ...string) error {
	all := append([]string{"--address", n.containerd(), "--namespace", "k8s.io"}, args...)
	out, err := exec.CommandContext(ctx, c.Bin("ctr"), all...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ctr %s on %s: %w: %s", strings.Join(args, " "), n.name, err, bytes.TrimSpace(out))
	}
	return nil
}

// loadOwn loads the images that every cluster has. A pause container only
// sleeps.
func (c *Cluster) loadOwn(ctx context.Context) error {
	archive := c.path("nodes", "own.tar")
	defer func() { _ = os.Remove(archive) }() // it goes with the folder too
	for _, name := range []string{Busybox, pauseImage} {
		image, err := BusyboxImage(name)
		if err != nil {
			return err
		}
		if name == pauseImage {
			image.Entrypoint = []string{"/bin/sleep", "2147483647"}
		}
		if err := image.WriteTo(archive); err != nil {
			return err
		}
		if err := c.LoadImage(ctx, archive); err != nil {
			return err
		}
	}
	return nil
}

// awaitNodes waits until every node is Ready and takes pods.
func (c *Cluster) awaitNodes(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	for _, n := range c.nodes.all {
		if err := n.await(ctx, func(ctx context.Context) error {
			node, err := client.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if len(node.Spec.Taints) > 0 {
				return fmt.Errorf("it is tainted: %v", node.Spec.Taints)
			}
			for _, condition := range node.Status.Conditions {
				if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
					return nil
				}
			}
			return errors.New("it is not ready")
		}); err != nil {
			return err
		}
	}
	return nil
}
