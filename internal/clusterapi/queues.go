package clusterapi

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"path"
	"slices"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/sqs"
)

// queueLabel is the queue's name, the last part of its URL.
func queueLabel(source *v1alpha1.SQSSource) string {
	switch {
	case source == nil:
		return ""
	case source.Name != "":
		return source.Name
	}
	return path.Base(source.URL)
}

// reader is a QueueJob or a WorkerPool with the queue that it reads.
type reader struct {
	name   string
	pool   bool
	source *v1alpha1.SQSSource   // nil: none
	depth  *v1alpha1.QueueCounts // as the controller saw it last; nil: not known
}

func readersOf(queueJobs []v1alpha1.QueueJob, pools []v1alpha1.WorkerPool) []reader {
	var all []reader
	for i := range queueJobs {
		qj := &queueJobs[i]
		all = append(all, reader{qj.Name, false, qj.Spec.Queue.SQS, qj.Status.Queue})
	}
	for i := range pools {
		wp := &pools[i]
		all = append(all, reader{wp.Name, true, wp.Spec.Queue.SQS, wp.Status.Queue})
	}
	return all
}

// readers are all of the namespaces that are meant. An error beside them is of
// a kind that could not be looked at.
func (b *Backend) readers(ctx context.Context) ([]reader, error) {
	queueJobs, err := b.QueueJobs(ctx)
	pools, poolsErr := b.WorkerPools(ctx)
	return readersOf(queueJobs, pools), cmp.Or(err, poolsErr)
}

// key says which queue is read: two readers that name the same one have the same
// key; empty: none.
func (r *reader) key() string {
	if r.source == nil {
		return ""
	}
	return cmp.Or(r.source.URL, r.source.Name+"@"+r.source.Region)
}

// QueuesOf are the queues that QueueJobs and WorkerPools read, by name.
func QueuesOf(queueJobs []v1alpha1.QueueJob, pools []v1alpha1.WorkerPool) []httpapi.Queue {
	return queuesOf(readersOf(queueJobs, pools))
}

// queuesOf are the queues that are read, by name, with the numbers that the
// controller saw last. Where two have one name, the name is the URL.
func queuesOf(all []reader) []httpapi.Queue {
	byKey := map[string]*httpapi.Queue{}
	uses := map[string]int{}
	for i := range all {
		r := &all[i]
		key := r.key()
		if key == "" {
			continue
		}
		q := byKey[key]
		if q == nil {
			q = &httpapi.Queue{Name: queueLabel(r.source), URL: r.source.URL, QueueJobs: []string{}, WorkerPools: []string{}, Error: unknownDepth}
			q.FIFO = path.Ext(q.Name) == ".fifo"
			byKey[key] = q
			uses[q.Name]++
		}
		if r.pool {
			q.WorkerPools = append(q.WorkerPools, r.name)
		} else {
			q.QueueJobs = append(q.QueueJobs, r.name)
		}
		if n := r.depth; n != nil {
			q.Visible, q.InFlight, q.Delayed, q.Error = int(n.Visible), int(n.InFlight), int(n.Delayed), ""
		}
	}
	queues := []httpapi.Queue{}
	for key, q := range byKey {
		if uses[q.Name] > 1 {
			q.Name = key
		}
		queues = append(queues, *q)
	}
	slices.SortFunc(queues, func(a, b httpapi.Queue) int { return cmp.Compare(a.Name, b.Name) })
	return queues
}

const unknownDepth = "the controller has not reported its depth"

// ListQueues is httpapi.Queues's.
func (b *Backend) ListQueues(ctx context.Context) ([]httpapi.Queue, error) {
	all, err := b.readers(ctx)
	if err != nil {
		return nil, err
	}
	return queuesOf(all), nil
}

// OpenQueue is httpapi.Queues's. The queue is spoken to directly, with the
// caller's own credentials (the AWS SDK's default chain): a role that its reader
// names is the controller's and is not assumed.
func (b *Backend) OpenQueue(ctx context.Context, name string) (queue.Queue, error) {
	all, err := b.readers(ctx)
	for _, q := range queuesOf(all) {
		if q.Name != name {
			continue
		}
		for i := range all {
			if r := &all[i]; r.source != nil && (queueLabel(r.source) == name || r.key() == name) {
				own := *r.source
				own.RoleARN = ""
				return sqs.Open(ctx, own, sqs.Options{})
			}
		}
	}
	return nil, cmp.Or(err, queue.ErrNotFound)
}

// CreateQueue is httpapi.Queues's: queues of a cluster are made by who runs
// them.
func (b *Backend) CreateQueue(context.Context, string) error {
	return httpapi.NewProblem(http.StatusNotImplemented, "queues are not made from here",
		"make it where it is served (aws sqs create-queue --queue-name NAME) and name it in a QueueJob or WorkerPool")
}

// idle tells whether nothing is left to do for a QueueJob, as far as its status
// says. What receives nothing does not count with its queue.
func idle(qj *v1alpha1.QueueJob) bool {
	if n := qj.Status.Jobs; n.Queued+n.Running > 0 || qj.Status.ObservedGeneration != qj.Generation {
		return false
	}
	if qj.Spec.Suspend || isTrue(qj, "RecordsFull") {
		return true
	}
	n := qj.Status.Queue
	return n != nil && n.Visible+n.InFlight+n.Delayed == 0
}

func isTrue(qj *v1alpha1.QueueJob, condition string) bool {
	for _, c := range qj.Status.Conditions {
		if c.Type == condition {
			return c.Status == "True"
		}
	}
	return false
}

// The numbers of a queue are approximate and reach the status a moment later,
// so idleness must last: as many looks, each so long after the one before.
const (
	idleEvery = 2 * time.Second
	idleLooks = 3
)

// WaitIdle is httpapi.Controller's.
func (b *Backend) WaitIdle(ctx context.Context) error {
	tick := time.NewTicker(idleEvery)
	defer tick.Stop()
	for looks := 0; ; {
		is, err := b.isIdle(ctx)
		if err != nil {
			return err
		}
		if !is {
			looks = 0
		} else if looks++; looks == idleLooks {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (b *Backend) isIdle(ctx context.Context) (bool, error) {
	all, err := b.QueueJobs(ctx)
	if err != nil {
		return false, err
	}
	if len(all) == 0 {
		return false, httpapi.NewProblem(http.StatusNotFound,
			fmt.Sprintf("there is no QueueJob in %s to become idle", b.scope()), "kubectl apply one, or choose another namespace with -n")
	}
	for i := range all {
		if !idle(&all[i]) {
			return false, nil
		}
	}
	return true, nil
}

// scope names the namespaces that are meant.
func (b *Backend) scope() string {
	if b.access.Namespace == "" {
		return "any namespace"
	}
	return "namespace " + b.access.Namespace
}
