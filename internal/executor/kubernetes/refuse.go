package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/reason"
)

// refusal is what an error of a Job's create means: not now, the template's
// fault, or this message's.
func (e *Executor) refusal(ctx context.Context, job *executor.Job, err error) error {
	if !refused(err) {
		return fmt.Errorf("%w: %w", executor.ErrUnavailable, err)
	}
	if job.Invalid != nil {
		return fmt.Errorf("%w: the record of an invalid message is refused: %w", executor.ErrUnavailable, err)
	}
	sound := e.cluster.check(ctx, e.namespace, job.QueueJob, job.Spec)
	if sound == nil {
		return &executor.InvalidError{Cause: reason.Cause{
			Reason: reason.Rejected, Detail: "Kubernetes refuses the Job of this message: " + short(words(err)),
		}}
	}
	return fmt.Errorf("%w: %w", executor.ErrUnavailable, sound)
}

// refused tells whether the API server has looked at the object and does not
// want it; a quota is not that.
func refused(err error) bool {
	switch {
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return true
	case apierrors.IsForbidden(err):
		return strings.Contains(err.Error(), "denied the request") || strings.Contains(err.Error(), "denied request")
	}
	return strings.Contains(err.Error(), "request is too large")
}

// words are what the API server says, without what it says before.
func words(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return err.Error()
	}
	s := status.Status()
	if s.Details == nil || len(s.Details.Causes) == 0 {
		return s.Message
	}
	var all []string
	for _, c := range s.Details.Causes {
		if c.Field != "" {
			all = append(all, c.Field+": "+c.Message)
		} else {
			all = append(all, c.Message)
		}
	}
	return strings.Join(all, "; ")
}

func tooLarge(size int) error {
	return &executor.InvalidError{Cause: reason.Cause{Reason: reason.Rejected, Detail: fmt.Sprintf(
		"its Job takes %d bytes, of which Kubernetes keeps %d at most: variables stand in every container", size, maxJob)}}
}
