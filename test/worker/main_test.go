//go:build linux

package worker

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/queuemill/queuemill/test/mill"
)

var binary string // of queuemill, under the race detector

func TestMain(m *testing.M) { os.Exit(withProgram(m)) }

func withProgram(m *testing.M) int {
	bin, err := os.MkdirTemp("", "queuemill-worker-test-")
	if err == nil {
		defer os.RemoveAll(bin)
		binary, err = mill.Build(bin, "./cmd/queuemill", true)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// bench is a queue with its endpoint, and a log.
type bench struct {
	*testing.T
	up      *mill.Up
	options mill.Options
	client  *sqs.Client
	queue   string // URL
	dead    string // URL of its dead-letter queue
	log     string // what the commands write
	mark    string // in the environment of every command
}

func newBench(t *testing.T) *bench {
	t.Helper()
	t.Parallel()
	b := &bench{T: t, log: filepath.Join(t.TempDir(), "log"), mark: fmt.Sprintf("TEST_MARK=%s-%d", t.Name(), os.Getpid())}
	b.options = mill.Options{Binary: binary, Data: t.TempDir(), Listen: mill.FreeAddress(t), SQSListen: mill.FreeAddress(t), Dir: t.TempDir()}
	b.start()
	b.client = sqs.New(sqs.Options{
		BaseEndpoint: aws.String(b.up.SQSURL), Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("k", "s", ""),
	})
	b.dead = b.create("dead", nil)
	b.queue = b.create("work", map[string]string{
		"VisibilityTimeout": "300", "RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":50}`,
	})
	return b
}

func (b *bench) start() {
	b.Helper()
	b.up = mill.Start(b.T, b.options)
	b.up.WaitReady(b.T)
}

func (b *bench) create(name string, attributes map[string]string) string {
	b.Helper()
	out, err := b.client.CreateQueue(b.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		b.Fatal(err)
	}
	return *out.QueueUrl
}

func (b *bench) send(bodies ...string) {
	b.Helper()
	for _, body := range bodies {
		if _, err := b.client.SendMessage(b.Context(), &sqs.SendMessageInput{QueueUrl: &b.queue, MessageBody: &body}); err != nil {
			b.Fatal(err)
		}
	}
}

// count is what is in a queue: visible, in flight and delayed messages.
func (b *bench) count(url string) (visible, inFlight int) {
	b.Helper()
	out, err := b.client.GetQueueAttributes(b.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types{"All"}})
	if err != nil {
		b.Fatal(err)
	}
	visible, _ = strconv.Atoi(out.Attributes["ApproximateNumberOfMessages"])
	inFlight, _ = strconv.Atoi(out.Attributes["ApproximateNumberOfMessagesNotVisible"])
	return visible, inFlight
}

// empty waits until nothing is left in the queue.
func (b *bench) empty(limit time.Duration) {
	b.Helper()
	err := mill.Poll(b.Context(), limit, func() (bool, error) {
		visible, inFlight := b.count(b.queue)
		return visible+inFlight == 0, nil
	})
	if err != nil {
		visible, inFlight := b.count(b.queue)
		b.Fatalf("%d messages wait and %d are in flight after %v\n%v", visible, inFlight, limit, b.lines())
	}
}

// worker is a running `queuemill worker`.
type worker struct {
	*bench
	name   string
	cmd    *exec.Cmd
	output string
	exited chan struct{}
}

// work starts a worker whose commands run script under sh; $W is its name, and
// note WORD writes WORD, the name, the attempt and the time into the log.
func (b *bench) work(name, script string, args ...string) *worker {
	b.Helper()
	const prelude = `note() { echo "$1 $W $QUEUEMILL_ATTEMPT $(date +%s.%N)" >> "$LOG"; }; `
	args = append(append([]string{"worker", "-q", b.queue, "--log-level", "debug", "-e", "W=" + name, "-e", "LOG=" + b.log, "-e", b.mark}, args...),
		"--", "sh", "-c", strings.ReplaceAll(prelude+script, "$", "$$"))
	return b.run(name, args...)
}

func (b *bench) run(name string, args ...string) *worker {
	b.Helper()
	w := &worker{bench: b, name: name, output: filepath.Join(b.TempDir(), name), exited: make(chan struct{})}
	out, err := os.Create(w.output)
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	w.cmd = exec.Command(binary, args...)
	w.cmd.Stdout, w.cmd.Stderr = out, out
	if err := w.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	go func() {
		w.cmd.Wait()
		close(w.exited)
	}()
	b.Cleanup(func() {
		w.signal(syscall.SIGKILL)
		<-w.exited
		text, _ := os.ReadFile(w.output)
		if bytes.Contains(text, []byte("DATA RACE")) || bytes.Contains(text, []byte("panic:")) || b.Failed() {
			b.Errorf("worker %s says:\n%s", name, text)
		}
	})
	return w
}

func (w *worker) signal(s syscall.Signal) { _ = w.cmd.Process.Signal(s) }

// said is what it wrote so far.
func (w *worker) said() string {
	text, err := os.ReadFile(w.output)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// wait returns its exit code, -1 after a signal.
func (w *worker) wait(limit time.Duration) int {
	w.Helper()
	select {
	case <-w.exited:
	case <-time.After(limit):
		w.Fatalf("worker %s still runs after %v", w.name, limit)
	}
	return w.cmd.ProcessState.ExitCode()
}

// line is one of the log.
type line struct {
	word, worker string
	attempt      int
	at           time.Time
}

func (b *bench) lines() (all []line) {
	text, _ := os.ReadFile(b.log)
	for l := range strings.Lines(string(text)) {
		f := strings.Fields(l)
		if len(f) != 4 {
			continue
		}
		attempt, _ := strconv.Atoi(f[2])
		at, _ := strconv.ParseFloat(f[3], 64)
		all = append(all, line{f[0], f[1], attempt, time.Unix(0, int64(at*1e9))})
	}
	return all
}

// await waits for the n-th line with the word.
func (b *bench) await(word string, n int, limit time.Duration) line {
	b.Helper()
	var found line
	err := mill.Poll(b.Context(), limit, func() (bool, error) {
		seen := 0
		for _, l := range b.lines() {
			if l.word == word {
				if seen++; seen == n {
					found = l
					return true, nil
				}
			}
		}
		return false, nil
	})
	if err != nil {
		b.Fatalf("no %d. line %q after %v: %v", n, word, limit, b.lines())
	}
	return found
}

// running are the processes of commands, descendants in sessions of their own
// among them, by the variable in their environment.
func (b *bench) running() (found []string) {
	entries, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range entries {
		environ, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(environ, []byte(b.mark+"\x00")) {
			continue
		}
		command, _ := os.ReadFile(filepath.Dir(file) + "/cmdline")
		found = append(found, filepath.Base(filepath.Dir(file))+" "+strings.ReplaceAll(string(command), "\x00", " "))
	}
	return found
}
