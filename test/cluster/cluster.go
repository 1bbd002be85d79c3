package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// startTimeout is for a machine that is busy with other things; an idle one
// takes 3 s.
const startTimeout = 3 * time.Minute

// Options say what a cluster is made of. The zero value is a control plane
// alone.
type Options struct {
	// Nodes is how many kubelets there are, each with a containerd of its own:
	// 0 to 2. They need Linux and root. Without any, Jobs get pods that nobody
	// runs.
	Nodes int

	// Fsync lets etcd sync its writes to disk, as a user's does: for
	// measurements. Tests are quicker without.
	Fsync bool

	// Audit writes every request's metadata to AuditLog.
	Audit bool

	// Dir is where all files of the cluster are. It must be absent or empty, and
	// Stop removes it. "": a fresh temporary folder.
	Dir string

	// Log is told what is being built and for how long; nil: os.Stderr.
	Log io.Writer
}

// Cluster is a running one.
type Cluster struct {
	o    Options
	dir  string
	log  io.Writer
	bins *binaries
	ca   *authority
	port *port // the API server's, kept over its restarts

	serviceRange, serviceIP string // of Services; the API server's own address
	nodes                   *nodes // nil: none

	reaper *reaper

	mu    sync.Mutex
	procs []*process // in the order in which they were started
}

// Start builds what binaries are missing, starts the cluster and returns once
// it takes requests and has its default ServiceAccount. When it can't, nothing
// is left running and the error ends with what the failed part logged last.
func Start(ctx context.Context, o Options) (_ *Cluster, err error) {
	if o.Nodes < 0 || o.Nodes > 2 {
		return nil, fmt.Errorf("start a cluster with %d nodes: 0, 1 or 2 are possible", o.Nodes)
	}
	if o.Nodes > 0 {
		if err := nodesPossible(); err != nil {
			return nil, err
		}
	}
	c := &Cluster{o: o, log: o.Log, serviceRange: defaultServiceRange, serviceIP: defaultServiceIP}
	if c.log == nil {
		c.log = os.Stderr
	}
	if c.bins, err = findBinaries(ctx, needed(o.Nodes), c.log); err != nil {
		return nil, err
	}
	if c.dir, err = makeDir(o.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	if c.reaper, err = startReaper(c.dir); err != nil {
		return nil, err
	}
	if c.port, err = reservePort(); err != nil {
		return nil, err
	}
	if o.Nodes > 0 {
		if err = c.takeSeat(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.startControlPlane(ctx); err != nil {
		return nil, err
	}
	if o.Nodes > 0 {
		if err := c.startNodes(ctx); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// makeDir makes the cluster's folder with those for its parts.
func makeDir(dir string) (string, error) {
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "queuemill-cluster-"); err != nil {
			return "", fmt.Errorf("make the cluster's folder: %w", err)
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("make the cluster's folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the cluster's folder: %w", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		return "", errors.Join(fmt.Errorf("start a cluster in %s: the folder is not empty; is there another one? stop it, or remove the folder", dir), err)
	}
	for _, sub := range []string{"log", "run", "pki", "etcd"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return "", fmt.Errorf("make the cluster's folder: %w", err)
		}
	}
	return dir, nil
}

// Stop ends every process of the cluster, waits for them and removes its
// folder. A second call does nothing.
func (c *Cluster) Stop() error {
	var errs []error
	errs = append(errs, c.stopNodes())
	c.mu.Lock()
	procs := c.procs
	c.procs = nil
	c.mu.Unlock()
	for i := len(procs) - 1; i >= 0; i-- {
		procs[i].kill()
	}
	c.port.release()
	if err := os.RemoveAll(c.dir); err != nil {
		errs = append(errs, fmt.Errorf("remove the cluster's folder: %w", err))
	}
	c.reaper.dismiss()
	return errors.Join(errs...)
}

// path is a file of the cluster.
func (c *Cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}

// Kubeconfig is the path of an administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return c.path("kubeconfig") }

// Config is an administrator's (system:masters), without a client-side rate
// limit. It is the caller's to change.
func (c *Cluster) Config() *rest.Config {
	return c.config(c.ca.admin)
}

// AuditLog is the path of the audit log, one JSON event a line, where
// Options.Audit is set. An event is there when its response is.
func (c *Cluster) AuditLog() string { return c.path("log", "audit.jsonl") }

// Bin is the path of one of the cluster's programs: kubectl, etcd, with nodes
// ctr, runc, … A name that is none of them is returned as it is.
func (c *Cluster) Bin(name string) string { return c.bins.path(name) }
