package kubernetes

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/record"
)

// tracker is what watches have told of Jobs and pods, put together by record,
// and tells its watchers of each change of one. It never waits for anybody.
type tracker struct {
	mu      sync.Mutex
	records map[recordKey]*tracked
	jobs    map[types.UID]*object
	feeds   map[string]*executor.Feed // by namespace

	// noted, where set, is told of every Job that is new or has changed, with mu
	// held. It says whether its failure is not to be told yet.
	noted func(o *object) (hold bool)
	held  map[types.UID]time.Time // Jobs whose records are not told of, and since when

	cut cuts // records that were cut short lately

	unsynced sync.WaitGroup // of the lists that were not complete yet
	synced   chan struct{}  // closed when all were
}

type recordKey struct{ namespace, name string }

// tracked is one record: its Jobs by slot, and its pods.
type tracked struct {
	objects []*object
	pods    []*pod // of all its Jobs, also of those that are gone
}

func newTracker(lists int) *tracker {
	t := &tracker{
		records: make(map[recordKey]*tracked), jobs: make(map[types.UID]*object),
		feeds: make(map[string]*executor.Feed), held: make(map[types.UID]time.Time),
		synced: make(chan struct{}),
	}
	t.unsynced.Add(lists)
	go func() {
		t.unsynced.Wait()
		close(t.synced)
	}()
	return t
}

// isSynced tells whether the first lists are complete.
func (t *tracker) isSynced() bool {
	select {
	case <-t.synced:
		return true
	default:
		return false
	}
}

func (t *tracker) sync(ctx context.Context) error {
	select {
	case <-t.synced:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// feed is where the changes in a namespace are told.
func (t *tracker) feed(namespace string) *executor.Feed {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.feedOf(namespace)
}

func (t *tracker) feedOf(namespace string) *executor.Feed {
	f := t.feeds[namespace]
	if f == nil {
		f = &executor.Feed{}
		t.feeds[namespace] = f
	}
	return f
}

// at is the record under a key, made when it is not there. mu is held.
func (t *tracker) at(key recordKey) *tracked {
	r := t.records[key]
	if r == nil {
		r = &tracked{}
		t.records[key] = r
	}
	return r
}

// change lets f change the record under a key and tells of what came of it. mu
// is held.
func (t *tracker) change(key recordKey, f func(*tracked)) {
	r := t.at(key)
	before, latest := r.snapshot()
	f(r)
	after, now := r.snapshot()
	if len(r.objects) == 0 && len(r.pods) == 0 {
		delete(t.records, key)
	}
	switch {
	case before == nil && after == nil:
	case after == nil:
		t.tell(key, before, true)
	case before != nil && (before.UID != after.UID || now < latest):
		// Another record of the name; or its latest attempt was deleted, which
		// ends what it was: what is left of it is told anew.
		t.tell(key, before, true)
		t.tell(key, after, false)
	case t.isHeld(r):
	case before == nil || !reflect.DeepEqual(before, after):
		t.tell(key, after, false)
	}
}

// snapshot is the record, nil when there is none, and its highest slot.
func (r *tracked) snapshot() (*record.Record, int) {
	if len(r.objects) == 0 {
		return nil, 0
	}
	rec := assemble(r.objects, r.podsOf)
	return &rec, r.objects[len(r.objects)-1].slot
}

func (r *tracked) podsOf(o *object) []*pod {
	var pods []*pod
	for _, p := range r.pods {
		if p.job == o.uid {
			pods = append(pods, p)
		}
	}
	return pods
}

func (t *tracker) isHeld(r *tracked) bool {
	_, held := t.held[r.objects[len(r.objects)-1].uid]
	return held
}

func (t *tracker) tell(key recordKey, rec *record.Record, deleted bool) {
	e := executor.Event{Record: *rec, Deleted: deleted}
	t.feedOf(key.namespace).Publish(e)
	if all := t.feeds[""]; all != nil && key.namespace != "" { // somebody watches all namespaces
		all.Publish(e)
	}
}

// putJob takes in a Job that is new or has changed.
func (t *tracker) putJob(o *object) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.put(o)
}

func (t *tracker) put(o *object) {
	if old := t.jobs[o.uid]; old != nil && (o.why == nil || o.why.Stuck) && old.why != nil {
		o.why = old.why // gathered here, and not written or not seen yet
	}
	t.note(o)
	t.change(recordKey{o.namespace, o.record}, func(r *tracked) {
		i := slices.IndexFunc(r.objects, func(old *object) bool { return old.name == o.name })
		if i >= 0 {
			if was := r.objects[i].uid; was != o.uid {
				delete(t.jobs, was)
				delete(t.held, was)
			}
			r.objects[i] = o
		} else {
			r.objects = append(r.objects, o)
			bySlot(r.objects)
		}
		t.jobs[o.uid] = o
	})
}

// dropJob takes in that a Job is gone.
func (t *tracker) dropJob(o *object) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(o)
}

func (t *tracker) drop(o *object) {
	t.change(recordKey{o.namespace, o.record}, func(r *tracked) {
		r.objects = slices.DeleteFunc(r.objects, func(old *object) bool { return old.uid == o.uid })
		delete(t.jobs, o.uid)
		delete(t.held, o.uid)
	})
	t.cut.note(o)
}

// replaceJobs takes in a complete list of a namespace ("": of all).
func (t *tracker) replaceJobs(namespace string, list []*object) {
	t.mu.Lock()
	defer t.mu.Unlock()
	there := make(map[types.UID]struct{}, len(list))
	for _, o := range list {
		there[o.uid] = struct{}{}
	}
	for uid, o := range t.jobs {
		if _, ok := there[uid]; !ok && (namespace == "" || o.namespace == namespace) {
			t.drop(o)
		}
	}
	for _, o := range list {
		t.put(o)
	}
}

// putPod takes in a pod that is new or has changed.
func (t *tracker) putPod(p *pod) {
	if p.job == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.change(recordKey{p.namespace, p.record}, func(r *tracked) {
		i := slices.IndexFunc(r.pods, func(old *pod) bool { return old.uid == p.uid })
		if i >= 0 {
			r.pods[i] = p
			return
		}
		r.pods = append(r.pods, p)
		byCreation(r.pods)
	})
}

// dropPod takes in that a pod is gone.
func (t *tracker) dropPod(p *pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.change(recordKey{p.namespace, p.record}, func(r *tracked) {
		r.pods = slices.DeleteFunc(r.pods, func(old *pod) bool { return old.uid == p.uid })
	})
}

// replacePods takes in a complete list of a namespace ("": of all).
func (t *tracker) replacePods(namespace string, list []*pod) {
	there := make(map[types.UID]struct{}, len(list))
	for _, p := range list {
		there[p.uid] = struct{}{}
	}
	var gone []*pod
	t.mu.Lock()
	for key, r := range t.records {
		if namespace != "" && key.namespace != namespace {
			continue
		}
		for _, p := range r.pods {
			if _, ok := there[p.uid]; !ok {
				gone = append(gone, p)
			}
		}
	}
	t.mu.Unlock()
	for _, p := range gone {
		t.dropPod(p)
	}
	for _, p := range list {
		t.putPod(p)
	}
}

// lead makes noted what is asked of every Job, of those that are there first.
// nil ends it: nothing is held any more.
func (t *tracker) lead(noted func(o *object) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.noted = noted
	if noted == nil {
		t.release(time.Now().Add(time.Hour))
		return
	}
	for _, o := range t.jobs {
		t.note(o)
	}
}

// note asks noted. mu is held.
func (t *tracker) note(o *object) {
	if t.noted == nil || !t.noted(o) {
		return
	}
	if _, held := t.held[o.uid]; !held {
		t.held[o.uid] = time.Now()
	}
}

// releaseSince tells of what is held since before then.
func (t *tracker) releaseSince(then time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.release(then)
}

func (t *tracker) release(then time.Time) {
	for uid, since := range t.held {
		if !since.Before(then) {
			continue
		}
		delete(t.held, uid)
		if o := t.jobs[uid]; o != nil {
			t.tellNow(o)
		}
	}
}

// tellNow tells how the record of a Job is. mu is held.
func (t *tracker) tellNow(o *object) {
	key := recordKey{o.namespace, o.record}
	if rec, _ := t.at(key).snapshot(); rec != nil {
		t.tell(key, rec, false)
	}
}

// found takes in what was gathered of a Job, and tells of it.
func (t *tracker) found(uid types.UID, f *finding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := t.jobs[uid]
	if o == nil {
		return
	}
	take := func(*tracked) {
		if o.why == nil || o.why.Stuck {
			o.why = f.withoutOutput()
		}
	}
	if _, held := t.held[uid]; held {
		delete(t.held, uid)
		take(nil)
		t.tellNow(o)
		return
	}
	t.change(recordKey{o.namespace, o.record}, take)
}
