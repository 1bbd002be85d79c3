package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/clusterapi"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/install"
)

// ClusterOptions say what else is looked at.
type ClusterOptions struct {
	// Queues are asked for their settings, with the caller's own credentials.
	Queues bool
}

// Cluster looks at an installation in a Kubernetes cluster. The error is one
// that leaves nothing to look at; what else goes wrong is a check.
func Cluster(ctx context.Context, b *clusterapi.Backend, o ClusterOptions) (*Report, error) {
	c := &clusterExam{backend: b, config: b.Access().Config, namespace: b.Access().Namespace}
	if err := c.server(ctx); err != nil {
		return nil, err
	}
	installed := c.crd(ctx)
	c.ownRights(ctx)
	if !installed {
		c.controller(ctx, false)
		return &c.report, nil
	}
	all, err := b.QueueJobs(ctx)
	pools, poolsErr := b.WorkerPools(ctx)
	c.controller(ctx, seenByOne(all, pools))
	if err != nil {
		c.add(found(Problem, "queuejobs", "", hintOf(err), "%v", err))
	}
	if poolsErr != nil {
		c.add(found(Problem, "workerpools", "", hintOf(poolsErr), "%v", poolsErr))
	}
	if len(all)+len(pools) == 0 && err == nil && poolsErr == nil {
		c.add(ok("queuejobs", "", "there are none in %s, and no WorkerPools", scope(c.namespace)))
	}
	for i := range all {
		view := clusterapi.View(&all[i])
		c.add(conditions(&view)...)
		c.edit(label(&view), all[i].Status.ObservedGeneration, all[i].Generation)
		c.add(lease(&all[i])...)
	}
	for i := range pools {
		view := clusterapi.PoolView(&pools[i])
		c.add(workerPool(&view, clusterapi.Conditions(&pools[i].ObjectMeta, pools[i].Status.Conditions))...)
		c.edit(poolLabel(&view), pools[i].Status.ObservedGeneration, pools[i].Generation)
	}
	for _, q := range clusterapi.QueuesOf(all, pools) {
		c.add(readers(&q)...)
	}
	if o.Queues {
		c.queues(ctx, all, pools)
	}
	return &c.report, nil
}

// edit looks whether the controller has seen the latest one.
func (c *clusterExam) edit(about string, seen, latest int64) {
	if seen != 0 && seen != latest {
		c.add(found(Warning, "edit", about, "is the controller running? see above", "the controller has not taken up the latest edit"))
	}
}

// seenByOne tells whether a controller was ever here.
func seenByOne(queueJobs []v1alpha1.QueueJob, pools []v1alpha1.WorkerPool) bool {
	return slices.ContainsFunc(queueJobs, func(qj v1alpha1.QueueJob) bool { return len(qj.Status.Conditions) > 0 }) ||
		slices.ContainsFunc(pools, func(wp v1alpha1.WorkerPool) bool { return len(wp.Status.Conditions) > 0 })
}

func scope(namespace string) string {
	if namespace == "" {
		return "any namespace"
	}
	return "namespace " + namespace
}

// hintOf is what an error says is to be done.
func hintOf(err error) string {
	if p, ok := asProblem(err); ok {
		return p.Hint
	}
	return ""
}

// clusterExam is one look at a cluster.
type clusterExam struct {
	backend   *clusterapi.Backend
	config    *rest.Config
	namespace string // empty: all
	report    Report
}

func (c *clusterExam) add(checks ...Check) { c.report.Checks = append(c.report.Checks, checks...) }

// server asks for the version, and looks at the clock by the way.
func (c *clusterExam) server(ctx context.Context) error {
	client, err := rest.HTTPClientFor(c.config)
	if err != nil {
		return fmt.Errorf("open the cluster at %s: %w", c.config.Host, err)
	}
	base, _, err := rest.DefaultServerUrlFor(c.config)
	if err != nil {
		return fmt.Errorf("open the cluster at %s: %w", c.config.Host, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("version").String(), nil)
	if err != nil {
		return fmt.Errorf("open the cluster at %s: %w", c.config.Host, err)
	}
	asked := time.Now()
	res, err := client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return c.backend.Explain(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.config.Host, err)
	}
	if res.StatusCode == http.StatusUnauthorized {
		return c.backend.Unauthorized()
	}
	var version struct {
		Minor      string `json:"minor"`
		GitVersion string `json:"gitVersion"`
	}
	if json.Unmarshal(data, &version) != nil || version.GitVersion == "" {
		return httpapi.NewProblem(http.StatusServiceUnavailable,
			fmt.Sprintf("%s answers %s and is no Kubernetes API, it seems", c.config.Host, res.Status), "kubectl cluster-info shows where it is")
	}
	c.add(serverVersion(c.config.Host, version.Minor, version.GitVersion))
	if date, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		now := time.Now()
		c.add(clock("the API server", date, now, now.Sub(asked)))
	} else {
		c.add(found(Unknown, "clock", "the API server", "", "it sends no Date"))
	}
	return nil
}

func serverVersion(host, minor, version string) Check {
	_, least, _ := strings.Cut(install.MinimumKubernetes, ".")
	want, err := strconv.Atoi(least)
	if got, gotErr := strconv.Atoi(strings.TrimRight(minor, "+")); err == nil && gotErr == nil && got < want {
		return found(Problem, "kubernetes", "", "upgrade the cluster; docs/KUBERNETES.md says what needs it",
			"%s at %s: Queuemill needs %s or later", version, host, install.MinimumKubernetes)
	}
	return ok("kubernetes", "", "%s at %s", version, host)
}
