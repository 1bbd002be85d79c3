package pools

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/queuemill/queuemill/test/mill"
)

const (
	most = 6 // workers

	// visibility is long beside the time that a controller is away, and short
	// beside the patience of this test: a receive whose answer a kill cut off
	// brings its messages back after it.
	visibility = 20 * time.Second

	shockLimit = time.Minute // for one shock to show
	drainLimit = 3 * time.Minute
	maxFaults  = 10 // that are shown in full
	around     = 3 * time.Second
)

// shape is what of the pool changes.
type shape struct {
	min, max, backlog, concurrency, revision int
	suspend                                  bool
}

const manifest = `apiVersion: queuemill.dev/v1alpha1
kind: WorkerPool
metadata: {name: work}
spec:
  queue: {sqs: {name: work}}
  minWorkers: %d
  maxWorkers: %d
  suspend: %v
  scaling: {backlogPerWorker: %d, scaleInCooldown: 0s, interval: 100ms}
  worker: {concurrency: %d, visibility: %v}
  message:
    format: [json]
    env:
      - {name: NUMBER, fieldPath: number}
      - {name: MS, fieldPath: ms}
  process:
    command: [%q]
    env:
      - {name: KIND, value: slow}
      - {name: CRASH_LOG, value: %q}
      - {name: REVISION, value: "%d"}
`

// event is a line of the test's own history, to read a fault by.
type event struct {
	at   time.Time
	what string
}

type shockTest struct {
	t       *testing.T
	random  *rand.Rand
	o       mill.Options
	up      *mill.Up
	path    string // of the manifest
	log     string // the outside log
	outside *outside
	client  *sqs.Client
	queue   string // URL
	shape   shape
	sent    int
	events  []event

	counts  map[string]int // of shocks by kind
	retired int            // workers that an ended controller said to have ended
}

// TestShocksCutNoWorkShort scales in, edits and kills at random moments with
// workers busy, and then accounts for every message by a log that its work
// wrote.
func TestShocksCutNoWorkShort(t *testing.T) {
	t.Parallel()
	s := newShockTest(t)
	for n := range *shocks {
		s.shock(n)
	}
	s.finish()
	s.account()
}

func newShockTest(t *testing.T) *shockTest {
	t.Logf("%d shocks; again with: -shocks %d -seed %d", *shocks, *shocks, *seed)
	folder := t.TempDir()
	s := &shockTest{
		t: t, random: rand.New(rand.NewPCG(*seed, 1)),
		path: filepath.Join(folder, "pool.yaml"), log: filepath.Join(folder, "outside.log"),
		shape: shape{min: 0, max: most, backlog: 1, concurrency: 1}, counts: map[string]int{},
	}
	s.o = mill.Options{
		Binary: binary, Data: filepath.Join(folder, "data"), Args: []string{"-f", s.path},
		Listen: mill.FreeAddress(t), SQSListen: mill.FreeAddress(t),
	}
	var err error
	if s.outside, err = openOutside(s.log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.outside.file.Close() })
	t.Cleanup(s.killWorkers)
	s.write()
	s.start()
	s.client = newClient(s.up.SQSURL)
	s.queue = queueURL(t, s.client)
	return s
}

func (s *shockTest) note(format string, args ...any) {
	s.events = append(s.events, event{time.Now(), fmt.Sprintf(format, args...)})
}

// write edits the manifest as an editor does, in one step.
func (s *shockTest) write() {
	c := s.shape
	text := fmt.Sprintf(manifest, c.min, c.max, c.suspend, c.backlog, c.concurrency, visibility, job, s.log, c.revision)
	err := os.WriteFile(s.path+".new", []byte(text), 0o644)
	if err == nil {
		err = os.Rename(s.path+".new", s.path)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// apply edits the manifest and has it read at once.
func (s *shockTest) apply() {
	s.write()
	_ = syscall.Kill(s.up.Pid, syscall.SIGHUP) // it is awaited by what it does
}

func (s *shockTest) start() {
	s.up = mill.Start(s.t, s.o)
	s.up.WaitReady(s.t)
	s.note("up, pid %d", s.up.Pid)
}

// shock makes sure that work runs, and then disturbs it.
func (s *shockTest) shock(n int) {
	s.feed()
	s.awaitBusy()
	kind, disturb := "scale-in", s.scaleIn
	switch s.random.IntN(10) {
	case 0, 1, 2:
		kind, disturb = "edit", s.edit
	case 3, 4:
		kind, disturb = "kill", s.kill
	}
	s.counts[kind]++
	s.note("shock %d, %s with %d running", n, kind, len(s.outside.running))
	disturb()
	if ended := s.up.Exited(); isClosed(ended) {
		s.t.Fatalf("queuemill up ended by itself after shock %d:\n%s", n, tail(s.up.Log()))
	}
}

// feed keeps some work waiting.
func (s *shockTest) feed() {
	s.read()
	missing := 4 + s.random.IntN(2*most) - (s.sent - s.outside.ended())
	if missing <= 0 {
		return
	}
	bodies := make([]string, missing)
	for i := range bodies {
		bodies[i] = fmt.Sprintf(`{"number":%d,"ms":%d}`, s.sent+i, 100+s.random.IntN(1400))
	}
	if err := sendAll(s.t.Context(), s.client, s.queue, bodies); err != nil {
		s.t.Fatalf("send: %v\n%s", err, tail(s.up.Log()))
	}
	s.sent += missing
}

func (s *shockTest) read() {
	if err := s.outside.read(); err != nil {
		s.t.Fatal(err)
	}
}

// awaitBusy waits until messages are worked on.
func (s *shockTest) awaitBusy() {
	s.await("work to run", func() bool {
		s.read()
		return len(s.outside.running) > 0
	})
}

func (s *shockTest) await(what string, done func() bool) {
	s.t.Helper()
	err := mill.Poll(s.t.Context(), shockLimit, func() (bool, error) {
		if isClosed(s.up.Exited()) {
			return false, fmt.Errorf("queuemill up ended by itself")
		}
		return done(), nil
	})
	if err != nil {
		s.t.Fatalf("waited for %s: %v\npool: %+v, asked for %+v\n%s\n%s", what, err, s.pool(), s.shape, s.history(time.Now()), tail(s.up.Log()))
	}
}

// scaleIn has fewer workers than there are, in one of the ways there are, and
// more again once the pool has decided so.
func (s *shockTest) scaleIn() {
	s.await("two workers wanted", func() bool { return s.pool().Desired > 1 })
	had := s.pool().Desired
	before := s.shape
	switch s.random.IntN(3) {
	case 0:
		s.shape.min, s.shape.max = 0, 1+s.random.IntN(had-1)
	case 1:
		s.shape.min, s.shape.backlog = 0, 1000
	default:
		s.shape.suspend = true
	}
	s.apply()
	s.await("a scale-in", func() bool { return s.shape.suspend && s.pool().Suspended || s.pool().Desired < had })
	s.waitALittle()
	s.shape = before
	s.apply()
}

// edit makes other workers of the old ones.
func (s *shockTest) edit() {
	s.shape.revision++
	s.shape.concurrency = 1 + s.random.IntN(2)
	s.shape.min = s.random.IntN(3)
	s.apply()
	s.waitALittle()
}

// kill is kill -9 of the controller, now and then in the middle of an edit, and
// now and then of the next one too, before it is ready.
func (s *shockTest) kill() {
	if s.random.IntN(2) == 0 {
		s.shape.revision++
		s.apply()
	}
	s.waitALittle()
	s.killUp()
	if s.random.IntN(4) == 0 {
		s.up = mill.Start(s.t, s.o)
		s.waitALittle()
		s.killUp()
	}
	s.start()
}

func (s *shockTest) killUp() {
	s.up.Kill()
	s.note("killed, pid %d", s.up.Pid)
	s.checkLog()
}

// waitALittle lets a random part of what was begun happen.
func (s *shockTest) waitALittle() {
	<-time.After(time.Duration(s.random.Int64N(int64(400 * time.Millisecond))))
}

// checkLog looks at what an ended controller wrote.
func (s *shockTest) checkLog() {
	s.t.Helper()
	text := s.up.Log()
	s.retired += strings.Count(text, `msg="worker ended"`)
	// Whatever a worker dies of, a data race included, its controller says so.
	for _, sign := range []string{"DATA RACE", "panic:", "fatal error:", "exit status", "signal: "} {
		if strings.Contains(text, sign) {
			s.t.Errorf("%q at %s:\n%s", sign, stamp(time.Now()), tail(text))
		}
	}
}

// finish lets everything end.
func (s *shockTest) finish() {
	t := s.t
	s.note("the last shock is over")
	err := mill.Poll(t.Context(), drainLimit, func() (bool, error) {
		s.read()
		var depth struct {
			Queues []struct {
				Name                       string
				Visible, InFlight, Delayed int
			}
		}
		if err := s.up.Get("/v1/status", &depth); err != nil {
			return false, err
		}
		for _, q := range depth.Queues {
			if q.Visible+q.InFlight+q.Delayed > 0 {
				return false, nil
			}
		}
		return len(s.outside.running) == 0, nil
	})
	if err != nil {
		t.Errorf("not done %v after the last shock: %v\npool: %+v\n%s", drainLimit, err, s.pool(), tail(s.up.Log()))
	}
	if code := s.up.Stop(t); code != 0 {
		t.Errorf("exit code %d after Ctrl-C:\n%s", code, tail(s.up.Log()))
	}
	s.checkLog()
	if left := s.records(); len(left) > 0 {
		t.Errorf("workers are left after Ctrl-C: %v", left)
	}
	s.read()
}

func (s *shockTest) account() {
	t := s.t
	faults, again := judge(s.sent, s.outside.runs)
	for i, f := range faults {
		if i < maxFaults {
			t.Errorf("message %d %s\n%s", f.message, f.what, s.history(f.at))
		}
	}
	if len(faults) > maxFaults {
		t.Errorf("%d faults, %d of them are shown", len(faults), maxFaults)
	}
	t.Logf("%d messages, %d runs (%d messages ran again after an end), %v, %d workers seen to end", s.sent, len(s.outside.runs), again, s.counts, s.retired)
	if s.retired < s.counts["scale-in"]/2 {
		t.Errorf("%d workers ended in %d scale-ins: this run shows nothing", s.retired, s.counts["scale-in"])
	}
}

// history is what this test did around a moment.
func (s *shockTest) history(at time.Time) string {
	var b strings.Builder
	for _, e := range s.events {
		if at.IsZero() || e.at.Sub(at).Abs() < around {
			fmt.Fprintf(&b, "  %s %s\n", stamp(e.at), e.what)
		}
	}
	return b.String()
}

// records are the files of workers that are there.
func (s *shockTest) records() []string {
	files, _ := filepath.Glob(filepath.Join(s.o.Data, "pools", "work", "*.json"))
	return files
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func tail(s string) string { return s[max(0, len(s)-10_000):] }
