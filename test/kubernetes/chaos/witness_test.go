package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/queuemill/queuemill/test/cluster/fakekubelet"
)

// witness sees every Job of a namespace that there ever was, and every run of
// their pods. It trusts nothing that the controller says of them but the
// message's ID on a Job.
type witness struct {
	mu   sync.Mutex
	jobs map[types.UID]*seenJob
	runs []*run
	open map[types.UID]*run // by pod
}

// seenJob is one Job, as it was last.
type seenJob struct {
	*batchv1.Job
	order   int // in which they were seen first
	history []string
	gone    bool
}

// run is one run of a pod.
type run struct {
	pod        string
	job        string
	messageID  string
	number     string    // of the task
	created    time.Time // the pod, to the second
	start, end time.Time
	exitCode   int32 // -1: deleted under it
}

func (r *run) String() string {
	end := "runs"
	if !r.end.IsZero() {
		end = stamp(r.end) + fmt.Sprintf(" exit code %d", r.exitCode)
	}
	return fmt.Sprintf("pod %s: made at %s, %s to %s", r.pod, stamp(r.created), stamp(r.start), end)
}

func stamp(t time.Time) string { return t.Format("15:04:05.000") }

// The keys that tell what a Job was made of (docs/KUBERNETES.md).
const (
	messageIDKey = "queuemill.dev/message-id"
	taskKey      = "queuemill.dev/task"
	queueJobKey  = "queuemill.dev/queuejob"
)

// watchJobs starts a witness of a namespace, with a kubelet that lets pods run
// as plan says. Both end with the test.
func watchJobs(t testing.TB, w *world, plan func(*corev1.Pod) fakekubelet.Plan) *witness {
	t.Helper()
	s := &witness{jobs: map[types.UID]*seenJob{}, open: map[types.UID]*run{}}
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { follow(ctx, w.client, w.namespace, s) })
	group.Go(func() {
		err := fakekubelet.Run(ctx, fakekubelet.Options{Config: plane.Config(), Namespace: w.namespace, Plan: plan, Observe: s.observe})
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		group.Wait()
	})
	return s
}

func follow(ctx context.Context, client kubernetes.Interface, namespace string, s *witness) {
	jobs := client.BatchV1().Jobs(namespace)
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return jobs.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return jobs.Watch(ctx, o)
		},
	}
	cache.NewReflectorWithOptions(source, &batchv1.Job{}, (*jobStore)(s), cache.ReflectorOptions{
		Name: "witness", MinWatchTimeout: time.Hour,
	}).RunWithContext(ctx)
}

// jobStore is how the witness is told by its reflector.
type jobStore witness

// Add takes a new Job.
func (s *jobStore) Add(obj any) error { return s.Update(obj) }

// Update takes a Job that has changed.
func (s *jobStore) Update(obj any) error {
	job := obj.(*batchv1.Job)
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.jobs[job.UID]
	if seen == nil {
		seen = &seenJob{order: len(s.jobs)}
		s.jobs[job.UID] = seen
	}
	if now := phase(job); seen.Job == nil || phase(seen.Job) != now {
		seen.history = append(seen.history, stamp(time.Now())+" "+now)
	}
	seen.Job = job
	return nil
}

// Delete takes a Job that is gone.
func (s *jobStore) Delete(obj any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost(obj.(*batchv1.Job).UID)
	return nil
}

func (s *jobStore) lost(uid types.UID) {
	if seen := s.jobs[uid]; seen != nil && !seen.gone {
		seen.gone = true
		seen.history = append(seen.history, stamp(time.Now())+" gone")
	}
}

// Replace takes a new list, after the watch broke off.
func (s *jobStore) Replace(list []any, _ string) error {
	there := map[types.UID]bool{}
	for _, obj := range list {
		there[obj.(*batchv1.Job).UID] = true
	}
	s.mu.Lock()
	for uid := range s.jobs {
		if !there[uid] {
			s.lost(uid)
		}
	}
	s.mu.Unlock()
	for _, obj := range list {
		if err := s.Update(obj); err != nil {
			return err
		}
	}
	return nil
}

// Resync is not needed: nothing is derived from the store.
func (s *jobStore) Resync() error { return nil }

// phase is what a Job looks like, in few words.
func phase(job *batchv1.Job) string {
	words := []string{}
	if job.DeletionTimestamp != nil {
		words = append(words, "being deleted")
	}
	for _, c := range job.Status.Conditions {
		if c.Status == corev1.ConditionTrue {
			words = append(words, string(c.Type))
		}
	}
	if len(words) == 0 {
		return "unfinished"
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// observe takes what the kubelet says.
func (s *witness) observe(o fakekubelet.Observation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !o.Started {
		if r := s.open[o.Pod.UID]; r != nil {
			r.end, r.exitCode = o.At, o.ExitCode
			delete(s.open, o.Pod.UID)
		}
		return
	}
	r := &run{
		pod: o.Pod.Name, job: o.Pod.Labels[batchv1.JobNameLabel], created: o.Pod.CreationTimestamp.Time, start: o.At,
		messageID: envOf(o.Pod, "QUEUEMILL_MESSAGE_ID"), number: envOf(o.Pod, "NUMBER"),
	}
	s.runs = append(s.runs, r)
	s.open[o.Pod.UID] = r
}

// envOf is a variable as the first container of a pod would have it: the last
// one of the name, with $$ read as Kubernetes does.
func envOf(pod *corev1.Pod, name string) (value string) {
	for _, e := range pod.Spec.Containers[0].Env {
		if e.Name == name {
			value = strings.ReplaceAll(e.Value, "$$", "$")
		}
	}
	return value
}

// of are the Jobs ever made of a message, the first one first.
func (s *witness) of(messageID string) (jobs []seenJob) {
	for _, j := range s.all() {
		if j.Annotations[messageIDKey] == messageID {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// all are all Jobs there ever were, the first one first.
func (s *witness) all() []seenJob {
	s.mu.Lock()
	defer s.mu.Unlock()
	var jobs []seenJob
	for _, j := range s.jobs {
		jobs = append(jobs, *j)
	}
	slices.SortFunc(jobs, func(a, b seenJob) int { return a.order - b.order })
	return jobs
}

// runsOf are the runs of a message's pods, in order.
func (s *witness) runsOf(messageID string) (runs []run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.runs {
		if r.messageID == messageID {
			runs = append(runs, *r)
		}
	}
	return runs
}

// byMessage groups what there is by message ID.
func (s *witness) byMessage() (jobs map[string][]seenJob, runs map[string][]run) {
	jobs, runs = map[string][]seenJob{}, map[string][]run{}
	for _, j := range s.all() {
		id := j.Annotations[messageIDKey]
		jobs[id] = append(jobs[id], j)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.runs {
		runs[r.messageID] = append(runs[r.messageID], *r)
	}
	return jobs, runs
}

// counts is how many Jobs look how, for messages.
func (s *witness) counts() string {
	n := map[string]int{}
	for _, j := range s.all() {
		if j.gone {
			n["gone"]++
		} else {
			n[phase(j.Job)]++
		}
	}
	var words []string
	for _, k := range slices.Sorted(maps.Keys(n)) {
		words = append(words, fmt.Sprintf("%d %s", n[k], k))
	}
	return strings.Join(words, "; ")
}
