package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/record"
)

// patchTries is how often a change looks again at a record that changes under it.
const patchTries = 4

// Patch implements executor.Patcher. What changes stands on the Job of the
// record's highest slot. Acked alone is kept in memory, and written with the
// next change or attempt: to write it would be a write for every message.
func (e *Executor) Patch(ctx context.Context, name, uid string, p executor.Patch) (record.Record, error) {
	onlyAcked := p.Acked != nil && p.Receipt == nil && p.RetryRequested == nil && p.PruneRequested == nil
	if onlyAcked && uid != "" && *p.Acked {
		e.noteAck(uid)
		return record.Record{Name: name, UID: uid, Namespace: e.namespace, Acked: true}, nil
	}
	for range patchTries {
		found, err := e.look(ctx, name, false)
		if err != nil {
			return record.Record{}, err
		}
		if len(found) == 0 || uid != "" && recordUID(found[0]) != uid {
			return record.Record{}, executor.ErrNotFound
		}
		rec := e.assemble(found, e.knownPods(name))
		if p.Acked != nil {
			if *p.Acked {
				e.noteAck(rec.UID)
			} else {
				e.cluster.acks.forget(rec.UID)
			}
			rec.Acked = *p.Acked
		}
		changes := changesOf(p, rec.Acked)
		if len(changes) == 0 {
			return rec.Summary(), nil
		}
		changed, err := e.patchJob(ctx, found[len(found)-1], annotate(changes))
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			return record.Record{}, fmt.Errorf("patch job %s: %w", name, err)
		}
		found[len(found)-1] = summaryOf(changed)
		return e.assemble(found, e.knownPods(name)).Summary(), nil
	}
	return record.Record{}, fmt.Errorf("patch job %s: %w: it changes all the time", name, executor.ErrUnavailable)
}

// changesOf are the annotations that p changes, none when nothing needs a write.
func changesOf(p executor.Patch, acked bool) map[string]any {
	changes := map[string]any{}
	if p.Receipt != nil {
		changes[AnnotationReceipt] = string(*p.Receipt)
	}
	flag := func(key string, value *bool) {
		switch {
		case value == nil:
		case *value:
			changes[key] = yes
		default:
			changes[key] = nil
		}
	}
	flag(AnnotationRetry, p.RetryRequested)
	flag(AnnotationPrune, p.PruneRequested)
	switch {
	case acked && len(changes) > 0:
		changes[AnnotationAcked] = yes
	case p.Acked != nil && !*p.Acked:
		changes[AnnotationAcked] = nil
	}
	return changes
}

// noteAck remembers that the message of a record is deleted.
func (e *Executor) noteAck(uid string) {
	t := e.cluster.known(e.namespace)
	if t == nil {
		e.cluster.acks.note(uid, nil)
		return
	}
	e.cluster.acks.note(uid, t.recordUIDs)
}

// annotate is a patch of annotations; nil takes one away.
func annotate(changes map[string]any) map[string]any {
	return map[string]any{"annotations": changes}
}

// text is v as JSON; it is called with what can always be written so.
func text(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		panic("encode an annotation: " + err.Error())
	}
	return string(out)
}

// patchJob merges metadata into the very Job that o is; another one of its name
// is a conflict.
func (e *Executor) patchJob(ctx context.Context, o *object, metadata map[string]any) (*batchv1.Job, error) {
	metadata["uid"] = o.uid
	began := time.Now()
	changed, err := e.cluster.client.BatchV1().Jobs(o.namespace).Patch(ctx, o.name, types.MergePatchType,
		[]byte(text(map[string]any{"metadata": metadata})), metav1.PatchOptions{})
	e.cluster.metrics.wrote(resourceJob, verbPatch, began, err)
	return changed, err
}

// Delete implements executor.Executor. The Jobs go in the order of their slots:
// when it is cut short, what is left is the end of the record and not its
// beginning, which would look as if the job had never been retried. Pods end in
// the background; until they have, Create of the same name is ErrTerminating.
func (e *Executor) Delete(ctx context.Context, name, uid string) error {
	found, err := e.meant(ctx, name, uid)
	if err != nil {
		return err
	}
	gone := 0
	background := metav1.DeletePropagationBackground
	for _, o := range found {
		e.noteCut(o)
		began := time.Now()
		err := e.cluster.client.BatchV1().Jobs(e.namespace).Delete(ctx, o.name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &o.uid}, PropagationPolicy: &background,
		})
		e.cluster.metrics.wrote(resourceJob, verbDelete, began, err)
		switch {
		case apierrors.IsNotFound(err), apierrors.IsConflict(err):
			gone++
		case err != nil:
			return fmt.Errorf("delete job %s: %w", o.name, err)
		}
	}
	e.cluster.acks.forget(recordUID(found[0]))
	if gone == len(found) {
		return executor.ErrNotFound
	}
	return nil
}

// noteCut has later Creates look whether the pods of a Job that is deleted have
// ended, though Run may have seen neither.
func (e *Executor) noteCut(o *object) {
	if t := e.cluster.trackerOf(e.namespace); t != nil {
		t.noteCut(o)
	}
}

// meant are the Jobs of the record of that name and UID. What Run has seen of a
// UID will do: each Job is deleted by its own. A record that somebody else goes
// on with at this moment goes on.
func (e *Executor) meant(ctx context.Context, name, uid string) ([]*object, error) {
	if t := e.cluster.known(e.namespace); t != nil && uid != "" {
		if seen := t.jobsOf(e.namespace, name); len(seen) > 0 && recordUID(seen[0]) == uid {
			return seen, nil
		}
	}
	found, err := e.look(ctx, name, false)
	switch {
	case err != nil:
		return nil, fmt.Errorf("delete job %s: %w", name, err)
	case len(found) == 0 || uid != "" && recordUID(found[0]) != uid:
		return nil, executor.ErrNotFound
	}
	return found, nil
}
