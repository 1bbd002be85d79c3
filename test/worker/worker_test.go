//go:build linux

package worker

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/queuemill/queuemill/test/mill"
)

type types = sqstypes.QueueAttributeName

// forever ignores SIGTERM, has a descendant in a session of its own, and never
// ends.
const forever = `trap '' TERM; setsid sleep 3600 & note start; while :; do sleep 3600; done`

func TestTheMessageOfAKilledWorkerRunsElsewhereAndNothingOfItIsLeft(t *testing.T) {
	b := newBench(t)
	b.send("x")
	const visibility = 6 * time.Second
	a := b.work("a", forever, "--visibility", "6s")
	b.await("start", 1, 20*time.Second)
	other := b.work("b", `note start; note end`, "--visibility", "6s")
	if n := len(b.running()); n < 3 {
		t.Fatalf("%d processes of the command run: %v", n, b.running())
	}
	killed := time.Now()
	a.signal(syscall.SIGKILL)
	<-a.exited
	if err := mill.Poll(t.Context(), 2*time.Second, func() (bool, error) { return len(b.running()) == 0, nil }); err != nil {
		t.Errorf("of the killed worker's command are left: %v", b.running())
	}
	gone := time.Since(killed)
	second := b.await("start", 2, visibility+10*time.Second)
	t.Logf("nothing of the command was left after %v; another worker had the message %v after the kill (visibility %v)", gone, second.at.Sub(killed), visibility)
	if second.worker != "b" || second.attempt != 2 || second.at.Sub(killed) > visibility+5*time.Second || second.at.Sub(killed) < gone {
		t.Errorf("%+v, %v after the kill", second, second.at.Sub(killed))
	}
	b.empty(5 * time.Second)
	other.signal(syscall.SIGTERM)
	if code := other.wait(5 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestAnotherWorkerHasTheMessageSoonAfterTheDeadline(t *testing.T) {
	b := newBench(t)
	b.send("x")
	const deadline = 2 * time.Second
	a := b.work("a", forever, "--drain-timeout", "2s")
	b.await("start", 1, 20*time.Second)
	other := b.work("b", `note start; note end`)
	if err := mill.Poll(t.Context(), 20*time.Second, func() (bool, error) { return strings.Contains(other.said(), "working"), nil }); err != nil {
		t.Fatal(err)
	}
	told := time.Now()
	a.signal(syscall.SIGTERM)
	second := b.await("start", 2, 30*time.Second)
	after := second.at.Sub(told) - deadline
	t.Logf("another worker had the message %v after the deadline", after)
	if second.worker != "b" || after < 0 || after > 2*time.Second {
		t.Errorf("%+v, %v after the deadline; asked for are 2s", second, after)
	}
	if code := a.wait(5 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	b.empty(5 * time.Second)
	for _, p := range b.running() {
		if strings.Contains(p, "sleep") {
			t.Errorf("of the first worker's command is left: %s", p)
		}
	}
}

func TestASecondInterruptEndsWhatRuns(t *testing.T) {
	b := newBench(t)
	b.send("x")
	a := b.work("a", forever, "--drain-timeout", "10m")
	b.await("start", 1, 20*time.Second)
	a.signal(syscall.SIGINT)
	if err := mill.Poll(t.Context(), 5*time.Second, func() (bool, error) { return strings.Contains(a.said(), "interrupt again"), nil }); err != nil {
		t.Fatal(err)
	}
	a.signal(syscall.SIGINT)
	if code := a.wait(10 * time.Second); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	if visible, inFlight := b.count(b.queue); visible != 1 || inFlight != 0 {
		t.Errorf("%d visible, %d in flight: it was not given back", visible, inFlight)
	}
}

// A kubelet that is restarted sends SIGTERM to what already ends.
func TestASecondTerminateChangesNothing(t *testing.T) {
	b := newBench(t)
	b.send("x")
	a := b.work("a", `note start; sleep 2; note end`, "--drain-timeout", "10m")
	b.await("start", 1, 20*time.Second)
	a.signal(syscall.SIGTERM)
	if err := mill.Poll(t.Context(), 5*time.Second, func() (bool, error) { return strings.Contains(a.said(), "interrupt again"), nil }); err != nil {
		t.Fatal(err)
	}
	a.signal(syscall.SIGTERM)
	if code := a.wait(20 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	b.await("end", 1, time.Second)
	b.empty(5 * time.Second)
}

func TestExitCodes(t *testing.T) {
	b := newBench(t)
	b.send("done", "rejected", "later", "failed")
	b.work("a", `body=$(cat); note $body
		case $body-$QUEUEMILL_ATTEMPT in
		rejected-*) echo 'no such customer' > "$QUEUEMILL_RESULT_FILE"; exit 3;;
		later-1) echo 4 > "$QUEUEMILL_RESULT_FILE"; exit 4;;
		failed-1|failed-2) exit 7;;
		esac`, "-c", "4")
	b.empty(30 * time.Second)
	at := map[string][]time.Time{}
	for _, l := range b.lines() {
		at[l.word] = append(at[l.word], l.at)
	}
	if got := fmt.Sprint(len(at["done"]), len(at["rejected"]), len(at["later"]), len(at["failed"])); got != "1 1 2 3" {
		t.Fatalf("runs of done, rejected, later, failed: %s, want 1 1 2 3", got)
	}
	if d := at["later"][1].Sub(at["later"][0]); d < 3*time.Second {
		t.Errorf("asked for later in 4s, it came back after %v", d)
	}
	if first, second := at["failed"][1].Sub(at["failed"][0]), at["failed"][2].Sub(at["failed"][1]); first < time.Second || second < 2*time.Second {
		t.Errorf("the failed message came back after %v and %v", first, second)
	}
	out, err := b.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &b.dead, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}})
	if err != nil || len(out.Messages) != 1 || *out.Messages[0].Body != "rejected" || *out.Messages[0].MessageAttributes["Queuemill.Reason"].StringValue != "no such customer" {
		t.Errorf("dead letters: %+v, %v", out, err)
	}
}

func TestAQueueThatGoesAwayAndComesBackLosesNothing(t *testing.T) {
	b := newBench(t)
	b.send("1", "2", "3")
	a := b.work("a", `note start; sleep 3; note end`, "-c", "2")
	b.await("start", 2, 20*time.Second)
	b.up.Kill()
	b.await("end", 2, 20*time.Second)
	b.start()
	b.await("end", 3, 30*time.Second)
	b.empty(20 * time.Second)
	starts := 0
	for _, l := range b.lines() {
		if l.word == "start" {
			starts++
		}
		if l.attempt != 1 {
			t.Errorf("%+v: a message was delivered again", l)
		}
	}
	if starts != 3 {
		t.Errorf("%d runs of three messages", starts)
	}
	a.signal(syscall.SIGTERM)
	if code := a.wait(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestLongWorkIsHeldInFlight(t *testing.T) {
	b := newBench(t)
	b.send("x")
	b.work("a", `note start; sleep 16; note end`, "--visibility", "5s")
	b.work("b", `note start; note end`, "--visibility", "5s")
	b.await("end", 1, 40*time.Second)
	b.empty(5 * time.Second)
	if all := b.lines(); len(all) != 2 {
		t.Errorf("%v", all)
	}
}

func TestAnHTTPServerOfItsOwn(t *testing.T) {
	b := newBench(t)
	var served atomic.Int64
	address := mill.FreeAddress(t)
	s := &http.Server{Addr: address, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if served.Add(1) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if r.Header.Get("X-Aws-Sqsd-Msgid") == "" {
			t.Error("no message ID")
		}
	})}
	b.send("1", "2", "3")
	w := b.run("h", "worker", "-q", b.queue, "--http", "http://"+address+"/", "--max-messages", "4", "-c", "2", "--log-level", "debug")
	go s.ListenAndServe() // it waits for the server
	defer s.Close()
	if code := w.wait(30 * time.Second); code != 0 || served.Load() != 4 {
		t.Errorf("exit code %d after %d messages", code, served.Load())
	}
	b.empty(5 * time.Second)
}

func TestWorkersLeaveWhenTheQueueIsEmpty(t *testing.T) {
	b := newBench(t)
	for i := range 40 {
		b.send(fmt.Sprint(i))
	}
	var all []*worker
	for i := range 3 {
		all = append(all, b.work(fmt.Sprint("w", i), `note start`, "-c", "2", "--exit-when-empty"))
	}
	for _, w := range all {
		if code := w.wait(time.Minute); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	if n := len(b.lines()); n != 40 {
		t.Errorf("%d runs of 40 messages", n)
	}
	b.empty(time.Second)
}
