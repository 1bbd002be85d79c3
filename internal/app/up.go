package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/queuemill/queuemill/internal/executor/process"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/manifest"
	"github.com/queuemill/queuemill/internal/queue/embedded"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/sqsserver"
	"github.com/queuemill/queuemill/internal/store"
	"github.com/queuemill/queuemill/internal/workerpool"
)

// UpOptions say what Up starts and where.
type UpOptions struct {
	Version string
	Data    string   // directory of everything that is kept; made when missing
	Files   []string // manifests, files and folders; none: the queue alone

	SQSListen    string                 // host:port of the SQS endpoint
	Credentials  []sqsserver.Credential // that may call it; needed off loopback
	Region       string                 // of queues that name none
	Listen       string                 // host:port of the HTTP API
	Token        string                 // it wants; needed off loopback
	AllowedHosts []string               // further names of this machine that callers use

	UntilIdle bool // stop by itself when queues are empty and jobs finished

	// Interrupts asks to stop: the first lets jobs finish, the second ends
	// them, the third does not wait for them to end well.
	Interrupts <-chan os.Signal
	// Reload asks to read the manifests again; edits of files are seen without.
	Reload <-chan os.Signal

	Logger *slog.Logger
	// Ready is called once everything answers.
	Ready func(Endpoints)
	// Say tells a person what the interrupts did.
	Say func(format string, args ...any)
	// Progress, with UntilIdle, is called a few times a second.
	Progress func(httpapi.Status)
}

// Endpoints are where things listen.
type Endpoints struct {
	SQS, API    string // URLs
	QueueJobs   []httpapi.QueueJob
	WorkerPools []httpapi.WorkerPool
	Suspended   []string // those that a person suspended before the restart, pools as workerpool/NAME
	Example     string   // body of a message for the first QueueJob, else WorkerPool
}

// Outcome is how Up ended.
type Outcome struct {
	Idle        bool // it stopped by itself
	Interrupted bool // jobs were ended; they run again at the next start
	// Jobs that finished since the start, and messages that were invalid.
	Succeeded, Failed, Invalid int
	// Held says of each QueueJob and WorkerPool why messages are left: it is
	// suspended or its history is full.
	Held []string
}

// mill is everything that runs.
type mill struct {
	o         UpOptions
	log       *slog.Logger
	startedAt time.Time
	draining  atomic.Bool

	store    *store.DB        // nil: nothing is kept here, jobs and queues are elsewhere
	broker   *embedded.Broker // nil: queues are elsewhere
	executor queuejob.Executor
	kind     string                          // of the executor: process, kubernetes
	endJobs  func(ctx context.Context) error // ends what runs; nil: jobs go on without this process
	load     func() ([]manifest.Object, []manifest.Warning, error)
	queues   *queues
	runners  *runners
	pools    *pools // nil: there are none here
	outcomes *outcomes
}

// Up runs everything until it is idle (with UntilIdle), interrupted or ctx
// ends. Errors before anything runs name the flag that mends them.
func Up(ctx context.Context, o UpOptions) (outcome Outcome, err error) {
	m := &mill{o: o, log: o.Logger, startedAt: time.Now(), kind: "process"}
	m.load = func() ([]manifest.Object, []manifest.Warning, error) { return loadManifests(o.Files) }
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	objects, warnings, err := m.load()
	if err != nil {
		return outcome, err
	}
	for _, w := range warnings {
		m.log.Warn("manifest: " + w.String())
	}
	if o.UntilIdle && len(objects) == 0 {
		return outcome, hinted("name the manifests with -f", "--until-idle: there is no QueueJob to become idle")
	}
	if m.store, err = store.Open(o.Data, store.Options{Logger: m.log}); err != nil {
		return outcome, err
	}
	defer func() { err = errors.Join(err, m.store.Close()) }()

	sqs, api, err := m.listen()
	if err != nil {
		return outcome, err
	}
	defer sqs.Close()
	defer api.Close()
	return m.run(ctx, sqs, api, objects)
}

// listen takes both ports before anything runs.
func (m *mill) listen() (sqs, api net.Listener, err error) {
	if sqs, err = listen(m.o.SQSListen, "--sqs-listen", len(m.o.Credentials) > 0, "credentials", "give --sqs-credentials-file"); err != nil {
		return nil, nil, err
	}
	if api, err = listen(m.o.Listen, "--listen", m.o.Token != "", "a token", "set QUEUEMILL_TOKEN or give --token-file"); err != nil {
		_ = sqs.Close()
		return nil, nil, err
	}
	return sqs, api, nil
}

// run opens what stands on the store, serves, and waits for the end.
func (m *mill) run(ctx context.Context, sqs, api net.Listener, objects []manifest.Object) (outcome Outcome, err error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	if m.broker, err = embedded.Open(m.store, embedded.Options{Logger: m.log, DefaultRegion: m.o.Region}); err != nil {
		return outcome, err
	}
	defer func() { err = errors.Join(err, m.broker.Close()) }()

	jobs := filepath.Join(m.o.Data, "jobs")
	processes, err := process.Open(ctx, process.Options{DB: m.store, Dir: jobs, Logger: m.log, Registerer: registry})
	if err != nil {
		return outcome, err
	}
	defer func() { err = errors.Join(err, processes.Close()) }()
	m.executor, m.endJobs = processes, processes.Stop

	m.queues = newQueues(m.broker, urlOf(sqs))
	registry.MustRegister(queueMetrics{m.queues})
	m.outcomes = newOutcomes()
	// hard ends the runners at once; servers end after them.
	hard, stopRunners := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRunners()
	m.runners = newRunners(hard, m, queuejob.NewMetrics(registry))
	m.pools = newPools(hard, m, workerpool.NewMetrics(registry))

	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	g, serving := errgroup.WithContext(serving)
	g.Go(func() error {
		return sqsserver.New(m.broker, sqsserver.Options{
			Credentials: m.o.Credentials, Hosts: m.o.AllowedHosts, Logger: m.log, Registerer: registry,
		}).Serve(serving, sqs)
	})
	g.Go(func() error { return m.outcomes.watch(serving, m.executor) })
	if err := m.outcomes.ready(serving); err != nil {
		return outcome, errors.Join(err, g.Wait())
	}

	if err := m.apply(objects); err != nil {
		stopRunners()
		m.wait()
		stopServing()
		return outcome, errors.Join(err, g.Wait())
	}
	// Who asks earlier waits, and is not told that there is no such queue.
	g.Go(func() error {
		return httpapi.New(
			httpapi.Backend{Jobs: m.executor, Controller: m, Queues: m.queues, Pools: m.pools, Ready: m.ready},
			httpapi.Options{Token: m.o.Token, AllowedHosts: m.o.AllowedHosts, Logger: m.log, Metrics: registry},
		).Serve(serving, api)
	})
	if len(m.o.Files) > 0 {
		g.Go(func() error { return m.follow(serving) })
	}
	m.tellReady(sqs, api)
	outcome = m.untilTheEnd(ctx, serving, stopRunners)
	stopServing()
	return outcome, g.Wait()
}

// apply makes all manifests so.
func (m *mill) apply(objects []manifest.Object) error {
	var jobs, pools []manifest.Object
	for _, o := range objects {
		if o.WorkerPool != nil {
			pools = append(pools, o)
		} else {
			jobs = append(jobs, o)
		}
	}
	err := m.runners.apply(jobs)
	if m.pools != nil {
		err = errors.Join(err, m.pools.apply(pools))
	}
	return err
}

// wait returns when all Runners and Pools have ended.
func (m *mill) wait() {
	m.runners.wait()
	if m.pools != nil {
		m.pools.wait()
	}
}

func (m *mill) tellReady(sqs, api net.Listener) {
	if m.o.Ready == nil {
		return
	}
	e := Endpoints{
		SQS: urlOf(sqs), API: urlOf(api),
		QueueJobs: m.runners.views(), Suspended: m.runners.suspendedByPerson(), Example: m.runners.example(),
	}
	if m.pools != nil {
		pools := m.pools.list()
		for i := range pools {
			e.WorkerPools = append(e.WorkerPools, pools[i].view())
		}
		if len(e.QueueJobs) == 0 && len(pools) > 0 {
			e.Example = exampleBody(&pools[0].object.WorkerPool.Spec.Message)
		}
		e.Suspended = append(e.Suspended, m.pools.suspendedByPerson()...)
	}
	m.o.Ready(e)
}

func (m *mill) ready() error {
	switch {
	case m.draining.Load():
		return errors.New("the controller is stopping")
	case !m.runners.working():
		return errors.New("the controller is starting")
	}
	return nil
}

func (m *mill) say(format string, args ...any) {
	if m.o.Say != nil {
		m.o.Say(format, args...)
	}
}

// hint is an error that knows what to do next.
type hint struct {
	msg, hint string
	err       error
}

func (h *hint) Error() string { return h.msg }
func (h *hint) Unwrap() error { return h.err }

// Hint is what to do next.
func (h *hint) Hint() string { return h.hint }

func hinted(next, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &hint{err.Error(), next, errors.Unwrap(err)}
}
