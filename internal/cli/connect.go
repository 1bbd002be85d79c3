package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/httpapi/client"
	"github.com/queuemill/queuemill/internal/record"
)

const defaultServer = "http://127.0.0.1:8080"

// serverFlags say where the controller is.
type serverFlags struct {
	url       string
	tokenFile string
}

// addServerFlags adds the flags that say whom a verb speaks to: a controller, or
// the API of a cluster.
func (p *program) addServerFlags(cmd *cobra.Command) {
	p.addControllerFlags(cmd)
	p.addClusterFlags(cmd)
}

// addControllerFlags adds those that say where a controller is.
func (p *program) addControllerFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.server.url, "server", "", "the controller's `URL` (default $QUEUEMILL_SERVER or "+defaultServer+")")
	cmd.Flags().StringVar(&p.server.tokenFile, "token-file", "", "`FILE` with the controller's token (default: the token in $QUEUEMILL_TOKEN)")
}

// connect chooses the controller at --server, or with a cluster flag, or called
// as kubectl's plugin, the cluster.
func (p *program) connect() (*client.Client, error) {
	if p.onCluster() {
		backend, err := p.openCluster()
		if err != nil {
			return nil, err
		}
		return client.InProcess("the cluster at "+backend.Access().Config.Host, httpapi.New(backend.API(), httpapi.Options{})), nil
	}
	token, err := readToken(p.server.tokenFile)
	if err != nil {
		return nil, err
	}
	c, err := client.New(serverURL(p.server.url), token)
	if err != nil {
		return nil, usagef("give --server or QUEUEMILL_SERVER a URL", "%v", err)
	}
	return c, nil
}

// serverURL completes HOST:PORT.
func serverURL(flag string) string {
	url := cmp.Or(flag, os.Getenv("QUEUEMILL_SERVER"), defaultServer)
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	return url
}

// readToken reads the file, or the environment when there is none.
func readToken(file string) (string, error) {
	if file == "" {
		return strings.TrimSpace(os.Getenv("QUEUEMILL_TOKEN")), nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return "", failuref("put the token on its first line", "read the token: %s is empty", file)
	}
	return token, nil
}

// findJob finds the one job whose name is, or begins with, prefix.
func (p *program) findJob(cmd *cobra.Command, c *client.Client, prefix string) (string, error) {
	whole, err := c.Job(cmd.Context(), prefix, false)
	if err == nil {
		return whole.Name, nil // one look is cheaper than a list, in a cluster
	}
	if problem := (*httpapi.Problem)(nil); !errors.As(err, &problem) || problem.Status != http.StatusNotFound {
		return "", err
	}
	page, err := c.Jobs(cmd.Context(), httpapi.JobFilter{Prefix: prefix}, 5000, "")
	if err != nil {
		return "", err
	}
	switch len(page.Jobs) {
	case 0:
		if found := attemptOf(cmd, c, prefix); found != "" {
			return found, nil
		}
		return "", notFoundf(p.insteadOfJobs(cmd.Context(), c, prefix, "queuemill jobs lists them"), "there is no job %q", prefix)
	case 1:
		return page.Jobs[0].Name, nil
	}
	names := make([]string, 0, 4)
	for _, j := range page.Jobs[:min(3, len(page.Jobs))] {
		names = append(names, j.Name)
	}
	if len(page.Jobs) > 3 {
		names = append(names, "…")
	}
	return "", usagef("give more of its name", "%q may be %d jobs: %s", prefix, len(page.Jobs), strings.Join(names, ", "))
}

// insteadOfJobs is what to do about a job or QueueJob that is not there: hint,
// unless it is a pool.
func (p *program) insteadOfJobs(ctx context.Context, c *client.Client, name, hint string) string {
	pools, err := c.WorkerPools(ctx)
	if err != nil || !slices.ContainsFunc(pools, func(wp httpapi.WorkerPool) bool { return wp.Name == name }) {
		return hint
	}
	output := "in pools/" + name + " of the data directory"
	if p.onCluster() {
		output = "what their pods say: kubectl logs -l queuemill.dev/workerpool=" + name
	}
	return name + " is a WorkerPool: its workers make no jobs; their output is " + output
}

// attemptOf is the job of which name is an attempt, as kubectl lists them
// (ping-3f…-2), empty when there is none.
func attemptOf(cmd *cobra.Command, c *client.Client, name string) string {
	i := strings.LastIndexByte(name, '-')
	if n, err := strconv.Atoi(name[i+1:]); i < 0 || err != nil || n < 2 {
		return ""
	}
	j, err := c.Job(cmd.Context(), name[:i], false)
	if err != nil || !slices.ContainsFunc(j.Attempts, func(a record.Attempt) bool { return a.Job == name }) {
		return ""
	}
	return j.Name
}
