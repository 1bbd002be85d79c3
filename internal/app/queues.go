package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/embedded"
	"github.com/queuemill/queuemill/internal/queue/sqs"
)

// queues are the embedded ones and those that QueueJobs read elsewhere. A name
// is the queue's own, of an embedded queue outside the default region
// NAME@REGION, of a foreign one whose name is taken NAME@2 and so on.
type queues struct {
	broker *embedded.Broker // nil: every queue is elsewhere
	base   string           // URL of the SQS endpoint

	mu      sync.Mutex
	foreign map[string]*foreignQueue // by name
	readers map[string][]string      // QueueJobs by queue name
	pools   map[string][]string      // WorkerPools by queue name
}

type foreignQueue struct {
	url string
	queue.Queue
}

var _ httpapi.Queues = (*queues)(nil)

func newQueues(b *embedded.Broker, base string) *queues {
	return &queues{broker: b, base: base, foreign: map[string]*foreignQueue{}, readers: map[string][]string{}}
}

// open returns the queue that a QueueJob or WorkerPool reads, the name it has
// here, and for an embedded one its URL. An embedded one is made when it is
// missing.
func (q *queues) open(ctx context.Context, reader *metav1.ObjectMeta, source *v1alpha1.SQSSource) (opened queue.Queue, name, url string, err error) {
	if source == nil {
		return nil, "", "", fmt.Errorf("%s: spec.queue names no queue", reader.Name)
	}
	if source.Name != "" && q.broker != nil {
		e, err := q.embedded(source.Region, source.Name)
		if err != nil {
			return nil, "", "", err
		}
		return e.AsQueue(), q.nameOf(e), q.urlOf(e), nil
	}
	foreign, err := sqs.Open(ctx, *source, sqs.Options{Namespace: reader.Namespace, Name: reader.Name})
	if err != nil {
		return nil, "", "", fmt.Errorf("%s: %w", reader.Name, err)
	}
	return foreign, q.addForeign(foreign.URL(), foreign), "", nil
}

func (q *queues) urlOf(e *embedded.Queue) string {
	return q.base + "/" + q.broker.Account() + "/" + e.Name()
}

func (q *queues) embedded(region, name string) (*embedded.Queue, error) {
	e, err := q.broker.Queue(region, name)
	var coded *embedded.Error
	if errors.As(err, &coded) && coded.Code == embedded.CodeQueueDoesNotExist {
		var attributes map[string]string
		if strings.HasSuffix(name, ".fifo") {
			attributes = map[string]string{"FifoQueue": "true"}
		}
		if e, err = q.broker.CreateQueue(region, name, attributes, nil); err != nil {
			return nil, fmt.Errorf("create queue %s: %w", name, err)
		}
		return e, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open queue %s: %w", name, err)
	}
	return e, nil
}

func (q *queues) nameOf(e *embedded.Queue) string {
	if e.Region() == q.broker.DefaultRegion() {
		return e.Name()
	}
	return e.Name() + "@" + e.Region()
}

func (q *queues) addForeign(url string, f queue.Queue) string {
	own := url[strings.LastIndexByte(url, '/')+1:]
	q.mu.Lock()
	defer q.mu.Unlock()
	name := own
	for n := 2; ; n++ {
		old, taken := q.foreign[name]
		if taken && old.url == url || !taken && !q.isEmbedded(name) {
			break
		}
		name = fmt.Sprintf("%s@%d", own, n)
	}
	q.foreign[name] = &foreignQueue{url, f}
	return name
}

func (q *queues) isEmbedded(name string) bool {
	if q.broker == nil {
		return false
	}
	_, err := q.broker.Queue("", name)
	return err == nil
}

// setReaders says which QueueJobs read which queue; foreign queues that nobody
// reads are forgotten.
func (q *queues) setReaders(readers map[string][]string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.readers = readers
	q.forget()
}

// setPools is setReaders for WorkerPools.
func (q *queues) setPools(pools map[string][]string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pools = pools
	q.forget()
}

// forget is called with q.mu held.
func (q *queues) forget() {
	for name := range q.foreign {
		if len(q.readers[name])+len(q.pools[name]) == 0 {
			delete(q.foreign, name)
		}
	}
}

// OpenQueue is httpapi.Queues's.
func (q *queues) OpenQueue(_ context.Context, name string) (queue.Queue, error) {
	q.mu.Lock()
	f := q.foreign[name]
	q.mu.Unlock()
	if f != nil {
		return f.Queue, nil
	}
	if q.broker == nil {
		return nil, queue.ErrNotFound
	}
	own, region, _ := strings.Cut(name, "@")
	e, err := q.broker.Queue(region, own)
	if err != nil {
		return nil, queue.ErrNotFound
	}
	return e.AsQueue(), nil
}

// CreateQueue is httpapi.Queues's.
func (q *queues) CreateQueue(_ context.Context, name string) error {
	if q.broker == nil {
		return httpapi.NewProblem(http.StatusConflict, "queues can't be made here: this controller has none of its own", "make it where the queues are")
	}
	own, region, _ := strings.Cut(name, "@")
	_, err := q.embedded(region, own)
	var coded *embedded.Error
	if errors.As(err, &coded) {
		return httpapi.NewProblem(http.StatusBadRequest, coded.Message, "")
	}
	return err
}

// depthTimeout bounds the look at a queue on another machine.
const depthTimeout = 3 * time.Second

// ListQueues is httpapi.Queues's. A queue that does not tell its numbers is
// listed with the error.
func (q *queues) ListQueues(ctx context.Context) ([]httpapi.Queue, error) {
	all := []httpapi.Queue{}
	var own []*embedded.Queue
	if q.broker != nil {
		own = q.broker.Queues("", "")
	}
	for _, e := range own {
		view := httpapi.Queue{
			Name: q.nameOf(e), URL: q.urlOf(e), Embedded: true, FIFO: e.FIFO(),
		}
		fill(ctx, &view, e.AsQueue())
		all = append(all, view)
	}
	q.mu.Lock()
	first := len(all)
	var foreign []queue.Queue
	for name, f := range q.foreign {
		all = append(all, httpapi.Queue{Name: name, URL: f.url})
		foreign = append(foreign, f.Queue)
	}
	readers, pools := q.readers, q.pools
	q.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, depthTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for i, f := range foreign {
		wg.Go(func() { fill(ctx, &all[first+i], f) })
	}
	wg.Wait()
	for i := range all {
		all[i].QueueJobs = append([]string{}, readers[all[i].Name]...)
		all[i].WorkerPools = append([]string{}, pools[all[i].Name]...)
	}
	slices.SortFunc(all, func(a, b httpapi.Queue) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// fill asks q for its numbers.
func fill(ctx context.Context, view *httpapi.Queue, q queue.Queue) {
	if reporter, ok := q.(queue.DepthReporter); ok {
		d, err := reporter.Depth(ctx)
		if err != nil {
			view.Error = err.Error()
			return
		}
		view.Visible, view.InFlight, view.Delayed = d.Visible, d.InFlight, d.Delayed
		view.OldestAgeSeconds = d.OldestAge.Seconds()
	}
	if reporter, ok := q.(queue.SettingsReporter); ok {
		s, err := reporter.Settings(ctx)
		if err != nil {
			view.Error = err.Error()
			return
		}
		view.FIFO = s.FIFO
		view.VisibilityTimeoutSeconds, view.RetentionSeconds = s.Visibility.Seconds(), s.Retention.Seconds()
		view.MaxReceiveCount, view.DeadLetterQueue = s.MaxReceiveCount, s.DeadLetterQueue
	}
}
