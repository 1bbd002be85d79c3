package doctor

import (
	"context"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/httpapi/client"
)

// Server looks at a controller by its HTTP API. version is the caller's own.
func Server(ctx context.Context, c *client.Client, version string) (*Report, error) {
	status, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	add := func(checks ...Check) { r.Checks = append(r.Checks, checks...) }
	switch {
	case status.Draining:
		add(found(Warning, "server", "", "start it again with queuemill up", "the controller at %s is stopping", c.Server()))
	default:
		add(ok("server", "", "the controller at %s answers", c.Server()))
	}
	if status.Version != version {
		add(found(Warning, "version", "", "use the same build for both", "the controller is %s, this command line %s", status.Version, version))
	} else {
		add(ok("version", "", "%s, as this command line", version))
	}
	if len(status.QueueJobs)+len(status.WorkerPools) == 0 {
		add(ok("queuejobs", "", "there are none, and no WorkerPools"))
	}
	acks := map[string]v1alpha1.AckMode{} // by QueueJob
	for i := range status.QueueJobs {
		qj := &status.QueueJobs[i]
		acks[qj.Name] = v1alpha1.AckMode(qj.Ack)
		add(conditions(qj)...)
	}
	told := map[string]bool{} // queues that are said to be away already
	for i := range status.WorkerPools {
		wp := &status.WorkerPools[i]
		told[wp.Queue] = told[wp.Queue] || wp.SourceError != ""
		add(workerPool(wp, seenHere(wp))...)
	}
	byName := map[string]*httpapi.Queue{}
	for i := range status.Queues {
		byName[status.Queues[i].Name] = &status.Queues[i]
	}
	for i := range status.Queues {
		q := &status.Queues[i]
		if q.Error != "" && told[q.Name] {
			continue
		}
		by := reading{workers: len(q.WorkerPools) > 0}
		if len(q.QueueJobs) > 0 {
			by.ack = acks[q.QueueJobs[0]]
		}
		if by != (reading{}) {
			add(readers(q)...)
			add(queueSettings(q, by, byName[q.DeadLetterQueue])...)
		}
	}
	return r, nil
}
