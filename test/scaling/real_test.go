package scaling

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/manifest"
	"github.com/queuemill/queuemill/internal/simulate"
	"github.com/queuemill/queuemill/test/mill"
)

// place is where a trial runs in real time: a pool that is there, with its least
// workers ready and nothing in its queue.
type place interface {
	// send sends messages, all at once, and returns their IDs.
	send(ctx context.Context, n int) ([]string, error)

	// look is the pool as it is now.
	look() (look, error)

	// begun are the messages whose work has begun, and when.
	begun() (map[string]time.Time, error)
}

// look is what a pool says of itself.
type look struct {
	waiting, running  int // messages
	workers, retiring int
	desired           int
}

// run sends a trial's arrivals to a place when they are due, and measures from
// outside what the simulator tells of them.
func (c *trial) run(t *testing.T, p place) *simulate.Result {
	t.Helper()
	policy := c.policy(t)
	// The first workers were a change of their number too: what that holds is over
	// when the simulator begins.
	<-time.After(max(policy.ScaleOutCooldown, policy.ScaleInCooldown))
	var r simulate.Result
	sent := make(map[string]time.Duration, len(c.load.Arrivals))
	var mu sync.Mutex // guards sent
	var sending sync.WaitGroup
	zero := time.Now()
	sending.Go(func() {
		for i := 0; i < len(c.load.Arrivals); {
			n, at := 1, c.load.Arrivals[i]
			for i+n < len(c.load.Arrivals) && c.load.Arrivals[i+n] == at && n < 10 {
				n++
			}
			i += n
			select {
			case <-time.After(time.Until(zero.Add(at))):
			case <-t.Context().Done():
				return
			}
			sending.Go(func() {
				ids, err := p.send(t.Context(), n)
				if err != nil {
					t.Errorf("%s: send: %v", c, err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, id := range ids {
					sent[id] = at
				}
			})
		}
	})
	tick := time.NewTicker(policy.Interval / 2)
	defer tick.Stop()
	last, before, still := zero, policy.Min, 0
	limit := c.load.Span + time.Duration(len(c.load.Arrivals))*c.service + 2*time.Minute
	for still < 10 {
		<-tick.C
		l, err := p.look()
		now := time.Now()
		if err != nil {
			t.Fatalf("%s: %v", c, err)
		}
		r.WorkerTime += now.Sub(last) * time.Duration(l.workers+l.retiring)
		r.MaxWorkers = max(r.MaxWorkers, l.workers)
		r.Points = append(r.Points, simulate.Point{
			At: now.Sub(zero), Waiting: l.waiting, Running: l.running, Workers: l.workers, Retiring: l.retiring, Desired: l.desired,
		})
		if l.desired != before {
			r.Changes = append(r.Changes, simulate.Change{At: now.Sub(zero), From: before, To: l.desired})
			if l.desired > before {
				r.ScaleOuts++
			} else {
				r.ScaleIns++
			}
		}
		last, before = now, l.desired
		still++
		if now.Sub(zero) < c.load.Span || l.waiting+l.running+l.retiring > 0 || l.workers > policy.Min || l.desired > policy.Min {
			still = 0
		}
		if now.Sub(zero) > limit {
			t.Fatalf("%s: not at rest after %v: %+v", c, limit, l)
		}
	}
	sending.Wait()
	r.Span, r.Slots = last.Sub(zero), 1
	begun, err := p.begun()
	if err != nil {
		t.Fatal(err)
	}
	waits := make(map[string]time.Duration, len(sent))
	for id, at := range sent {
		if began, ok := begun[id]; ok {
			waits[id] = began.Sub(zero.Add(at))
			r.Done++
		} else {
			t.Errorf("%s: message %s was never begun", c, id)
		}
	}
	r.Waits = sorted(waits)
	oldest(r.Points, zero, sent, begun)
	return &r
}

// oldest fills in how long the oldest message that was not begun waited.
func oldest(points []simulate.Point, zero time.Time, sent map[string]time.Duration, begun map[string]time.Time) {
	for i := range points {
		at := points[i].At
		for id, arrived := range sent {
			if arrived <= at && begun[id].Sub(zero) > at {
				points[i].Oldest = max(points[i].Oldest, at-arrived)
			}
		}
	}
}

// laptop is `queuemill up` with worker processes.
type laptop struct {
	up     *mill.Up
	client *sqs.Client
	queue  string // URL
	log    string // "ID NANOSECONDS" of each message that is begun
}

// newLaptop starts the pool of a manifest, with a command that writes down when it
// begins.
func newLaptop(t *testing.T, binary string, c *trial) *laptop {
	t.Helper()
	dir := t.TempDir()
	l := &laptop{log: filepath.Join(dir, "begun")}
	objects, _, err := manifest.Load(c.file)
	if err != nil {
		t.Fatal(err)
	}
	pool := objects[0].WorkerPool
	pool.TypeMeta.APIVersion, pool.TypeMeta.Kind = v1alpha1.GroupVersion.String(), "WorkerPool"
	pool.Spec.Process.Command = []string{"sh", "-c", `echo "$QUEUEMILL_MESSAGE_ID $(date +%s%N)" >> ` + l.log + `; exec sleep ` + strconv.FormatFloat(c.service.Seconds(), 'f', -1, 64)}
	text, err := yaml.Marshal(pool)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pool.yaml")
	for path, content := range map[string][]byte{file: text, l.log: nil} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l.up = mill.Start(t, mill.Options{
		Binary: binary, Data: filepath.Join(dir, "data"), Listen: mill.FreeAddress(t), SQSListen: mill.FreeAddress(t), Args: []string{"-f", file},
	})
	l.up.WaitReady(t)
	t.Cleanup(func() { l.up.Stop(t) })
	err = mill.Poll(t.Context(), time.Minute, func() (bool, error) {
		s, err := l.status()
		return err == nil && s.Workers.Ready == pool.Spec.MinWorkers, err
	})
	if err != nil {
		t.Fatalf("%d workers ready: %v\n%s", pool.Spec.MinWorkers, err, l.up.Log())
	}
	l.client = sqs.New(sqs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(l.up.SQSURL), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	out, err := l.client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(pool.Spec.Queue.SQS.Name)})
	if err != nil {
		t.Fatal(err)
	}
	l.queue = *out.QueueUrl
	return l
}

func (l *laptop) send(ctx context.Context, n int) ([]string, error) {
	return sendBatch(ctx, l.client, l.queue, n)
}

// sendBatch sends n messages, ten at most, and returns their IDs.
func sendBatch(ctx context.Context, client *sqs.Client, queue string, n int) (ids []string, err error) {
	in := &sqs.SendMessageBatchInput{QueueUrl: &queue}
	for i := range n {
		in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String("work")})
	}
	out, err := client.SendMessageBatch(ctx, in)
	if err != nil {
		return nil, err
	}
	for _, ok := range out.Successful {
		ids = append(ids, *ok.MessageId)
	}
	if len(out.Failed) > 0 {
		err = fmt.Errorf("%d of %d refused: %s", len(out.Failed), n, aws.ToString(out.Failed[0].Message))
	}
	return ids, err
}

type poolStatus struct {
	Desired  int
	Workers  struct{ Starting, Ready, Retiring int }
	Messages struct{ Visible, InFlight int }
}

func (l *laptop) status() (poolStatus, error) {
	var status struct{ WorkerPools []poolStatus }
	if err := l.up.Get("/v1/status", &status); err != nil || len(status.WorkerPools) != 1 {
		return poolStatus{}, err
	}
	return status.WorkerPools[0], nil
}

func (l *laptop) look() (look, error) {
	s, err := l.status()
	return look{
		waiting: s.Messages.Visible, running: s.Messages.InFlight,
		workers: s.Workers.Starting + s.Workers.Ready, retiring: s.Workers.Retiring, desired: s.Desired,
	}, err
}

func (l *laptop) begun() (map[string]time.Time, error) {
	file, err := os.Open(l.log)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	all := map[string]time.Time{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		id, at, _ := strings.Cut(lines.Text(), " ")
		ns, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.log, err)
		}
		if _, twice := all[id]; twice {
			return nil, fmt.Errorf("message %s was begun twice", id)
		}
		all[id] = time.Unix(0, ns)
	}
	return all, nil
}
