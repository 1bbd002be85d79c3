package sqsserver

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

// Options are what a Server may be told. The zero value serves loopback
// without credentials.
type Options struct {
	// Credentials are the access keys that may call. None: anyone may, and
	// Serve takes loopback listeners only.
	Credentials []Credential

	// Hosts are further names, without port, by which clients reach the server
	// when there are no credentials ("queue.test", say, from /etc/hosts).
	Hosts []string

	// MaxConnections open at once; more are answered 503 and closed. 0: 16384,
	// or three quarters of the open files the process may have, if that is less.
	MaxConnections int

	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: no metrics
}

// Server answers SQS requests from a broker. It is an http.Handler; Serve adds
// the listener, its limits and its end.
type Server struct {
	broker  *embedded.Broker
	log     *slog.Logger
	guard   *guard
	verify  *verifier // nil: requests are not verified
	metrics *metrics
	memory  *semaphore.Weighted // bytes of large bodies
	options Options

	policies sync.Mutex // held while a queue's policy is read and changed
}

// New makes a server before b.
func New(b *embedded.Broker, o Options) *Server {
	s := &Server{
		broker:  b,
		log:     o.Logger,
		metrics: newMetrics(o.Registerer),
		memory:  semaphore.NewWeighted(largeBodies),
		options: o,
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if len(o.Credentials) > 0 {
		s.verify = newVerifier(o.Credentials)
	} else {
		s.guard = newGuard(o.Hosts)
	}
	return s
}

// scratch are the buffers of one request.
type scratch struct {
	in, out []byte
}

// keepBuffer is the largest buffer that goes back to the pool, in bytes.
const keepBuffer = 64 << 10

var scratches = sync.Pool{New: func() any { return &scratch{in: make([]byte, 0, 4<<10), out: make([]byte, 0, 4<<10)} }}

func (sc *scratch) release() {
	if cap(sc.in) <= keepBuffer && cap(sc.out) <= keepBuffer {
		scratches.Put(sc)
	}
}

// ServeHTTP answers one request. It never panics: what goes wrong inside is
// logged and answered as InternalFailure.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sc := scratches.Get().(*scratch)
	defer sc.release()
	c := &call{srv: s, w: w, r: r, id: newRequestID(), began: time.Now()}
	c.xml = len(r.Header["X-Amz-Target"]) == 0
	c.out = answer{b: sc.out[:0], xml: c.xml}
	s.metrics.inFlight.Inc()
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			s.log.Error("panic while answering a request", "action", c.name, "panic", p, "stack", string(debug.Stack()))
			c.fail(failf(codeInternal, "We encountered an internal error. Please try again."))
		}
		s.memory.Release(c.held)
		s.metrics.done(c)
		sc.out = c.out.b
	}()
	body, err := s.admit(c, sc)
	if err == nil {
		err = c.dispatch(body)
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.succeed()
}

// admit says whether c may go on, and reads its body.
func (s *Server) admit(c *call, sc *scratch) ([]byte, error) {
	r := c.r
	if r.Body != nil && r.Body != http.NoBody {
		if err := c.readUntil(time.Now().Add(bodyTimeout)); err != nil {
			return nil, err
		}
	}
	if r.Method != http.MethodPost && (r.Method != http.MethodGet || !c.xml) {
		return nil, failf(codeMethodNotAllowed, "The method %.20s is not allowed.", r.Method)
	}
	if s.guard != nil {
		if err := s.guard.check(r); err != nil {
			return nil, err
		}
	}
	if c.region = claimedRegion(r); c.region == "" {
		c.region = s.broker.DefaultRegion()
	}
	if s.verify == nil {
		return s.readBody(c, sc)
	}
	sig, err := s.verify.signature(r)
	if err != nil {
		return nil, err
	}
	body, err := s.readBody(c, sc)
	if err != nil {
		return nil, err
	}
	return body, s.verify.check(r, sig, body)
}

// baseURL is the server as the client called it: queue URLs begin with it.
func baseURL(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// splitQueueURL takes a queue URL, or its path alone, apart.
func splitQueueURL(u string) (account, name string, ok bool) {
	if _, rest, found := strings.Cut(u, "://"); found {
		i := strings.IndexByte(rest, '/')
		if i < 0 {
			return "", "", false
		}
		u = rest[i:]
	}
	account, name, ok = strings.Cut(strings.Trim(u, "/"), "/")
	return account, name, ok && account != "" && name != "" && !strings.Contains(name, "/")
}
