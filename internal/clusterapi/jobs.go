package clusterapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/executor/kubernetes"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/record"
)

// List is httpapi.Jobs's: with all namespaces, the jobs of every QueueJob of
// that name.
func (b *Backend) List(ctx context.Context, queueJob string) ([]record.Record, error) {
	all, err := b.jobs(b.access.Namespace).List(ctx, queueJob)
	return all, b.Explain(err)
}

// of is where the job is. A job's name holds a hash of its namespace, so with
// all namespaces it is in one of them.
func (b *Backend) of(ctx context.Context, name string) (Jobs, error) {
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return nil, executor.ErrNotFound // the API server would refuse the question
	}
	if b.access.Namespace != "" {
		return b.jobs(b.access.Namespace), nil
	}
	found, err := b.client.BatchV1().Jobs(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		LabelSelector: labels.Set{kubernetes.LabelRecord: name}.String(), Limit: 1,
	})
	if err != nil {
		return nil, b.Explain(err)
	}
	if len(found.Items) == 0 {
		return nil, executor.ErrNotFound
	}
	return b.jobs(found.Items[0].Namespace), nil
}

// Get is httpapi.Jobs's.
func (b *Backend) Get(ctx context.Context, name string) (record.Record, error) {
	jobs, err := b.of(ctx, name)
	if err != nil {
		return record.Record{}, err
	}
	return b.get(ctx, jobs, name)
}

// get is a record; without its body where that is in a Secret that the caller
// may not read.
func (b *Backend) get(ctx context.Context, jobs Jobs, name string) (record.Record, error) {
	rec, err := jobs.Get(ctx, name)
	if errors.Is(err, kubernetes.ErrNoMessage) {
		err = nil
	}
	return rec, b.Explain(err)
}

// Logs is httpapi.Jobs's.
func (b *Backend) Logs(ctx context.Context, name string, o executor.LogOptions) (io.ReadCloser, error) {
	jobs, err := b.of(ctx, name)
	if err != nil {
		return nil, err
	}
	logs, err := jobs.Logs(ctx, name, o)
	if err != nil {
		return nil, b.Explain(err)
	}
	return logs, nil
}

// Delete is httpapi.Jobs's.
func (b *Backend) Delete(ctx context.Context, name, uid string) error {
	jobs, err := b.of(ctx, name)
	if err != nil {
		return err
	}
	return b.Explain(jobs.Delete(ctx, name, uid))
}

// Watch is httpapi.Jobs's.
func (b *Backend) Watch(ctx context.Context, queueJob string, ready func(), handle func(executor.Event)) error {
	// A list tells at once what informers would try again and again.
	if _, err := b.List(ctx, queueJob); err != nil {
		return err
	}
	return b.Explain(b.jobs(b.access.Namespace).Watch(ctx, queueJob, ready, handle))
}

// Retry is httpapi.Controller's: it annotates the job; the controller starts
// the next attempt as soon as there is room.
func (b *Backend) Retry(ctx context.Context, name string) error {
	jobs, err := b.of(ctx, name)
	if err != nil {
		return err
	}
	rec, err := b.get(ctx, jobs, name)
	if err != nil {
		return err
	}
	switch {
	case rec.State == record.Succeeded:
		return conflict("send the message again if it is to be done again", "job %s has succeeded", name)
	case !rec.State.Finished():
		return conflict("wait until it has finished", "job %s is unfinished", name)
	}
	if err := b.hasQueueJob(ctx, &rec); err != nil || rec.RetryRequested {
		return err
	}
	yes := true
	_, err = jobs.Patch(ctx, name, rec.UID, executor.Patch{RetryRequested: &yes})
	return b.Explain(err)
}

func conflict(hint, format string, args ...any) error {
	return httpapi.NewProblem(http.StatusConflict, fmt.Sprintf(format, args...), hint)
}

// hasQueueJob refuses a request that nobody would carry out.
func (b *Backend) hasQueueJob(ctx context.Context, rec *record.Record) error {
	_, err := b.queueJobs.get(ctx, rec.Namespace, rec.QueueJob)
	if errors.Is(err, executor.ErrNotFound) {
		return conflict("kubectl apply its manifest again first",
			"job %s can't be retried: its QueueJob %s is not in namespace %s any more", rec.Name, rec.QueueJob, rec.Namespace)
	}
	return b.Explain(err)
}
