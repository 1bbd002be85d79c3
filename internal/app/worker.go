package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet/control"
	"github.com/queuemill/queuemill/internal/queue/sqs"
	"github.com/queuemill/queuemill/internal/worker"
	"github.com/queuemill/queuemill/internal/worker/flags"
)

// WorkerOptions say what Worker does.
type WorkerOptions struct {
	Flags  flags.Flags // checked
	Logger *slog.Logger

	// Token is what the control address wants, ID what reports carry.
	Token, ID string

	// Held is worker.Options'.
	Held bool

	// Interrupts asks to stop: the first lets what runs finish, for DrainTimeout at
	// most, the second ends it and gives it back.
	Interrupts <-chan os.Signal
	// Say tells a person what the interrupts did.
	Say func(format string, args ...any)
}

// Worker works on the messages of a queue until it is stopped or has done what
// its flags say.
func Worker(ctx context.Context, o WorkerOptions) error {
	f := &o.Flags
	q, err := openWorkerQueue(ctx, f)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	var l net.Listener
	if f.Control != "" {
		if l, err = control.Listen(f.Control); err != nil {
			return hinted("choose another with --control", "%w", err)
		}
		defer l.Close()
	}
	h, err := newHandler(f, q.Name(), o.Logger)
	if err != nil {
		return err
	}
	w, err := worker.New(worker.Options{
		Queue: q, Name: q.Name(), Flags: *f, Handler: h, ID: o.ID, Held: o.Held, Logger: o.Logger, Metrics: worker.NewMetrics(registry),
	})
	if err != nil {
		return err
	}
	o.Logger.Info("working", "queue", q.URL(), "concurrency", f.Concurrency)

	hard, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	finished := make(chan struct{})
	var g errgroup.Group
	g.Go(func() error {
		o.interrupted(ctx, finished, w, end)
		return nil
	})
	if l != nil {
		g.Go(func() error {
			return serveControl(finished, l, control.Handler(w, o.Token, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
		})
	}
	err = w.Run(hard)
	close(finished)
	return errors.Join(err, g.Wait())
}

func openWorkerQueue(ctx context.Context, f *flags.Flags) (*sqs.Queue, error) {
	source := v1alpha1.SQSSource{Region: f.Region, RoleARN: f.RoleARN}
	if strings.Contains(f.QueueURL, "://") {
		source.URL = f.QueueURL
	} else {
		source.Name = f.QueueURL
	}
	return sqs.Open(ctx, source, sqs.Options{Endpoint: f.Endpoint, Name: f.Pool})
}

func newHandler(f *flags.Flags, queueName string, log *slog.Logger) (worker.Handler, error) {
	if f.HTTP != "" {
		return worker.NewHTTP(f, queueName, log)
	}
	return worker.NewCommand(f, log)
}

// interrupted acts on what asks to stop until the worker has finished.
func (o *WorkerOptions) interrupted(ctx context.Context, finished <-chan struct{}, w *worker.Worker, end func()) {
	select {
	case <-o.Interrupts:
	case <-ctx.Done():
	case <-finished:
		return
	}
	o.say("stopping: what runs may finish within %s; interrupt again to end it now", v1alpha1.Human(o.Flags.DrainTimeout))
	w.Stop()
	select {
	case <-o.Interrupts:
		o.say("ending what runs and giving its messages back")
		end()
	case <-finished:
	}
}

func (o *WorkerOptions) say(format string, args ...any) {
	if o.Say != nil {
		o.Say(format, args...)
	}
}

// serveControl serves until the worker has finished.
func serveControl(finished <-chan struct{}, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served: // the address is gone: the worker goes on without
		return fmt.Errorf("control address: %w", err)
	case <-finished:
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.Shutdown(ctx) // who is still being answered is told no more
	<-served
	return nil
}
