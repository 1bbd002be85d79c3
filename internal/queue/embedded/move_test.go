package embedded

import (
	"encoding/base64"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func redrivePolicy(dead *Queue, max int) map[string]string {
	return map[string]string{"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, dead.ARN(), max), "VisibilityTimeout": "0"}
}

// deadLetters makes a dead-letter queue with n messages from a queue of name src.
func deadLetters(t *testing.T, b *Broker, src string, n int) (dead, source *Queue) {
	t.Helper()
	suffix := ""
	if isFIFOName(src) {
		suffix = ".fifo"
	}
	dead = createQueue(t, b, "dead"+suffix, nil)
	source = createQueue(t, b, src, redrivePolicy(dead, 1))
	for i := range n {
		e := SendEntry{Body: fmt.Sprint(i)}
		if source.fifo {
			e.GroupID, e.DeduplicationID = "g", e.Body
		}
		send(t, source, e)
	}
	for source.Depth().Total() > 0 {
		receive(t, source, 10)
	}
	if d := dead.Depth(); d.Visible != n {
		t.Fatalf("%+v dead letters, want %d", d, n)
	}
	return dead, source
}

func TestMoveTaskBringsMessagesBackToTheirSource(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		dead, source := deadLetters(t, b, "q.fifo", 250)
		if _, err := b.StartMoveTask(dead.ARN(), "", 0); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if dead.Depth().Total() != 0 || source.Depth().Visible != 250 {
			t.Fatalf("dead %+v, source %+v", dead.Depth(), source.Depth())
		}
		tasks, err := b.MoveTasks(dead.ARN(), 1)
		if err != nil || len(tasks) != 1 || tasks[0].Status != "COMPLETED" || tasks[0].Moved != 250 || tasks[0].ToMove != 250 || tasks[0].Handle != "" {
			t.Fatalf("%+v %v", tasks, err)
		}
		got := receive(t, source, 10)
		if bodies(got) != "[0 1 2 3 4 5 6 7 8 9]" || got[0].ReceiveCount != 1 || got[0].DeadLetterSourceARN != "" {
			t.Fatalf("%v, first %+v", bodies(got), got[0])
		}
	})
}

func TestMoveTaskKeepsItsRateAndIsCancelled(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		dead, _ := deadLetters(t, b, "q", 100)
		other := createQueue(t, b, "other", nil)
		handle, err := b.StartMoveTask(dead.ARN(), other.ARN(), 10)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.StartMoveTask(dead.ARN(), "", 0); errCode(err) != CodeInvalidParameterValue {
			t.Errorf("a second task of the source: %v", err)
		}
		time.Sleep(5050 * time.Millisecond)
		if n := other.Depth().Visible; n < 48 || n > 52 {
			t.Errorf("%d moved in 5 s at 10/s", n)
		}
		tasks, _ := b.MoveTasks(dead.ARN(), 10)
		if tasks[0].Status != "RUNNING" || tasks[0].Handle != handle {
			t.Errorf("%+v", tasks[0])
		}
		moved, err := b.CancelMoveTask(handle)
		if err != nil || int(moved) != other.Depth().Visible {
			t.Errorf("cancelled after %d, %v; there are %+v", moved, err, other.Depth())
		}
		time.Sleep(time.Minute)
		if other.Depth().Visible != int(moved) || other.Depth().Visible+dead.Depth().Visible != 100 {
			t.Errorf("after the cancel: %+v %+v", dead.Depth(), other.Depth())
		}
		if _, err := b.CancelMoveTask(handle); errCode(err) != CodeInvalidParameterValue {
			t.Errorf("cancelled again: %v", err)
		}
	})
}

func TestMoveTaskGoesOnAfterARestart(t *testing.T) {
	fs := vfs.NewMem()
	synctest.Test(t, func(t *testing.T) {
		b, closeAll := memBroker(t, fs, Options{})
		dead, _ := deadLetters(t, b, "q", 100)
		if _, err := b.StartMoveTask(dead.ARN(), "", 10); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3050 * time.Millisecond)
		closeAll()
		b, closeAll = memBroker(t, fs, Options{})
		defer closeAll()
		dead, _ = b.Queue("", "dead")
		source, _ := b.Queue("", "q")
		if n := source.Depth().Visible; n == 0 || n == 100 || n+dead.Depth().Visible != 100 {
			t.Fatalf("at the restart: %+v %+v", dead.Depth(), source.Depth())
		}
		time.Sleep(8 * time.Second)
		tasks, err := b.MoveTasks(dead.ARN(), 1)
		if err != nil || tasks[0].Status != "COMPLETED" || tasks[0].Moved != 100 || source.Depth().Visible != 100 {
			t.Fatalf("%+v %v, source %+v", tasks, err, source.Depth())
		}
	})
}

func TestMoveTaskRefusals(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		dead, source := deadLetters(t, b, "q", 1)
		fifo := createQueue(t, b, "f.fifo", nil)
		for _, c := range []struct {
			name, source, destination string
			rate                      int
			code                      Code
		}{
			{"no such source", "arn:aws:sqs:us-east-1:000000000000:none", "", 0, CodeResourceNotFound},
			{"no ARN", "none", "", 0, CodeResourceNotFound},
			{"not a dead-letter queue", source.ARN(), "", 0, CodeInvalidParameterValue},
			{"no such destination", dead.ARN(), "arn:aws:sqs:us-east-1:000000000000:none", 0, CodeResourceNotFound},
			{"itself", dead.ARN(), dead.ARN(), 0, CodeInvalidParameterValue},
			{"other kind", dead.ARN(), fifo.ARN(), 0, CodeInvalidParameterValue},
			{"rate", dead.ARN(), "", 501, CodeInvalidParameterValue},
		} {
			if _, err := b.StartMoveTask(c.source, c.destination, c.rate); errCode(err) != c.code {
				t.Errorf("%s: %v, want %s", c.name, err, c.code)
			}
		}
		unknown := (&moveTask{ID: 1, Source: dead.ARN()}).handle()
		if _, err := b.CancelMoveTask(unknown); errCode(err) != CodeResourceNotFound {
			t.Errorf("cancel of nothing: %v", err)
		}
		for _, malformed := range []string{"x", "nonsense", base64.URLEncoding.EncodeToString([]byte("x:" + dead.ARN())), base64.URLEncoding.EncodeToString([]byte("1:dead"))} {
			if _, err := b.CancelMoveTask(malformed); errCode(err) != CodeInvalidParameterValue {
				t.Errorf("cancel of %q: %v", malformed, err)
			}
		}
	})
}

func TestMoveTaskFailsOnAMessageThatWasSentToTheDeadLetterQueue(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		dead, source := deadLetters(t, b, "q", 3)
		sendBodies(t, dead, "direct")
		if _, err := b.StartMoveTask(dead.ARN(), "", 0); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		tasks, _ := b.MoveTasks(dead.ARN(), 1)
		if tasks[0].Status != "FAILED" || tasks[0].FailureReason != "CouldNotDetermineMessageSource" || tasks[0].Moved != 3 {
			t.Fatalf("%+v", tasks[0])
		}
		if source.Depth().Visible != 3 || dead.Depth().Visible != 1 {
			t.Fatalf("%+v %+v", source.Depth(), dead.Depth())
		}
	})
}

func TestRedriveThroughTheSeamMovesAtMostTheLimit(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		dead, source := deadLetters(t, b, "q", 150)
		p := dead.AsQueue().(*provider)
		if n, err := p.Redrive(t.Context(), 120); n != 120 || err != nil {
			t.Fatalf("%d %v", n, err)
		}
		if n, err := p.Redrive(t.Context(), 0); n != 30 || err != nil {
			t.Fatalf("%d %v", n, err)
		}
		if source.Depth().Visible != 150 {
			t.Fatalf("%+v", source.Depth())
		}
	})
}

// A message on its way to the dead-letter queue, or out, is in the queue until it
// has left: who waits for an empty queue waits for that too.
func TestAMessageOnItsWayOutIsCounted(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", nil)
		send(t, q, SendEntry{Body: "a"})
		q.mu.Lock()
		r := q.index.next(q.b.clock.now())
		q.setAside(r)
		q.mu.Unlock()
		if d := q.Depth(); d.InFlight != 1 || d.Total() != 1 {
			t.Errorf("on its way: %+v", d)
		}
		q.mu.Lock()
		q.settleAside(r, false)
		q.mu.Unlock()
		if d := q.Depth(); d.Visible != 1 || d.Total() != 1 {
			t.Errorf("back again: %+v", d)
		}
		q.mu.Lock()
		q.setAside(r)
		q.settleAside(r, true)
		q.mu.Unlock()
		if d := q.Depth(); d.Total() != 0 {
			t.Errorf("gone: %+v", d)
		}
	})
}
