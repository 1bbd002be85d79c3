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

// source says which queue a QueueJob reads: two that name the same one have the
// same key.
func sourceKey(qj *v1alpha1.QueueJob) string {
	s := qj.Spec.Queue.SQS
	if s == nil {
		return ""
	}
	return cmp.Or(s.URL, s.Name+"@"+s.Region)
}

// queuesOf are the queues that QueueJobs read, by name, with the numbers that
// the controller saw last. Where two have one name, the name is the URL.
func queuesOf(all []v1alpha1.QueueJob) []httpapi.Queue {
	byKey := map[string]*httpapi.Queue{}
	uses := map[string]int{}
	for i := range all {
		qj := &all[i]
		key := sourceKey(qj)
		if key == "" {
			continue
		}
		q := byKey[key]
		if q == nil {
			q = &httpapi.Queue{Name: queueLabel(qj.Spec.Queue.SQS), URL: qj.Spec.Queue.SQS.URL, QueueJobs: []string{}, Error: unknownDepth}
			q.FIFO = path.Ext(q.Name) == ".fifo"
			byKey[key] = q
			uses[q.Name]++
		}
		q.QueueJobs = append(q.QueueJobs, qj.Name)
		if n := qj.Status.Queue; n != nil {
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
	all, err := b.QueueJobs(ctx)
	if err != nil {
		return nil, err
	}
	return queuesOf(all), nil
}

// OpenQueue is httpapi.Queues's. The queue is spoken to directly, with the
// caller's own credentials (the AWS SDK's default chain): a role that the
// QueueJob names is the controller's and is not assumed.
func (b *Backend) OpenQueue(ctx context.Context, name string) (queue.Queue, error) {
	all, err := b.QueueJobs(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range queuesOf(all) {
		if q.Name != name {
			continue
		}
		for i := range all {
			if source := all[i].Spec.Queue.SQS; source != nil && (queueLabel(all[i].Spec.Queue.SQS) == name || sourceKey(&all[i]) == name) {
				own := *source
				own.RoleARN = ""
				return sqs.Open(ctx, own, sqs.Options{})
			}
		}
	}
	return nil, queue.ErrNotFound
}

// CreateQueue is httpapi.Queues's: queues of a cluster are made by who runs
// them.
func (b *Backend) CreateQueue(context.Context, string) error {
	return httpapi.NewProblem(http.StatusNotImplemented, "queues are not made from here",
		"make it where it is served (aws sqs create-queue --queue-name NAME) and name it in a QueueJob")
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
