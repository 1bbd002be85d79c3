package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/record"
)

// listPage is how many Jobs are asked for at a time.
const listPage = 500

// ErrNoMessage: the record is there, but not the Secret with its message, or the
// right to read it. Get returns the record all the same, without body.
var ErrNoMessage = errors.New("the message's Secret can't be read")

// look finds a record's Jobs live, by slot, none when there is no record. It
// asks for them by name, which costs the API server nothing; where no tracker
// knows of later ones it also lists, should the first one be gone. With content
// the highest slot has the message.
func (e *Executor) look(ctx context.Context, name string, withContent bool) ([]*object, error) {
	known := 0
	t := e.cluster.known(e.namespace)
	if t != nil {
		known = t.slots(e.namespace, name)
	}
	var found []*object
	for slot := 1; ; slot++ {
		j, err := e.cluster.client.BatchV1().Jobs(e.namespace).Get(ctx, slotName(name, slot), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			if slot >= known {
				break
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at job %s: %w", slotName(name, slot), err)
		}
		o := contentOf(j)
		if o.record != name {
			break // a record of its own whose name looks like a slot's
		}
		if !o.ours {
			return nil, fmt.Errorf("a Job %s that is not Queuemill's has the name of a record: delete it", o.name)
		}
		found = append(found, o)
	}
	if len(found) == 0 && t == nil {
		var err error
		if found, err = e.list(ctx, LabelRecord+"="+name, contentOf); err != nil {
			return nil, err
		}
		bySlot(found)
	}
	if len(found) > 0 && withContent {
		last := found[len(found)-1]
		if last.secret == "" {
			return found, nil
		}
		// Without its message a record still says what there is to be said of it.
		if err := e.readSecret(ctx, last); err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	return found, nil
}

// list asks for Jobs page by page and keeps of each what keep makes of it.
func (e *Executor) list(ctx context.Context, selector string, keep func(*batchv1.Job) *object) ([]*object, error) {
	for {
		var all []*object
		o := metav1.ListOptions{LabelSelector: selector, Limit: listPage}
		for {
			page, err := e.cluster.client.BatchV1().Jobs(e.namespace).List(ctx, o)
			if apierrors.IsResourceExpired(err) && o.Continue != "" {
				break // the list took too long: from the start
			}
			if err != nil {
				return nil, fmt.Errorf("list jobs: %w", err)
			}
			for i := range page.Items {
				all = append(all, keep(&page.Items[i]))
			}
			if page.Continue == "" {
				return all, nil
			}
			o.Continue = page.Continue
		}
	}
}

// List implements executor.Executor.
func (e *Executor) List(ctx context.Context, queueJob string) ([]record.Record, error) {
	objects, err := e.list(ctx, selectorOf(queueJob), summaryOf)
	if err != nil {
		return nil, err
	}
	byRecord := make(map[string][]*object, len(objects))
	for _, o := range objects {
		byRecord[o.record] = append(byRecord[o.record], o)
	}
	records := make([]record.Record, 0, len(byRecord))
	for name, of := range byRecord {
		records = append(records, e.assemble(of, e.knownPods(name)))
	}
	slices.SortFunc(records, func(a, b record.Record) int { return strings.Compare(a.Name, b.Name) })
	return records, nil
}

// Get implements executor.Getter. A record whose Secret can't be read comes with
// ErrNoMessage.
func (e *Executor) Get(ctx context.Context, name string) (record.Record, error) {
	found, err := e.look(ctx, name, false)
	switch {
	case err != nil:
		return record.Record{}, err
	case len(found) == 0:
		return record.Record{}, executor.ErrNotFound
	}
	last := found[len(found)-1]
	pods := e.knownPods(name)
	untold := last.phase == underway && !last.invalid() || last.phase == failed && last.why == nil
	if untold && e.cluster.known(e.namespace) == nil {
		if live, err := e.livePods(ctx, LabelRecord+"="+name); err == nil { // else without
			pods = (&tracked{pods: live}).podsOf
		}
	}
	if last.secret != "" {
		if err := e.readSecret(ctx, last); err != nil {
			if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
				err = fmt.Errorf("%w: %w", ErrNoMessage, err)
			}
			return e.assemble(found, pods), err
		}
	}
	return e.assemble(found, pods), nil
}

// assemble makes the record of Jobs that were looked at, with what is known here
// and written nowhere yet.
func (e *Executor) assemble(objects []*object, pods podsOf) record.Record {
	if t := e.cluster.known(e.namespace); t != nil {
		t.addFindings(objects)
	}
	rec := assemble(objects, pods)
	rec.Acked = rec.Acked || e.cluster.acks.has(rec.UID)
	return rec
}

// knownPods are a record's pods as Run has seen them.
func (e *Executor) knownPods(name string) podsOf {
	if t := e.cluster.known(e.namespace); t != nil {
		return t.pods(e.namespace, name)
	}
	return noPods
}

// livePods lists pods, in the order of their creation.
func (e *Executor) livePods(ctx context.Context, selector string) ([]*pod, error) {
	list, err := e.cluster.client.CoreV1().Pods(e.namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	pods := make([]*pod, 0, len(list.Items))
	for i := range list.Items {
		if p := podOf(&list.Items[i]); p.job != "" {
			pods = append(pods, p)
		}
	}
	byCreation(pods)
	return pods, nil
}
