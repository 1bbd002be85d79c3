package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/record"
)

// Jobs is where jobs run and their records are kept: an executor.
type Jobs interface {
	Get(ctx context.Context, name string) (record.Record, error)
	List(ctx context.Context, queueJob string) ([]record.Record, error)
	Watch(ctx context.Context, queueJob string, ready func(), handle func(executor.Event)) error
	Logs(ctx context.Context, name string, o executor.LogOptions) (io.ReadCloser, error)
	Delete(ctx context.Context, name, uid string) error
}

// Controller is what turns messages into jobs. A name it does not know is
// executor.ErrNotFound.
type Controller interface {
	Status(ctx context.Context) (Status, error)
	// Suspend stops or resumes receiving; it is remembered over a restart.
	Suspend(ctx context.Context, queueJob string, suspend bool) error
	// Retry asks durably for a further attempt of a finished job.
	Retry(ctx context.Context, job string) error
	Prune(ctx context.Context, r PruneRequest) (PruneResult, error)
	// WaitIdle returns when queues are empty and jobs finished.
	WaitIdle(ctx context.Context) error
}

// Queues are the queues this controller reads or serves. A name it does not
// know is queue.ErrNotFound.
type Queues interface {
	ListQueues(ctx context.Context) ([]Queue, error)
	OpenQueue(ctx context.Context, name string) (queue.Queue, error)
	CreateQueue(ctx context.Context, name string) error
}

// Pools are the WorkerPools of this controller. A name it does not know is
// executor.ErrNotFound.
type Pools interface {
	// ListPools are all by name.
	ListPools(ctx context.Context) ([]WorkerPool, error)
	// SuspendPool retires all workers of a pool, or lets it go on; it is remembered
	// over a restart.
	SuspendPool(ctx context.Context, pool string, suspend bool) error
}

// Backend is all that the API asks.
type Backend struct {
	Jobs       Jobs
	Controller Controller
	Queues     Queues
	Pools      Pools // nil: there are none
	// Ready says why requests can't be served yet, or no more; nil: they can.
	Ready func() error
}

// Options of a Server. Zero values: no token, loopback hosts only, nothing
// logged, no metrics.
type Options struct {
	Token        string   // wanted as a bearer token; needed off loopback
	AllowedHosts []string // besides loopback names; only looked at without a token
	Logger       *slog.Logger
	Metrics      prometheus.Gatherer
}

// Server serves the API.
type Server struct {
	backend Backend
	options Options
	guard   *guard
	mux     *http.ServeMux
	log     *slog.Logger
}

var _ http.Handler = (*Server)(nil)

// Limits of one request.
const (
	maxBody       = 8 << 20  // a message of 1 MiB has room with every character escaped
	maxBatchBody  = 16 << 20 // of an NDJSON batch
	maxBatch      = 1000     // messages in it
	readTimeout   = time.Minute
	writeTimeout  = 30 * time.Second // for an answer, and for each piece of a stream
	shutdownGrace = 3 * time.Second
)

// New makes a Server.
func New(b Backend, o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		backend: b, options: o, log: o.Logger,
		guard: newGuard(o.Token, o.AllowedHosts), mux: http.NewServeMux(),
	}
	s.routes()
	return s
}

// Routes are method and path of every route, sorted.
func (s *Server) Routes() []string { return slices.Sorted(maps.Keys(s.handlers())) }

func (s *Server) routes() {
	for pattern, h := range s.handlers() {
		s.mux.Handle(pattern, s.answer(h))
	}
}

// handlers are all routes.
func (s *Server) handlers() map[string]handler {
	return map[string]handler{
		"GET /v1/status": s.getStatus,
		"GET /v1/events": s.getEvents,

		"GET /v1/queuejobs":                 s.listQueueJobs,
		"GET /v1/queuejobs/{name}":          s.getQueueJob,
		"POST /v1/queuejobs/{name}/suspend": s.suspend(true),
		"POST /v1/queuejobs/{name}/resume":  s.suspend(false),

		"GET /v1/workerpools":                 s.listPools,
		"GET /v1/workerpools/{name}":          s.getPool,
		"POST /v1/workerpools/{name}/suspend": s.suspendPool(true),
		"POST /v1/workerpools/{name}/resume":  s.suspendPool(false),

		"GET /v1/jobs":               s.listJobs,
		"POST /v1/jobs/retry":        s.retryJobs,
		"POST /v1/jobs/prune":        s.pruneJobs,
		"GET /v1/jobs/{name}":        s.getJob,
		"DELETE /v1/jobs/{name}":     s.deleteJob,
		"GET /v1/jobs/{name}/logs":   s.getLogs,
		"POST /v1/jobs/{name}/retry": s.retryJob,

		"GET /v1/queues":                  s.listQueues,
		"GET /v1/queues/{name}":           s.getQueue,
		"PUT /v1/queues/{name}":           s.createQueue,
		"POST /v1/queues/{name}/messages": s.sendMessages,
		"GET /v1/queues/{name}/messages":  s.peekMessages,
		"POST /v1/queues/{name}/purge":    s.purgeQueue,
		"POST /v1/queues/{name}/redrive":  s.redriveQueue,

		"GET /openapi.json": s.getOpenAPI,
		"GET /metrics":      s.getMetrics,
		"GET /healthz":      s.getHealth,
		"GET /readyz":       s.getReady,
	}
}

// handler answers a request or returns why it can't; then it wrote nothing.
type handler func(w http.ResponseWriter, r *http.Request) error

func (s *Server) answer(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Streams set their own deadline piece by piece.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
		err := h(w, r)
		if err == nil {
			return
		}
		p := problemOf(err)
		if p.Status >= http.StatusInternalServerError && r.Context().Err() == nil {
			s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		writeProblem(w, p)
	})
}

// ServeHTTP guards every route alike.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if p := s.guard.check(r); p != nil {
		writeProblem(w, p)
		return
	}
	limit := int64(maxBody)
	if r.Header.Get("Content-Type") == contentNDJSON {
		limit = maxBatchBody
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	if _, pattern := s.mux.Handler(r); pattern == "" {
		s.refuseUnknown(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// refuseUnknown says as a problem document what the mux says in plain text.
func (s *Server) refuseUnknown(w http.ResponseWriter, r *http.Request) {
	answer := &headerOnly{header: http.Header{}}
	s.mux.ServeHTTP(answer, r)
	p := NewProblem(http.StatusNotFound, "there is no "+r.URL.Path, "GET /openapi.json lists what there is")
	if allow := answer.header.Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
		p = NewProblem(http.StatusMethodNotAllowed, r.Method+" is not for "+r.URL.Path, "it takes "+allow)
	}
	writeProblem(w, p)
}

// headerOnly takes an answer for its header.
type headerOnly struct{ header http.Header }

func (h *headerOnly) Header() http.Header         { return h.header }
func (h *headerOnly) Write(b []byte) (int, error) { return len(b), nil }
func (h *headerOnly) WriteHeader(int)             {}

// Serve answers on l until ctx ends, then lets what is under way finish for a
// few seconds; streams end at once. It refuses a listener that other machines
// reach when there is no token.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if host, _, err := net.SplitHostPort(l.Addr().String()); err == nil && !IsLoopback(host) && s.options.Token == "" {
		return fmt.Errorf("serve the HTTP API on %s: other machines can reach it and there is no token", l.Addr())
	}
	streams, endStreams := context.WithCancel(context.WithoutCancel(ctx))
	defer endStreams()
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       readTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return streams },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		endStreams()
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		err := srv.Shutdown(bounded)
		if err != nil {
			err = errors.Join(err, srv.Close())
		}
		stopped <- err
	}()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the HTTP API on %s: %w", l.Addr(), err)
	}
	if err := <-stopped; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop the HTTP API: %w", err)
	}
	return nil
}

func (s *Server) getHealth(w http.ResponseWriter, _ *http.Request) error {
	return writeText(w, "ok\n")
}

func (s *Server) getReady(w http.ResponseWriter, _ *http.Request) error {
	if s.backend.Ready != nil {
		if err := s.backend.Ready(); err != nil {
			return NewProblem(http.StatusServiceUnavailable, err.Error(), "")
		}
	}
	return writeText(w, "ok\n")
}

func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request) error {
	if s.options.Metrics == nil {
		return NewProblem(http.StatusNotFound, "this server has no metrics", "")
	}
	promhttp.HandlerFor(s.options.Metrics, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	return nil
}
