package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/executor/process/environ"
	"github.com/queuemill/queuemill/internal/executor/process/supervisor"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/record"
	"github.com/queuemill/queuemill/internal/store"
)

var (
	_ executor.Executor = (*Executor)(nil)
	_ executor.Getter   = (*Executor)(nil)
	_ executor.Patcher  = (*Executor)(nil)
)

// SupervisorMain is the first thing in main, and in the TestMain of whatever
// opens an Executor: where the process was started as a supervisor it runs it
// and exits, else it returns at once.
func SupervisorMain() { supervisor.Main() }

// Options of an Executor.
type Options struct {
	DB         *store.DB             // holds the records; its closing is the caller's
	Dir        string                // for logs, scratch directories and the supervisor; made when missing
	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: none
}

// Executor runs jobs as processes. Its methods are for concurrent use.
type Executor struct {
	dir       string
	log       *slog.Logger
	store     *record.Store
	marker    string // names dir in the environment of every job
	inherited []message.EnvVar
	feed      executor.Feed
	metrics   *metrics
	janitor   *janitor
	scratches *scratches
	syncer    *syncer
	closed    chan struct{}  // by Close
	wg        sync.WaitGroup // of all goroutines

	// writing is held while a visible record changes and the change is handed to
	// the store, so that the changes of a record reach the store in their order.
	// It is taken before mu.
	writing sync.Mutex

	mu        sync.Mutex
	jobs      map[string]*job
	running   map[supervisor.RunID]*job // handed to the supervisor, not yet ended
	templates map[string]*template
	bySpec    map[*v1alpha1.QueueJobSpec]*template
	tails     map[supervisor.RunID]*tail
	unsaved   map[string]struct{} // records whose latest change could not be written
	suspect   *job                // the latest of those that run one at a time
	link      *supervisor.Link    // nil while there is no supervisor
	stopping  bool                // no attempts are started any more
	closing   bool                // the end of the supervisor is wanted
	changed   chan struct{}       // closed and replaced when an attempt ended
}

// job is a record in memory, without body and attributes.
type job struct {
	saved   record.Saved
	fresh   bool          // its first Create is not durable yet: nobody sees it
	busy    chan struct{} // not nil: an attempt is being created; closed after
	timer   *time.Timer   // not nil: waits for its next attempt
	scratch *scratch      // of the running attempt
	gone    chan struct{} // closed when a job that is being deleted is gone
}

func (j *job) runID() supervisor.RunID {
	return runID(j.saved.UID, j.saved.LastAttempt())
}

func runID(uid string, attempt int) supervisor.RunID {
	u, _ := strconv.ParseUint(uid, 16, 64) // made by newUID
	return supervisor.RunID{UID: u, Attempt: uint32(attempt)}
}

func newUID() string { return fmt.Sprintf("%016x", rand.Uint64()) }

// Open takes over what an earlier run left in the directory: it waits until
// that one's supervisor has ended every process, brings the records up to date
// from the journal, and starts again what was interrupted. ctx bounds the wait;
// the Executor lives until Close.
func Open(ctx context.Context, o Options) (*Executor, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open job directory: %w", err)
	}
	e := &Executor{
		dir: dir, log: o.Logger, store: record.NewStore(o.DB),
		inherited: environ.Inherited(), metrics: newMetrics(o.Registerer),
		jobs: make(map[string]*job), running: make(map[supervisor.RunID]*job),
		templates: make(map[string]*template), bySpec: make(map[*v1alpha1.QueueJobSpec]*template),
		unsaved: make(map[string]struct{}),
		tails:   make(map[supervisor.RunID]*tail), changed: make(chan struct{}), closed: make(chan struct{}),
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if err := e.prepareDir(); err != nil {
		return nil, err
	}
	if err := e.load(); err != nil {
		return nil, err
	}
	e.janitor = newJanitor(e.log)
	e.scratches = newScratches(filepath.Join(dir, "scratch"), e.janitor)
	go e.janitor.run(e.scratches)
	e.syncer = newSyncer(e.store, e.log)
	e.claim()
	if err := e.takeOver(ctx, true); err != nil {
		e.janitor.close()
		return nil, errors.Join(err, e.syncer.close())
	}
	e.wg.Go(e.serve)
	return e, nil
}

func (e *Executor) prepareDir() error {
	for _, sub := range []string{"", "logs", "scratch", "journal"} {
		if err := os.MkdirAll(filepath.Join(e.dir, sub), 0o700); err != nil {
			return fmt.Errorf("open job directory: %w", err)
		}
	}
	return nil
}

// load reads all records into memory.
func (e *Executor) load() error {
	if err := e.store.Load(func(s record.Saved) error {
		e.jobs[s.Name] = &job{saved: s}
		return nil
	}); err != nil {
		return err
	}
	return e.loadTemplates()
}

// List implements executor.Executor.
func (e *Executor) List(ctx context.Context, queueJob string) ([]record.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	list := make([]record.Record, 0, len(e.jobs))
	for _, j := range e.jobs {
		if !j.fresh && (queueJob == "" || j.saved.QueueJob == queueJob) {
			list = append(list, j.saved.Record)
		}
	}
	e.mu.Unlock()
	slices.SortFunc(list, func(a, b record.Record) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Watch implements executor.Executor.
func (e *Executor) Watch(ctx context.Context, queueJob string, ready func(), handle func(executor.Event)) error {
	return e.feed.Watch(ctx, queueJob, ready, handle)
}

// Get implements executor.Getter.
func (e *Executor) Get(ctx context.Context, name string) (record.Record, error) {
	if err := ctx.Err(); err != nil {
		return record.Record{}, err
	}
	e.mu.Lock()
	j := e.jobs[name]
	if j == nil || j.fresh {
		e.mu.Unlock()
		return record.Record{}, executor.ErrNotFound
	}
	rec := j.saved.Record
	e.mu.Unlock()
	return e.withContent(rec)
}

// withContent adds body and attributes. A record that is deleted meanwhile is
// ErrNotFound.
func (e *Executor) withContent(rec record.Record) (record.Record, error) {
	content, err := e.store.Content(rec.UID)
	if errors.Is(err, record.ErrNoContent) {
		return record.Record{}, executor.ErrNotFound
	}
	if err != nil {
		return record.Record{}, err
	}
	rec.Message.Body, rec.Message.Attributes = content.Body, content.Attributes
	return rec, nil
}

// publish tells the watchers of a change. mu is held, so that they hear the
// changes of a record in their order.
func (e *Executor) publish(j *job) {
	e.feed.Publish(executor.Event{Record: j.saved.Record})
}

// lock finds a record and waits until no attempt of it is being created. When
// err is nil it returns with writing and mu held.
func (e *Executor) lock(ctx context.Context, name, uid string) (*job, error) {
	for {
		e.writing.Lock()
		e.mu.Lock()
		j := e.jobs[name]
		if j != nil && j.busy == nil && (uid == "" || uid == j.saved.UID) {
			return j, nil
		}
		e.writing.Unlock()
		if j == nil || j.busy == nil {
			e.mu.Unlock()
			return nil, executor.ErrNotFound
		}
		if err := e.await(ctx, j.busy); err != nil {
			return nil, err
		}
	}
}

// await releases mu and waits for c.
func (e *Executor) await(ctx context.Context, c <-chan struct{}) error {
	e.mu.Unlock()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Patch implements executor.Patcher. A request to retry is durable when it
// returns; a receipt survives the death of this process; Acked alone waits for
// the record's next write.
func (e *Executor) Patch(ctx context.Context, name, uid string, p executor.Patch) (record.Record, error) {
	j, err := e.lock(ctx, name, uid)
	if err != nil {
		return record.Record{}, err
	}
	j.saved.Record = p.Apply(j.saved.Record)
	saved := j.saved
	e.publish(j)
	e.mu.Unlock()
	if p.Receipt == nil && p.RetryRequested == nil {
		e.writing.Unlock()
		return saved.Record, nil
	}
	b := e.store.NewBatch()
	b.Put(&saved)
	err = b.CommitNoSync()
	e.writing.Unlock()
	if err == nil && p.RetryRequested != nil {
		err = e.store.Sync()
	}
	return saved.Record, err
}

// Stop ends everything that runs: SIGTERM, after the template's grace SIGKILL.
// The attempts end as Interrupted; the next Open starts their jobs again. When
// ctx ends first its error is returned, and Close ends what is left.
func (e *Executor) Stop(ctx context.Context) error {
	e.mu.Lock()
	e.stopping = true
	for _, j := range e.jobs {
		j.stopTimer()
	}
	for id, j := range e.running {
		if e.link == nil || e.link.Stop(id, e.grace(j)) != nil {
			break // the supervisor is gone, and all that ran with it
		}
	}
	for len(e.running) > 0 {
		if err := e.await(ctx, e.changed); err != nil {
			return fmt.Errorf("stop jobs: %w", err)
		}
		e.mu.Lock()
	}
	e.mu.Unlock()
	return nil
}

func (e *Executor) grace(j *job) time.Duration {
	if t := e.templates[j.saved.Template]; t != nil {
		return t.grace
	}
	return defaultGrace
}

func (j *job) stopTimer() {
	if j.timer != nil {
		j.timer.Stop()
		j.timer = nil
	}
}

// Close ends the supervisor, and with it whatever still runs. It waits for the
// Creates under way; other calls must have returned.
func (e *Executor) Close() error {
	e.mu.Lock()
	e.stopping, e.closing = true, true
	for _, j := range e.jobs {
		j.stopTimer()
	}
	if e.link != nil {
		e.link.Hangup()
	}
	close(e.closed)
	e.mu.Unlock()
	e.wg.Wait()
	e.scratches.close()
	e.janitor.close()
	return e.syncer.close()
}
