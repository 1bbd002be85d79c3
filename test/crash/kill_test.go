package crash

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/test/mill"
)

const (
	onCreateQueue   = "on-create"
	onSuccessQueue  = "on-success"
	failingQueue    = "on-success-failing" // what never succeeds; the one with dead letters
	deadLetterQueue = "dead-letters"

	// maxReceives leaves room for a message that was in hand at several kills.
	maxReceives = 4

	// survivalLimit is how long a job's process may outlive its controller.
	survivalLimit = 2 * time.Second

	// startSlack is how long after a kill a job may still say that it starts: the
	// supervisor does what it was told until it notices.
	startSlack = 500 * time.Millisecond
)

// manifest is one QueueJob, for each queue with its mode of ack.
const manifest = `apiVersion: queuemill.dev/v1alpha1
kind: QueueJob
metadata: {name: %[1]s}
spec:
  queue: {sqs: {name: %[1]s}}
  ack: %[2]s
  maxActive: 12
  successfulJobsHistoryLimit: 1000000
  failedJobsHistoryLimit: 1000000
  message:
    format: [json]
    env:
      - {name: NUMBER, fieldPath: number}
      - {name: KIND, fieldPath: kind}
      - {name: MS, fieldPath: ms}
  process:
    command: [%[3]q]
    env:
      - {name: CRASH_LOG, value: %[4]q}
      - {name: CRASH_RUN, value: %[5]q}
---
`

// kill is one end of a generation of the controller.
type kill struct {
	looked   time.Time // when the look at what runs began, right before the kill
	at       time.Time
	ran      map[int]bool  // by pid, the processes of jobs at that moment
	outlived time.Duration // until the last of them was gone
}

type crashTest struct {
	t      *testing.T
	random *rand.Rand
	folder string
	log    string // the outside log
	marker string // what every process of a job has in its environment
	o      mill.Options
	tasks  []*task
	kills  []kill
}

// TestKillLosesAndRepeatsNothing kills `queuemill up` at random moments under
// load, both modes of ack, and then accounts for every message from outside.
func TestKillLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	c := newCrashTest(t)
	c.fill()
	for range *kills {
		c.oneKill()
	}
	jobs := c.finish()
	runs, err := readRuns(c.log)
	if err != nil {
		t.Fatal(err)
	}
	c.account(jobs, runs)
}

func newCrashTest(t *testing.T) *crashTest {
	t.Logf("%d kills under %d messages; again with: -kills %d -messages %d -seed %d", *kills, *messages, *kills, *messages, *seed)
	folder := t.TempDir()
	c := &crashTest{
		t: t, folder: folder,
		random: rand.New(rand.NewPCG(*seed, 1)),
		log:    filepath.Join(folder, "outside.log"),
		marker: fmt.Sprintf("crash-%d-%d", os.Getpid(), time.Now().UnixNano()),
		o: mill.Options{
			Binary:    binary,
			Data:      filepath.Join(folder, "data"),
			Listen:    mill.FreeAddress(t),
			SQSListen: mill.FreeAddress(t),
		},
	}
	c.tasks = makeTasks(*messages, c.random, onCreateQueue, onSuccessQueue)
	return c
}

// fill sends all messages before anything reads them, and kills for the first
// time: what was answered has to be there.
func (c *crashTest) fill() {
	t := c.t
	up := mill.Start(t, c.o)
	up.WaitReady(t)
	client := newClient(up.SQSURL)
	dead := createQueue(t, client, deadLetterQueue, nil)
	urls := map[string]string{
		onCreateQueue:  createQueue(t, client, onCreateQueue, nil),
		onSuccessQueue: createQueue(t, client, onSuccessQueue, nil),
		failingQueue: createQueue(t, client, failingQueue, map[string]string{
			string(types.QueueAttributeNameRedrivePolicy): fmt.Sprintf(
				`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:%s","maxReceiveCount":%d}`, filepath.Base(dead), maxReceives),
		}),
	}
	if err := sendAll(t.Context(), client, urls, c.tasks); err != nil {
		t.Fatal(err)
	}
	up.Kill()

	text := fmt.Sprintf(manifest, onCreateQueue, "OnCreate", job, c.log, c.marker) +
		fmt.Sprintf(manifest, onSuccessQueue, "OnSuccess", job, c.log, c.marker) +
		fmt.Sprintf(manifest, failingQueue, "OnSuccess", job, c.log, c.marker)
	path := filepath.Join(c.folder, "queuemill.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c.o.Args = []string{"-f", path}
}

// oneKill starts the controller and kills it up to a second later: one time in
// four counted from its start, to hit what it does then, else from when it is
// ready. Every other time the next controller starts at once, in the middle of
// what the old one's supervisor does then, and is killed in its turn when that
// is over.
func (c *crashTest) oneKill() {
	up := mill.Start(c.t, c.o)
	if c.random.IntN(4) != 0 {
		up.WaitReady(c.t)
	}
	select {
	case <-time.After(time.Duration(c.random.Int64N(int64(time.Second)))):
	case <-up.Exited():
		c.t.Fatalf("queuemill up ended by itself after kill %d:\n%s", len(c.kills), up.Log())
	}
	left := c.kill(up)
	if c.random.IntN(2) == 0 {
		c.watchEnd(left)
		return
	}
	next := mill.Start(c.t, c.o)
	c.watchEnd(left)
	c.watchEnd(c.kill(next))
}

// kill returns the jobs' processes that were there at that moment.
func (c *crashTest) kill(up *mill.Up) map[process]string {
	k := kill{looked: time.Now(), ran: map[int]bool{}}
	left := marked("CRASH_RUN=" + c.marker)
	up.SendKill()
	k.at = time.Now()
	// What was started in between.
	maps.Copy(left, marked("CRASH_RUN="+c.marker))
	for p := range left {
		k.ran[p.pid] = true
	}
	c.kills = append(c.kills, k)
	up.Kill()
	c.checkLog(up)
	return left
}

// watchEnd waits until what was left by the latest kill has ended.
func (c *crashTest) watchEnd(left map[process]string) {
	k := &c.kills[len(c.kills)-1]
	err := mill.Poll(c.t.Context(), survivalLimit, func() (bool, error) {
		maps.DeleteFunc(left, func(p process, _ string) bool { return !alive(p) })
		return len(left) == 0, nil
	})
	k.outlived = time.Since(k.at)
	if err != nil {
		c.t.Errorf("kill %d at %s: %d processes of jobs outlive their controller by %v: %v", len(c.kills), stamp(k.at), len(left), k.outlived, left)
	}
}

func (c *crashTest) checkLog(up *mill.Up) {
	c.t.Helper()
	if text := up.Log(); strings.Contains(text, "DATA RACE") || strings.Contains(text, "panic:") || strings.Contains(text, "fatal error:") {
		c.t.Errorf("after kill %d:\n%s", len(c.kills), text)
	}
}

// finish lets everything end and returns all records.
func (c *crashTest) finish() []httpapi.Job {
	t := c.t
	up := mill.Start(t, c.o)
	up.WaitReady(t)
	begin := time.Now()
	var status httpapi.Status
	err := mill.Poll(t.Context(), 8*time.Minute, func() (bool, error) {
		if err := up.Get("/v1/status", &status); err != nil {
			return false, err
		}
		return status.Idle, nil
	})
	if err != nil {
		t.Fatalf("not idle %v after the last kill: %v\n%+v\n%s", time.Since(begin), err, status, tail(up.Log()))
	}
	t.Logf("idle %v after the last kill", time.Since(begin).Round(time.Second))
	for _, q := range status.Queues {
		if want := c.wantDepth(q.Name); q.Visible != want || q.InFlight != 0 || q.Delayed != 0 {
			t.Errorf("queue %s holds %d visible, %d in flight, %d delayed messages at the end, want %d", q.Name, q.Visible, q.InFlight, q.Delayed, want)
		}
	}
	c.checkDeadLetters(newClient(up.SQSURL))
	var jobs []httpapi.Job
	for cursor := ""; ; {
		var page httpapi.JobList
		if err := up.Get("/v1/jobs?limit=5000&cursor="+cursor, &page); err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, page.Jobs...)
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	if code := up.Stop(t); code != 0 {
		t.Errorf("exit code %d after Ctrl-C:\n%s", code, tail(up.Log()))
	}
	c.checkLog(up)
	return jobs
}

// wantDepth is how many messages a queue holds at the end: what never succeeded
// under OnSuccess is a dead letter.
func (c *crashTest) wantDepth(queue string) (n int) {
	if queue != deadLetterQueue {
		return 0
	}
	for _, k := range c.tasks {
		if k.queue == failingQueue {
			n++
		}
	}
	return n
}

// checkDeadLetters holds the dead letters against what never succeeds, message
// by message.
func (c *crashTest) checkDeadLetters(client *sqs.Client) {
	t := c.t
	url := createQueue(t, client, deadLetterQueue, nil) // it is there
	dead := map[string]bool{}
	for {
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, VisibilityTimeout: 3600})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			break
		}
		for _, m := range out.Messages {
			dead[*m.MessageId] = true
		}
	}
	for _, k := range c.tasks {
		if want := k.queue == failingQueue; want != dead[k.messageID] {
			t.Errorf("message %d (%s of %s): dead letter: %v, want %v", k.Number, k.messageID, k.queue, !want, want)
		}
	}
}

func tail(s string) string { return s[max(0, len(s)-10_000):] }
