package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/message"
)

// The life of a message's Secret:
//
//	made, owned by the QueueJob ─▶ its Job made ─▶ owned by the Job(s) ─▶ collected with the last of them
//	                    │
//	                    └─ another message has the Job's name ─▶ deleted

// makeSecret creates the Secret, or finds it there from an earlier try: its name
// says whose it is. uid is empty then.
func (e *Executor) makeSecret(ctx context.Context, s *corev1.Secret) (uid types.UID, err error) {
	began := time.Now()
	made, err := e.cluster.client.CoreV1().Secrets(e.namespace).Create(ctx, s, metav1.CreateOptions{})
	e.cluster.metrics.wrote(resourceSecret, verbCreate, began, err)
	switch {
	case apierrors.IsAlreadyExists(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("create secret %s: %w: %w", s.Name, executor.ErrUnavailable, err)
	}
	return made.UID, nil
}

// ownSecret makes the Job an owner of its Secret, in the QueueJob's place. When
// the Secret was collected with an earlier owner meanwhile, it is made again. An
// error costs nothing now: the leader does it again, see adoptSecrets.
func (e *Executor) ownSecret(ctx context.Context, s *corev1.Secret, o *object) {
	err := e.patchOwner(ctx, s.Name, o)
	if apierrors.IsNotFound(err) {
		s = s.DeepCopy()
		s.OwnerReferences = []metav1.OwnerReference{ownerOf(o)}
		_, err = e.makeSecret(ctx, s)
	}
	if err != nil {
		e.log.Warn("the Job does not own its Secret yet", keyJob, o.name, keySecret, s.Name, keyError, err)
	}
}

// adoptSecret is ownSecret where the Secret is not in hand.
func (e *Executor) adoptSecret(ctx context.Context, o *object) {
	if o.secret == "" {
		return
	}
	if err := e.patchOwner(ctx, o.secret, o); err != nil {
		e.log.Warn("the Job does not own its Secret yet", keyJob, o.name, keySecret, o.secret, keyError, err)
	}
}

func ownerOf(o *object) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "batch/v1", Kind: "Job", Name: o.name, UID: o.uid}
}

// patchOwner is a strategic merge by UID: done twice it changes nothing.
func (e *Executor) patchOwner(ctx context.Context, secret string, o *object) error {
	owners := []any{ownerOf(o)}
	if e.owner != nil {
		owners = append(owners, map[string]any{"$patch": "delete", "uid": e.owner.UID})
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"ownerReferences": owners}})
	if err != nil {
		return fmt.Errorf("own secret %s: %w", secret, err)
	}
	began := time.Now()
	_, err = e.cluster.client.CoreV1().Secrets(e.namespace).Patch(ctx, secret, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	e.cluster.metrics.wrote(resourceSecret, verbPatch, began, err)
	return err
}

// dropSecret removes a Secret that was just made for a Job that is another
// message's. What an error leaves goes with the QueueJob.
func (e *Executor) dropSecret(ctx context.Context, name string, uid types.UID, job string) {
	found, err := e.look(ctx, job, false)
	if err != nil {
		return
	}
	for _, o := range found {
		if o.secret == name {
			return // the same message's, made by somebody else at the same time
		}
	}
	began := time.Now()
	err = e.cluster.client.CoreV1().Secrets(e.namespace).Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	e.cluster.metrics.wrote(resourceSecret, verbDelete, began, err)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		e.log.Warn("a Secret that no Job uses could not be deleted", keySecret, name, keyError, err)
	}
}

// readSecret adds what stands in the Secret to a record's content.
func (e *Executor) readSecret(ctx context.Context, o *object) error {
	s, err := e.cluster.client.CoreV1().Secrets(e.namespace).Get(ctx, o.secret, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read the message of job %s from secret %s: %w", o.name, o.secret, err)
	}
	if body, ok := s.Data[keyBody]; ok {
		o.content.body = string(body)
	}
	if text, ok := s.Data[keyOwnAttributes]; ok {
		o.content.attributes = map[string]message.Attribute{}
		if err := json.Unmarshal(text, &o.content.attributes); err != nil {
			return fmt.Errorf("read the attributes of job %s from secret %s: %w", o.name, o.secret, err)
		}
	}
	return nil
}
