package chaos

import (
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// link is a controller's own way to the API server, which can be cut.
type link struct {
	to       string // host:port
	listener net.Listener

	mu    sync.Mutex
	down  bool
	conns map[net.Conn]struct{}
}

func newLink(t testing.TB, host string) *link {
	t.Helper()
	u, err := url.Parse(host)
	if err != nil {
		t.Fatal(err)
	}
	l := &link{to: u.Host, conns: map[net.Conn]struct{}{}}
	if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() { l.carry(c) })
		}
	})
	t.Cleanup(func() {
		l.listener.Close()
		l.cut()
		group.Wait()
	})
	return l
}

// carry takes a connection to the API server, until one of both hangs up.
func (l *link) carry(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer far.Close()
	if !l.open(near, far) {
		return
	}
	defer l.forget(near, far)
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(pair[0], pair[1]) // ends with either
			pair[0].Close()
			pair[1].Close()
		})
	}
	both.Wait()
}

func (l *link) open(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return false
	}
	for _, c := range conns {
		l.conns[c] = struct{}{}
	}
	return true
}

func (l *link) forget(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		delete(l.conns, c)
	}
}

// cut ends all connections and lets none through.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for c := range l.conns {
		c.Close()
	}
}

// mend lets connections through again.
func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}

// kubeconfig is the controller's, by way of the link.
func (l *link) kubeconfig(w *world) string {
	w.t.Helper()
	path, err := plane.KubeconfigFor(w.t.Context(), systemNamespace, controllerAccount)
	if err != nil {
		w.t.Fatal(err)
	}
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range config.Clusters {
		c.Server = "https://" + l.listener.Addr().String()
	}
	path = filepath.Join(w.t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		w.t.Fatal(err)
	}
	return path
}
