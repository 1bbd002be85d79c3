package embedded

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/queuemill/queuemill/internal/store"
)

// crashDirVar makes the test binary the process that is killed: it works on the
// queue in that directory until it dies.
const crashDirVar = "EMBEDDED_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirVar); dir != "" {
		crashWorker(dir)
	}
	os.Exit(m.Run())
}

// crashWorker sends, receives and deletes and says so on stdout: "send B" before
// and "sent B" after, "got B N", "del B" before and "gone B" after. Each line is
// one write, so what was answered before the kill is in the pipe.
func crashWorker(dir string) {
	db, err := store.Open(dir, store.Options{})
	if err != nil {
		panic(err)
	}
	b, err := Open(db, Options{})
	if err != nil {
		panic(err)
	}
	var queues []*Queue
	for _, name := range []string{"q", "q.fifo"} {
		m := map[string]string{"VisibilityTimeout": "0"}
		if isFIFOName(name) {
			m = map[string]string{"VisibilityTimeout": "1", "FifoQueue": "true", "ContentBasedDeduplication": "true"}
		}
		q, err := b.CreateQueue("", name, m, nil)
		if err != nil {
			panic(err)
		}
		queues = append(queues, q)
	}
	say := func(format string, args ...any) {
		_, _ = os.Stdout.WriteString(fmt.Sprintf(format, args...) + "\n")
	}
	var mu sync.Mutex
	n := 0
	for i := range 16 {
		go func() {
			q := queues[i%2]
			for {
				mu.Lock()
				n++
				body := fmt.Sprintf("%d-%d-%s", os.Getpid(), n, q.name)
				mu.Unlock()
				crashStep(q, body, say)
			}
		}()
	}
	say("ready")
	select {}
}

func crashStep(q *Queue, body string, say func(string, ...any)) {
	ctx := context.Background()
	say("send %s", body)
	e := SendEntry{Body: body}
	if q.fifo {
		e.GroupID = strconv.Itoa(rand.IntN(4))
	}
	if r := q.Send(ctx, []SendEntry{e}); r[0].Err != nil {
		panic(r[0].Err)
	}
	say("sent %s", body)
	if rand.IntN(3) == 0 {
		return
	}
	got, err := q.Receive(ctx, ReceiveOptions{Max: 1 + rand.IntN(10)})
	if err != nil {
		panic(err)
	}
	var handles, names []string
	for _, m := range got {
		say("got %s %d", m.Body, m.ReceiveCount)
		if rand.IntN(2) == 0 {
			say("del %s", m.Body)
			handles, names = append(handles, m.Handle), append(names, m.Body)
		}
	}
	for i, err := range q.Delete(ctx, handles) {
		if err == nil {
			say("gone %s", names[i])
		}
	}
}

// ledger is what the killed processes said, by body.
type ledger struct {
	sent, deleting, gone map[string]bool
	begun                map[string]bool
	receives             map[string]int
}

func (l *ledger) read(line string) {
	f := strings.Fields(line)
	switch f[0] {
	case "send":
		l.begun[f[1]] = true
	case "sent":
		l.sent[f[1]] = true
	case "got":
		n, _ := strconv.Atoi(f[2])
		l.receives[f[1]] = max(l.receives[f[1]], n)
	case "del":
		l.deleting[f[1]] = true
	case "gone":
		l.gone[f[1]] = true
	}
}

func TestKillNineLosesNothingAnswered(t *testing.T) {
	dir := t.TempDir()
	l := &ledger{sent: map[string]bool{}, deleting: map[string]bool{}, gone: map[string]bool{}, begun: map[string]bool{}, receives: map[string]int{}}
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		killAfter(t, dir, l, time.Duration(rand.IntN(250))*time.Millisecond)
		checkLedger(t, dir, l, round)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d sends answered, %d deletes answered over %d kills", len(l.sent), len(l.gone), rounds)
	if len(l.sent) < 100 || len(l.gone) < 10 {
		t.Error("too little happened for the test to mean something")
	}
}

// killAfter runs the worker, kills it d after it is ready and reads what it said.
func killAfter(t *testing.T, dir string, l *ledger, d time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDirVar+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "ready" {
			time.AfterFunc(d, func() { _ = cmd.Process.Kill() })
			continue
		}
		l.read(lines.Text())
	}
	_ = cmd.Wait()
}

// checkLedger opens the store and compares it with what was said.
func checkLedger(t *testing.T, dir string, l *ledger, round int) {
	t.Helper()
	b, closeAll := openBrokerClose(t, dir, Options{})
	defer closeAll()
	found := map[string]int{}
	for _, q := range b.Queues("", "") {
		for body, m := range contents(t, q) {
			found[body]++
			if int(m.receives) < l.receives[body] {
				t.Errorf("round %d: %s was received %d times, the store says %d", round, body, l.receives[body], m.receives)
			}
			if !l.begun[body] {
				t.Errorf("round %d: %s was never sent", round, body)
			}
		}
	}
	for body := range l.sent {
		switch n := found[body]; {
		case l.gone[body] && n != 0:
			t.Errorf("round %d: %s is back after its delete was answered", round, body)
		case !l.deleting[body] && n != 1:
			t.Errorf("round %d: %s is there %d times, once was answered", round, body, n)
		}
	}
	// What was cut off in the middle is settled now.
	for body := range l.deleting {
		if found[body] == 0 {
			l.gone[body] = true
		} else {
			delete(l.deleting, body)
		}
	}
}

// contents are a queue's messages by body.
func contents(t *testing.T, q *Queue) map[string]slot {
	t.Helper()
	found := map[string]slot{}
	q.index.each(func(_ ref, m *slot) {
		c, err := q.read(m.seq)
		if err != nil {
			t.Errorf("message %d has no content: %v", m.seq, err)
			return
		}
		if _, twice := found[c.body]; twice {
			t.Errorf("%s is in %s twice", c.body, q.name)
		}
		found[c.body] = *m
	})
	return found
}
