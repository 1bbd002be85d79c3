package kubernetes

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/queuemill/queuemill/internal/record"
)

// What a tracker has seen, for those who ask. Nothing of it is live.

// waiting are the records' latest Jobs that have not started and are not
// suspended.
func (t *tracker) waiting() []waiting {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []waiting
	for _, r := range t.records {
		if len(r.objects) == 0 {
			continue
		}
		o := r.objects[len(r.objects)-1]
		if o.phase != underway || o.suspended || o.invalid() || o.deleting {
			continue
		}
		if pods := r.podsOf(o); o.state(pods) == record.Queued {
			copied := *o
			all = append(all, waiting{&copied, pods})
		}
	}
	return all
}

// withSecrets are the Jobs whose message stands in a Secret.
func (t *tracker) withSecrets() []*object {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*object
	for _, o := range t.jobs {
		if o.secret != "" {
			copied := *o
			all = append(all, &copied)
		}
	}
	return all
}

// slots is the highest slot of a record that was seen, 0 when none was.
func (t *tracker) slots(namespace, name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.records[recordKey{namespace, name}]
	if r == nil || len(r.objects) == 0 {
		return 0
	}
	return r.objects[len(r.objects)-1].slot
}

// left tells whether a pod of a Job that is gone still ends: a further attempt
// would run beside it.
func (t *tracker) left(namespace, name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.records[recordKey{namespace, name}]
	return r != nil && ends(r.pods, r.objects)
}

// pods are those of a record's Jobs that were seen.
func (t *tracker) pods(namespace, name string) podsOf {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.records[recordKey{namespace, name}]
	if r == nil || len(r.pods) == 0 {
		return noPods
	}
	return (&tracked{pods: slices.Clone(r.pods)}).podsOf
}

// recordUIDs are the UIDs of all records that were seen.
func (t *tracker) recordUIDs() map[string]struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	uids := make(map[string]struct{}, len(t.records))
	for _, r := range t.records {
		if len(r.objects) > 0 {
			uids[recordUID(r.objects[0])] = struct{}{}
		}
	}
	return uids
}

// jobsOf are a record's Jobs as they were seen, by slot.
func (t *tracker) jobsOf(namespace, name string) []*object {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.records[recordKey{namespace, name}]
	if r == nil {
		return nil
	}
	all := make([]*object, len(r.objects))
	for i, o := range r.objects {
		copied := *o
		all[i] = &copied
	}
	return all
}

// hasJob tells whether a Job is there.
func (t *tracker) hasJob(uid types.UID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.jobs[uid] != nil
}

// addFindings adds to Jobs that were looked at what was gathered of them and is
// not written yet.
func (t *tracker) addFindings(objects []*object) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range objects {
		if known := t.jobs[o.uid]; known != nil && known.why != nil && o.why == nil {
			o.why = known.why
		}
	}
}
