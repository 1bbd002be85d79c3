package cluster

import (
	"context"
	"fmt"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	// defaultServiceRange is where Services get their addresses, which nobody
	// serves without nodes; the API server's own is its first.
	defaultServiceRange = "10.0.0.0/24"
	defaultServiceIP    = "10.0.0.1"

	issuer = "https://kubernetes.default.svc.cluster.local"
)

// auditPolicy says who did what to which object, without bodies. Bodies are not
// needed to know which rights were used.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
`

// startControlPlane starts etcd, the API server and the controller manager, one
// when the other is ready, and the scheduler where there are nodes.
func (c *Cluster) startControlPlane(ctx context.Context) error {
	var err error
	if c.ca, err = newAuthority(c.path("pki"), c.serviceIP); err != nil {
		return err
	}
	if err := c.writeKubeconfig(c.Kubeconfig(), c.ca.admin); err != nil {
		return err
	}
	if err := os.WriteFile(c.path("pki", "audit-policy.yaml"), []byte(auditPolicy), 0o600); err != nil {
		return fmt.Errorf("write the audit policy: %w", err)
	}
	if err := c.startEtcd(ctx); err != nil {
		return err
	}
	if err := c.startAPIServer(ctx); err != nil {
		return err
	}
	if err := c.startControllerManager(); err != nil {
		return err
	}
	if c.o.Nodes > 0 {
		if err := c.startScheduler(); err != nil {
			return err
		}
	}
	return c.awaitServiceAccount(ctx, metav1.NamespaceDefault)
}

// etcdAddress is the name of a socket in the cluster's folder, which etcd and
// the API server run in: no port is needed, and nobody else of the machine can
// read from it. etcd wants it to look like an address.
const etcdAddress = "localhost:2379"

const etcdURL = "unix://" + etcdAddress

func (c *Cluster) startEtcd(ctx context.Context) error {
	args := []string{
		"--data-dir", c.path("etcd"), "--log-level", "warn",
		"--listen-client-urls", etcdURL, "--advertise-client-urls", etcdURL,
		"--listen-peer-urls", "http://127.0.0.1:0",
	}
	if !c.o.Fsync {
		args = append(args, "--unsafe-no-fsync")
	}
	p, err := c.launch("etcd", args...)
	if err != nil {
		return err
	}
	return p.await(ctx, func(context.Context) error {
		_, err := os.Stat(c.path(etcdAddress))
		return err
	})
}

func (c *Cluster) startAPIServer(ctx context.Context) error {
	args := []string{
		"--etcd-servers", etcdURL,
		"--bind-address", "127.0.0.1", "--secure-port", c.port.String(),
		"--permit-port-sharing",                                                  // with this process, which holds the port
		"--advertise-address", "127.0.0.1", "--endpoint-reconciler-type", "none", // a loopback address is none for an Endpoints
		"--tls-cert-file", c.ca.serving.cert, "--tls-private-key-file", c.ca.serving.key,
		"--client-ca-file", c.ca.file,
		"--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction",
		"--service-account-issuer", issuer,
		"--service-account-key-file", c.ca.accounts.key, "--service-account-signing-key-file", c.ca.accounts.key,
		"--service-cluster-ip-range", c.serviceRange,
		"--allow-privileged", "--profiling=false",
	}
	args = append(args, c.kubeletClientArgs()...)
	if c.o.Audit {
		args = append(args,
			"--audit-policy-file", c.path("pki", "audit-policy.yaml"),
			"--audit-log-path", c.AuditLog(), "--audit-log-mode", "blocking",
			"--audit-log-maxsize", "100000") // MB: never rotated
	}
	p, err := c.launch("kube-apiserver", args...)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	return p.await(ctx, func(ctx context.Context) error {
		return client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// kubeletClientArgs let the API server read logs from kubelets.
func (c *Cluster) kubeletClientArgs() []string {
	if c.o.Nodes == 0 {
		return nil
	}
	return []string{"--kubelet-preferred-address-types", "InternalIP", "--kubelet-client-certificate", c.ca.admin.cert, "--kubelet-client-key", c.ca.admin.key}
}

func (c *Cluster) startControllerManager() error {
	kubeconfig, err := c.componentKubeconfig("kube-controller-manager", "system:kube-controller-manager")
	if err != nil {
		return err
	}
	_, err = c.launch("kube-controller-manager",
		"--kubeconfig", kubeconfig, "--leader-elect=false", "--secure-port", "0",
		"--controllers", "*", "--use-service-account-credentials",
		"--service-account-private-key-file", c.ca.accounts.key, "--root-ca-file", c.ca.file,
		"--kube-api-qps", "2000", "--kube-api-burst", "4000", // the defaults of 20 and 30 would be what tests wait for
		"--concurrent-job-syncs", "20", "--concurrent-gc-syncs", "20",
		"--profiling=false")
	return err
}

func (c *Cluster) startScheduler() error {
	kubeconfig, err := c.componentKubeconfig("kube-scheduler", "system:kube-scheduler")
	if err != nil {
		return err
	}
	_, err = c.launch("kube-scheduler", "--kubeconfig", kubeconfig, "--leader-elect=false", "--secure-port", "0", "--profiling=false")
	return err
}

// componentKubeconfig is a kubeconfig of user, in no group but those every
// client is in.
func (c *Cluster) componentKubeconfig(name, user string, groups ...string) (string, error) {
	id, err := c.ca.client(name, user, groups...)
	if err != nil {
		return "", err
	}
	path := c.path("pki", name+".kubeconfig")
	return path, c.writeKubeconfig(path, id)
}

// RestartAPIServer kills the API server as a crash does and starts it again
// under the same address. It returns when it is ready.
func (c *Cluster) RestartAPIServer(ctx context.Context) error {
	p := c.process("kube-apiserver")
	if p == nil {
		return fmt.Errorf("restart kube-apiserver: the cluster in %s is stopped", c.dir)
	}
	p.kill()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return c.startAPIServer(ctx)
}

// awaitServiceAccount waits for a namespace's default ServiceAccount, without
// which pods are refused. The controller manager makes it.
func (c *Cluster) awaitServiceAccount(ctx context.Context, namespace string) error {
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	p := c.process("kube-controller-manager")
	if p == nil {
		return fmt.Errorf("wait for the ServiceAccount of %s: the cluster in %s is stopped", namespace, c.dir)
	}
	return p.await(ctx, func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}
