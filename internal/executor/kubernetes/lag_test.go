package kubernetes_test

import (
	"io"
	"net/http"
	"strings"
	"sync"

	"k8s.io/client-go/rest"

	"github.com/queuemill/queuemill/internal/executor/kubernetes"
	"github.com/queuemill/queuemill/test/cluster"
)

// lag is watches that fall behind: what the API server tells of a resource (of all
// with "") from hold on never arrives.
type lag struct {
	resource string
	held     chan struct{}
}

func newLag(resource string) *lag { return &lag{resource, make(chan struct{})} }

func (l *lag) hold() { close(l.held) }

// of makes connections with that lag.
func (l *lag) of(config *rest.Config) *rest.Config {
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			answer, err := next.RoundTrip(req)
			if err == nil && (l.resource == "" || strings.HasSuffix(req.URL.Path, "/"+l.resource)) && req.URL.Query().Has("watch") {
				answer.Body = &laggingBody{ReadCloser: answer.Body, held: l.held, closed: make(chan struct{})}
			}
			return answer, err
		})
	})
	return config
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

type laggingBody struct {
	io.ReadCloser
	held   <-chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (b *laggingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	select {
	case <-b.held:
		<-b.closed
		return 0, io.EOF
	default:
		return n, err
	}
}

func (b *laggingBody) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.ReadCloser.Close()
}

// openLate is a Cluster that runs, has seen everything, and watches with that lag.
func (r *rig) openLate(l *lag) *kubernetes.Cluster {
	r.t.Helper()
	opened, err := kubernetes.Open(kubernetes.Options{Config: l.of(cluster.Shared(r.t).Config()), Namespaces: []string{r.namespace}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.start(opened.Run)
	if err := opened.Sync(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	return opened
}
