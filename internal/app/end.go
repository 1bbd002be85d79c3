package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/queuemill/queuemill/internal/httpapi"
)

// untilTheEnd waits for the end and lets it come in order. It returns when
// nothing runs any more; servers still answer then.
//
//	runs ─ first interrupt, idle ─▶ drains ─ jobs finished ─────────────▶ ended
//	 └────── ctx ends ──────┐          └─ second interrupt, ctx ends ┐      ▲
//	                        └────────────────────────────────────────┴▶ stops jobs
func (m *mill) untilTheEnd(ctx, serving context.Context, stopRunners context.CancelFunc) Outcome {
	idle := make(chan error, 1)
	waiting, stopWaiting := context.WithCancel(serving)
	var waiter sync.WaitGroup
	defer waiter.Wait()
	defer stopWaiting()
	if m.o.UntilIdle {
		waiter.Go(func() { idle <- m.waitIdle(waiting, m.o.Progress) })
	}

	var outcome Outcome
	select {
	case err := <-idle:
		outcome.Idle = err == nil
	case <-m.o.Interrupts:
		m.drainAloud()
	case <-ctx.Done():
		outcome.Interrupted = m.stopJobs(stopRunners)
		m.outcomes.sum(&outcome)
		return outcome
	case <-serving.Done(): // a server failed
		outcome.Interrupted = m.stopJobs(stopRunners)
		return outcome
	}
	m.drain()
	drained := make(chan struct{})
	go func() { m.wait(); close(drained) }()
	select {
	case <-drained:
		stopRunners()
	case <-m.o.Interrupts:
		m.say("%s", m.stopping())
		outcome.Interrupted = m.stopJobs(stopRunners)
	case <-ctx.Done():
		outcome.Interrupted = m.stopJobs(stopRunners)
	case <-serving.Done():
		outcome.Interrupted = m.stopJobs(stopRunners)
	}
	<-drained
	m.outcomes.sum(&outcome)
	outcome.Held = m.runners.held(serving)
	if m.pools != nil {
		outcome.Held = append(outcome.Held, m.pools.held(serving)...)
	}
	return outcome
}

// drain stops receiving; jobs go on.
func (m *mill) drain() {
	m.draining.Store(true)
	m.runners.drain()
	if m.pools != nil {
		m.pools.drain()
	}
}

func (m *mill) drainAloud() {
	jobs, workers := 0, 0
	for _, qj := range m.runners.views() {
		jobs += qj.Jobs.Queued + qj.Jobs.Running
	}
	if m.pools != nil {
		workers = m.pools.present()
	}
	var what string
	it := "them"
	switch {
	case jobs+workers == 0:
		m.say("stopping")
		return
	case workers == 0 && jobs == 1:
		what, it = "1 job finishes", "it"
	case workers == 0:
		what = fmt.Sprintf("%d jobs finish", jobs)
	case jobs == 0 && workers == 1:
		what, it = "1 worker leaves when it has nothing in hand", "it"
	case jobs == 0:
		what = fmt.Sprintf("%d workers leave, each when it has nothing in hand", workers)
	default:
		what = fmt.Sprintf("jobs finish (%d), workers leave when they have nothing in hand (%d)", jobs, workers)
	}
	m.say("stopping: nothing is received any more, %s; interrupt again to stop %s", what, it)
}

// stopping says what the second interrupt does.
func (m *mill) stopping() string {
	if m.pools == nil || m.pools.present() == 0 {
		return "stopping the jobs that run; they run again at the next start"
	}
	return "stopping what runs: jobs run again at the next start, workers give back what they have not finished within their drainTimeout; interrupt again to end them now"
}

// stopJobs ends what runs, each with its grace period, then the runners, which
// give their messages back. A further interrupt cuts the grace short.
func (m *mill) stopJobs(stopRunners context.CancelFunc) (interrupted bool) {
	m.draining.Store(true)
	for _, qj := range m.runners.views() {
		interrupted = interrupted || qj.Jobs.Queued+qj.Jobs.Running > 0
	}
	interrupted = interrupted || m.pools != nil && m.pools.busy() > 0
	graceful, cutShort := context.WithCancel(context.Background())
	defer cutShort()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		var ending sync.WaitGroup
		defer ending.Wait()
		if m.pools != nil {
			ending.Go(func() {
				if err := m.pools.end(graceful); err != nil {
					m.log.Error("stop workers", "error", err)
				}
			})
		}
		if err := m.endJobs(graceful); err != nil && graceful.Err() == nil {
			m.log.Error("stop jobs", "error", err)
		}
	}()
	select {
	case <-stopped:
	case <-m.o.Interrupts:
		m.say("killing what still runs")
		cutShort()
		<-stopped
	}
	stopRunners()
	m.wait()
	return interrupted
}

// How often somebody who waits for idleness has it looked at; nobody waiting,
// nothing is looked at. Queues of other machines count approximately, so their
// emptiness is looked at twice.
const (
	idleEvery        = 50 * time.Millisecond
	foreignIdleEvery = 2 * time.Second
	progressEvery    = 250 * time.Millisecond
)

// idle tells whether there is nothing to do.
func (m *mill) idle(ctx context.Context) bool {
	return m.runners.idle(ctx) && (m.pools == nil || m.pools.idle(ctx))
}

// WaitIdle is httpapi.Controller's.
func (m *mill) WaitIdle(ctx context.Context) error { return m.waitIdle(ctx, nil) }

func (m *mill) waitIdle(ctx context.Context, progress func(httpapi.Status)) error {
	tick := time.NewTicker(idleEvery)
	defer tick.Stop()
	var told time.Time
	for looks := 0; ; {
		foreign := m.runners.foreign()
		if !m.idle(ctx) {
			looks = 0
		} else if looks++; !foreign || looks == 2 {
			return nil
		}
		if foreign {
			tick.Reset(foreignIdleEvery)
		} else {
			tick.Reset(idleEvery)
		}
		if progress != nil && time.Since(told) >= progressEvery {
			if s, err := m.Status(ctx); err == nil {
				progress(s)
			}
			told = time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
