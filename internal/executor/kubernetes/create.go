package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/record"
)

// createTries is how often a Create looks again after somebody else took the
// name it wanted.
const createTries = 4

// Create implements executor.Executor. A first attempt of which Run has seen
// nothing is one write, with a Secret three; everything else, and everything
// where it does not run, looks first.
func (e *Executor) Create(ctx context.Context, job executor.Job) (record.Record, error) {
	t := &template{}
	if job.Invalid == nil {
		var err error
		if t, err = e.cluster.templates.of(job.Spec); err != nil {
			return record.Record{}, fmt.Errorf("create job %s: %w: %w", job.Name, executor.ErrUnavailable, err)
		}
	}
	look, seen, unsure := job.Attempt > 1 || job.ReplaceInvalid, 0, true
	if known := e.cluster.known(e.namespace); known != nil {
		// Counted before anything else is asked: what goes meanwhile counts too.
		seen = len(known.jobsOf(e.namespace, job.Name))
		unsure = known.wasCut(e.namespace, job.Name)
		if job.Invalid == nil && known.left(e.namespace, job.Name) {
			return record.Record{}, fmt.Errorf("create job %s: a pod of a deleted Job still ends: %w", job.Name, executor.ErrTerminating)
		}
	}
	look = look || unsure || seen > 0
	for range createTries {
		var found []*object
		if look {
			var err error
			if found, err = e.look(ctx, job.Name, true); err != nil {
				return record.Record{}, fmt.Errorf("create job %s: %w: %w", job.Name, executor.ErrUnavailable, err)
			}
			if job.Invalid == nil && (unsure || len(found) < seen) {
				if found, err = e.nothingEnds(ctx, job.Name, found); err != nil {
					return record.Record{}, fmt.Errorf("create job %s: %w", job.Name, err)
				}
			}
		}
		rec, err := e.createOn(ctx, t, job, found)
		if !errors.Is(err, errTaken) {
			return rec, err
		}
		look = true
	}
	return record.Record{}, fmt.Errorf("create job %s: %w: others take its names", job.Name, executor.ErrUnavailable)
}

// nothingEnds sees to it, live, that no pod still ends of a Job that is not found
// any more: neither its delete nor its pods need have been seen yet. It returns
// what is found: more than before, when a Job was made meanwhile.
func (e *Executor) nothingEnds(ctx context.Context, name string, found []*object) ([]*object, error) {
	pods, err := e.livePods(ctx, LabelRecord+"="+name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", executor.ErrUnavailable, err)
	}
	if !ends(pods, found) {
		return found, nil
	}
	if found, err = e.look(ctx, name, true); err != nil {
		return nil, fmt.Errorf("%w: %w", executor.ErrUnavailable, err)
	}
	if ends(pods, found) {
		return nil, fmt.Errorf("a pod of a deleted Job still ends: %w", executor.ErrTerminating)
	}
	return found, nil
}

// ends tells whether one of pods has not ended and is of no Job that is there.
func ends(pods []*pod, jobs []*object) bool {
	return slices.ContainsFunc(pods, func(p *pod) bool {
		return !p.terminal() && !slices.ContainsFunc(jobs, func(o *object) bool { return o.uid == p.job })
	})
}

// errTaken: there is a Job of the wanted name.
var errTaken = errors.New("the name is taken")

// createOn creates the attempt on what was found.
func (e *Executor) createOn(ctx context.Context, t *template, job executor.Job, found []*object) (record.Record, error) {
	var on *record.Record
	p := place{slot: 1}
	if len(found) > 0 {
		for _, o := range found {
			if o.deleting {
				return record.Record{}, fmt.Errorf("create job %s: %w", job.Name, executor.ErrTerminating)
			}
		}
		rec := e.assemble(found, e.knownPods(job.Name))
		last := found[len(found)-1]
		on, p = &rec, place{slot: last.slot + 1, recordUID: rec.UID, acked: rec.Acked}
	}
	if _, err := executor.NextRecord(on, job, "", time.Now()); err != nil {
		var exists *executor.ExistsError
		if errors.As(err, &exists) {
			e.adoptSecret(ctx, found[len(found)-1])
		}
		return record.Record{}, err
	}
	if on != nil {
		if job.Invalid != nil {
			return e.renewInvalid(ctx, job, found)
		}
		if job.Message.Body == "" {
			job.Message.Body, job.Message.Attributes = on.Message.Body, on.Message.Attributes
		}
		if job.Message.Receipt == "" {
			job.Message.Receipt = on.Message.Receipt
		}
	}
	made, err := e.makeJob(ctx, t, &job, p)
	if err != nil {
		return record.Record{}, err
	}
	return e.assemble(append(found, summaryOf(made)), e.knownPods(job.Name)).Summary(), nil
}

// makeJob creates the Job, and before it the Secret where the message needs one.
func (e *Executor) makeJob(ctx context.Context, t *template, job *executor.Job, p place) (*batchv1.Job, error) {
	parts, err := partsOf(e.namespace, e.owner, job)
	if err != nil {
		return nil, fmt.Errorf("create job %s: %w", job.Name, err)
	}
	rendered, err := render(e.namespace, t, job, p, parts)
	if err != nil {
		return nil, err
	}
	if size := rendered.Size(); size > maxJob && job.Invalid == nil {
		return nil, fmt.Errorf("create job %s: %w", job.Name, tooLarge(size))
	}
	var secretUID types.UID
	if parts.secret != nil {
		if secretUID, err = e.makeSecret(ctx, parts.secret); err != nil {
			return nil, fmt.Errorf("create job %s: %w", job.Name, err)
		}
	}
	made, err := e.post(ctx, job, rendered)
	switch {
	case err == nil && parts.secret != nil:
		e.ownSecret(ctx, parts.secret, summaryOf(made))
	case err == nil:
	case apierrors.IsAlreadyExists(err):
		if secretUID != "" {
			e.dropSecret(ctx, parts.secret.Name, secretUID, job.Name)
		}
		return nil, errTaken
	default:
		return nil, fmt.Errorf("create job %s: %w", job.Name, e.refusal(ctx, job, err))
	}
	return made, nil
}

// post creates a Job in its QueueJob's turn.
func (e *Executor) post(ctx context.Context, job *executor.Job, rendered *batchv1.Job) (*batchv1.Job, error) {
	key := e.namespace + "/" + job.QueueJob
	if err := e.cluster.gate.enter(ctx, key); err != nil {
		return nil, err
	}
	defer e.cluster.gate.leave(key)
	began := time.Now()
	made, err := e.cluster.client.BatchV1().Jobs(e.namespace).Create(ctx, rendered, metav1.CreateOptions{})
	e.cluster.metrics.wrote(resourceJob, verbCreate, began, err)
	return made, err
}

// renewInvalid gives the Invalid record that was found another cause and takes
// the request to retry back.
func (e *Executor) renewInvalid(ctx context.Context, job executor.Job, found []*object) (record.Record, error) {
	last := found[len(found)-1]
	changed, err := e.patchJob(ctx, last, annotate(map[string]any{
		AnnotationReason: text(finding{Cause: causeOf(&job)}), AnnotationRetry: nil,
	}))
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return record.Record{}, errTaken // or gone: look again
	case err != nil:
		return record.Record{}, fmt.Errorf("renew the invalid record %s: %w: %w", job.Name, executor.ErrUnavailable, err)
	}
	found[len(found)-1] = summaryOf(changed)
	return e.assemble(found, noPods).Summary(), nil
}
