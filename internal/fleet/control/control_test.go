package control

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/internal/fleet"
)

// worker is one that does as it is told.
type worker struct {
	mu       sync.Mutex
	report   fleet.Report
	stubborn bool
	sick     error
}

func (w *worker) Report() fleet.Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.report
}

func (w *worker) Drain(on bool, _ int64) fleet.Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stubborn {
		w.report.Draining = on
	}
	return w.report
}

func (w *worker) Healthy() error { return w.sick }

// serve returns the address of a socket where w is controlled.
func serve(t *testing.T, w Worker, token string) string {
	t.Helper()
	address := "unix:" + filepath.Join(t.TempDir(), "w.sock")
	l, err := Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: Handler(w, token, http.NotFoundHandler())}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	return address
}

func TestAWorkerIsAskedAndDrained(t *testing.T) {
	w := &worker{report: fleet.Report{ID: "w1", InHand: 2, Done: 40, Failed: 3, Rejected: 1, NotNow: 5, ServiceSeconds: 1.25, Trouble: "x"}}
	c := NewClient("s3cret", Dialer(serve(t, w, "s3cret")))
	got, err := c.Report(t.Context())
	if diff := cmp.Diff(w.report, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, on := range []bool{true, true, false} {
		if got, err := c.Drain(t.Context(), on, 0); err != nil || got.Draining != on || w.Report().Draining != on {
			t.Errorf("drain %v: %+v, %v", on, got, err)
		}
	}
	w.stubborn = true
	if _, err := c.Drain(t.Context(), true, 0); err == nil {
		t.Error("an answer that says otherwise counts as agreement")
	}
}

func TestOnlyTheTokenOpens(t *testing.T) {
	for _, tc := range []struct{ worker, caller string }{
		{"s3cret", ""}, {"s3cret", "s3cre"}, {"s3cret", "s3crets"}, {"", ""}, {"", "x"},
	} {
		w := &worker{}
		c := NewClient(tc.caller, Dialer(serve(t, w, tc.worker)))
		if _, err := c.Report(t.Context()); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("%q to %q: report: %v", tc.caller, tc.worker, err)
		}
		if _, err := c.Drain(t.Context(), true, 0); !errors.Is(err, ErrUnauthorized) || w.Report().Draining {
			t.Errorf("%q to %q: drain: %v", tc.caller, tc.worker, err)
		}
	}
}

func TestADrainSaysWhichWay(t *testing.T) {
	w := &worker{}
	h := Handler(w, "t", nil)
	for body, want := range map[string]int{
		`{"drain":true}`: http.StatusOK, `{}`: http.StatusBadRequest, ``: http.StatusBadRequest, `{"drain":null}`: http.StatusBadRequest,
		`{"drian":true}`: http.StatusBadRequest, `{"drain":"yes"}`: http.StatusBadRequest, `{"drain":` + strings.Repeat(" ", 2000) + `true}`: http.StatusBadRequest,
	} {
		w.Drain(false, 0)
		r := httptest.NewRequest(http.MethodPost, "/v1/worker/drain", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer t")
		out := httptest.NewRecorder()
		h.ServeHTTP(out, r)
		if out.Code != want || w.Report().Draining != (want == http.StatusOK) {
			t.Errorf("%.30q: %d, draining %v", body, out.Code, w.Report().Draining)
		}
	}
}

func TestProbesAreOpen(t *testing.T) {
	w := &worker{}
	get := func(path string) (int, string) {
		out := httptest.NewRecorder()
		Handler(w, "t", http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { io.WriteString(out, "m 1\n") })).
			ServeHTTP(out, httptest.NewRequest(http.MethodGet, path, nil))
		return out.Code, out.Body.String()
	}
	if code, _ := get("/healthz"); code != http.StatusOK {
		t.Errorf("healthy: %d", code)
	}
	w.sick = errors.New("3 deletes are not answered for 2m")
	if code, body := get("/healthz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "3 deletes") {
		t.Errorf("stuck: %d %s", code, body)
	}
	if code, body := get("/metrics"); code != http.StatusOK || body != "m 1\n" {
		t.Errorf("metrics: %d %q", code, body)
	}
}

func TestNoAnswerIsAnError(t *testing.T) {
	gone := func(context.Context) (net.Conn, error) { return nil, errors.New("no such pod") }
	if _, err := NewClient("t", gone).Drain(t.Context(), true, 0); err == nil || !strings.Contains(err.Error(), "no such pod") {
		t.Errorf("dial: %v", err)
	}
	mute := func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		t.Cleanup(func() { far.Close() })
		return near, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20e6)
	defer cancel()
	if _, err := NewClient("t", mute).Report(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
	odd := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { io.WriteString(out, "<html>") }))
	defer odd.Close()
	if _, err := NewClient("t", Dialer(odd.Listener.Addr().String())).Report(t.Context()); err == nil {
		t.Error("a page counts as a report")
	}
}

func TestASocketIsItsOwnersAndReplacedOnlyWhenAbandoned(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.sock")
	l, err := Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if second, err := Listen("unix:" + path); err == nil {
		second.Close()
		t.Error("the socket of a living worker was taken")
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close() // as a killed worker leaves it
	l, err = Listen("unix:" + path)
	if err != nil {
		t.Fatalf("an abandoned socket: %v", err)
	}
	l.Close()
}
