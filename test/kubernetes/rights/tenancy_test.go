package rights

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/queuemill/queuemill/internal/install"
)

// counter is an endpoint that nobody may have spoken to.
type counter struct {
	url   string
	conns atomic.Int64
}

func newCounter(t *testing.T) *counter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := &counter{url: "http://" + l.Addr().String() + "/000000000000/theirs"}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.conns.Add(1)
			conn.Close()
		}
	}()
	return c
}

// TestAQueueJobThatIsNotAllowedSendsNothingAnywhere looks at the endpoint that
// it names, at its whole way to the condition that says so, and, to be sure that
// this looks in the right place, at the same endpoint once it is allowed.
func TestAQueueJobThatIsNotAllowedSendsNothingAnywhere(t *testing.T) {
	applyInstall(t)
	w := newWorld(t)
	theirs := newCounter(t)
	ours := w.queue("ours")
	list := w.allow("", ours)
	c := w.controller(install.Namespace, nil, "--config", list)
	c.WaitReady(t)

	w.queueJob("theirs", theirs.url, "works", "")
	notAllowed := func() bool {
		status, reason, message := w.condition("theirs", "Ready")
		return status == "False" && reason == "NotAllowed" && strings.Contains(message, theirs.url)
	}
	w.until("theirs is refused, with the line to add", notAllowed)

	// Neither an edit nor what others do changes that.
	w.queueJob("ours", ours, "works", "")
	w.send(ours, `{"n":1}`)
	w.job("ours", "succeeded", succeeded)
	w.patch("theirs", `{"spec":{"maxActive":7}}`)
	w.until("theirs is refused after an edit", notAllowed)
	if n := theirs.conns.Load(); n != 0 {
		t.Errorf("%d connections to the endpoint of a QueueJob that is not allowed", n)
	}
	if jobs := w.jobs("theirs"); len(jobs) != 0 {
		t.Errorf("it has %d Jobs", len(jobs))
	}

	w.allow(list, theirs.url)
	w.until("once it is allowed the controller speaks to that endpoint", func() bool { return theirs.conns.Load() > 0 })
}
