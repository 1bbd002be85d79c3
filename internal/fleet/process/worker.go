package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/queuemill/queuemill/internal/fleet"
	"github.com/queuemill/queuemill/internal/fleet/control"
)

const (
	// appearLimit is how long a process that an earlier controller may have
	// started, but did not write down, is looked for.
	appearLimit = 10 * time.Second

	// slowStart is after how long a worker that does not answer is in trouble.
	slowStart = 5 * time.Second
)

// worker is one process.
type worker struct {
	name, id string
	client   *control.Client
	child    *os.Process   // nil: an earlier controller started it
	exited   chan struct{} // closed once child is reaped; nil as child is

	mu       sync.Mutex
	rec      record
	ready    bool // it was, once
	draining bool // as it last said
	gone     bool // and so is its record
}

func newWorker(r record, child *os.Process) *worker {
	w := &worker{name: r.Name, id: r.ID, rec: r, child: child, client: control.NewClient(r.Token, control.Dialer("unix:"+r.Socket))}
	if child != nil {
		w.exited = make(chan struct{})
	}
	return w
}

func (w *worker) record() record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rec
}

// alive tells whether the process is there.
func (w *worker) alive() bool {
	if w.exited != nil {
		select {
		case <-w.exited:
			return false
		default:
			return true
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rec.Pid == 0 {
		if w.rec.Pid, w.rec.Born = findByID(w.id); w.rec.Pid == 0 {
			return time.Since(w.rec.StartedAt) < appearLimit
		}
	}
	return w.rec.Born != "" && bornOf(w.rec.Pid) == w.rec.Born
}

// signal reaches this process or none: os.ErrProcessDone.
func (w *worker) signal(s syscall.Signal) error {
	if w.child != nil {
		return w.child.Signal(s)
	}
	r := w.record()
	if r.Pid == 0 {
		return errors.New("its process is not found yet")
	}
	p, err := os.FindProcess(r.Pid) // on Linux a handle to the process, not to its number
	if err != nil {
		return os.ErrProcessDone
	}
	defer func() { _ = p.Release() }()
	if r.Born == "" || bornOf(r.Pid) != r.Born {
		return os.ErrProcessDone
	}
	return p.Signal(s)
}

// end is SIGTERM, written down for the next controller.
func (w *worker) end(dir string) error {
	w.mu.Lock()
	first := !w.gone && w.rec.EndingAt.IsZero()
	if first {
		w.rec.EndingAt = time.Now() // before it can have ended of it
	}
	w.mu.Unlock()
	err := w.signal(syscall.SIGTERM)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil && first:
		w.rec.EndingAt = time.Time{}
		return err
	case err != nil:
		return err
	case !first || w.gone:
		return nil
	}
	return w.rec.save(dir)
}

// ask returns the worker's own answer, or nil and why there is none. Before it
// was ready for the first time, the second is also what it is waiting for.
func (w *worker) ask(ctx context.Context) (report *fleet.Report, trouble error) {
	r, err := w.client.Report(ctx)
	if err := w.own(&r, err); err != nil {
		return nil, err
	}
	w.mu.Lock()
	ready := w.ready
	w.mu.Unlock()
	if !ready && r.InHand == 0 && r.Done == 0 {
		trouble = w.client.Healthy(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ready = w.ready || trouble == nil
	w.draining = r.Draining
	return &r, trouble
}

func (w *worker) drain(ctx context.Context, on bool) (*fleet.Report, error) {
	r, err := w.client.Drain(ctx, on, 0)
	if err := w.own(&r, err); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining = r.Draining
	return &r, nil
}

// letGo writes down that the worker is told to receive, before it is.
func (w *worker) letGo(dir string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.gone || !w.rec.EndingAt.IsZero():
		return errors.New("it is ending")
	case !w.rec.Held:
		return nil
	}
	w.rec.Held = false
	return w.rec.save(dir)
}

// own refuses the answer of another worker.
func (w *worker) own(r *fleet.Report, err error) error {
	if err == nil && r.ID != w.id {
		err = fmt.Errorf("another worker answers at its socket: %q", r.ID)
	}
	return err
}

// seen is what a fleet tells of the worker.
func (w *worker) seen(origin string, report *fleet.Report, trouble error) fleet.Worker {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := fleet.Worker{Name: w.name, UID: w.id, Template: w.rec.Template, StartedAt: w.rec.StartedAt, Held: w.rec.Held, Report: report}
	if w.rec.Origin != origin {
		out.Template += ", started by another binary or for another queue"
	}
	switch {
	case !w.rec.EndingAt.IsZero():
		out.State, out.Held = fleet.Ending, false
	case w.draining && !w.rec.Held:
		out.State = fleet.Retiring
	case w.ready && !w.rec.Held, report == nil && !w.rec.Held: // it may have become ready since it was let go
		out.State = fleet.Ready
	default:
		out.State = fleet.Starting
		if trouble != nil && (report != nil || time.Since(w.rec.StartedAt) > slowStart) {
			out.Trouble = trouble.Error()
		}
	}
	return out
}
