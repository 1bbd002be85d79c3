package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/record"
)

// TemplateError says that the template makes no Job that the API server takes,
// or, where Unknown, that this can't be told now: a full quota, a webhook
// without dry-run, an API server that is away.
type TemplateError struct {
	Unknown bool
	Msg     string
}

func (e *TemplateError) Error() string { return e.Msg }

// Check tells whether the API server takes a Job of qj's template, by a dry run:
// nil when it does, *TemplateError when not or when it can't tell now.
func (c *Cluster) Check(ctx context.Context, qj *v1alpha1.QueueJob) error {
	return c.check(ctx, qj.Namespace, qj.Name, &qj.Spec)
}

func (c *Cluster) check(ctx context.Context, namespace, name string, spec *v1alpha1.QueueJobSpec) error {
	t, err := newTemplate(spec)
	if err != nil {
		return err
	}
	job := sample(namespace, name, spec)
	parts, err := partsOf(namespace, nil, job)
	if err == nil {
		rendered, renderErr := render(namespace, t, job, place{slot: 1}, parts)
		if renderErr == nil {
			_, err = c.client.BatchV1().Jobs(namespace).Create(ctx, rendered, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		} else {
			err = renderErr
		}
	}
	return judge(err)
}

// judge is what a dry run's answer says of a template.
func judge(err error) error {
	unknown := func(format string, args ...any) error {
		return &TemplateError{Unknown: true, Msg: fmt.Sprintf(format, args...)}
	}
	switch {
	case err == nil, apierrors.IsAlreadyExists(err):
		return nil
	case strings.Contains(err.Error(), "does not support dry run"):
		return unknown("a webhook of the cluster can't be asked by a dry run: %s", words(err))
	case refused(err):
		return &TemplateError{Msg: "spec.kubernetes.jobTemplate: " + short(words(err))}
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota"):
		return unknown("the namespace's quota is full: %s", words(err))
	case apierrors.IsForbidden(err):
		return unknown("the controller may not create Jobs here: %s", words(err))
	case apierrors.IsNotFound(err):
		return unknown("the namespace can't take Jobs: %s", words(err))
	case errors.Is(err, context.Canceled):
		return err
	}
	return unknown("the API server can't tell now: %v", err)
}

// sample is a message's job as a dry run wants it: every variable is there.
func sample(namespace, name string, spec *v1alpha1.QueueJobSpec) *executor.Job {
	recordName, hash := message.RecordName(namespace, name, "sample of queuemill's dry run")
	job := &executor.Job{
		Name: recordName, Attempt: 1, Namespace: namespace, QueueJob: name, Identity: hash,
		Message: record.Message{ID: "sample", Body: "{}"}, Payload: "{}", Spec: spec,
	}
	for _, v := range spec.Message.Env {
		job.Env = append(job.Env, message.EnvVar{Name: v.Name, Value: "sample"})
	}
	return job
}
