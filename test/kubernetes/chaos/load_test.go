package chaos

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/test/cluster/fakekubelet"
)

// task is one message and what its job does.
type task struct {
	Number int    `json:"number"`
	Kind   string `json:"kind"` // ok, slow, fail (always), flaky (the first time)
	Millis int    `json:"ms"`   // how long a run takes

	queue     string
	messageID string
}

// makeTasks makes n tasks for a queue, numbered from first. With failing, some
// of them fail. The seed settles all.
func makeTasks(first, n int, queue string, failing bool, random *rand.Rand) []*task {
	tasks := make([]*task, n)
	for i := range tasks {
		k := &task{Number: first + i, Kind: "ok", queue: queue}
		switch p := random.IntN(100); {
		case failing && p < 5 && i < n/2: // the last of many attempts has to come in time
			k.Kind = "fail"
		case failing && p < 12:
			k.Kind, k.Millis = "flaky", random.IntN(200)
		case p < 25:
			k.Kind, k.Millis = "slow", 100+random.IntN(2000)
		}
		tasks[i] = k
	}
	return tasks
}

// body is the message's.
func (k *task) body() string {
	text, err := json.Marshal(k)
	if err != nil {
		panic(err) // numbers and text
	}
	return string(text)
}

// plans lets pods run as their tasks say. How often a task ran it counts itself.
type plans struct {
	mu    sync.Mutex
	tasks map[string]*task // by number
	ran   map[string]int
}

func planFor(tasks []*task) *plans {
	p := &plans{tasks: map[string]*task{}, ran: map[string]int{}}
	for _, k := range tasks {
		p.tasks[strconv.Itoa(k.Number)] = k
	}
	return p
}

func (p *plans) of(pod *corev1.Pod) fakekubelet.Plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	number := envOf(pod, "NUMBER")
	k := p.tasks[number]
	if k == nil {
		return fakekubelet.Plan{ExitCode: 99, Message: "no such task: " + number}
	}
	p.ran[number]++
	plan := fakekubelet.Plan{For: time.Duration(k.Millis) * time.Millisecond}
	if k.Kind == "fail" || k.Kind == "flaky" && p.ran[number] == 1 {
		plan.ExitCode = 3
	}
	return plan
}

// sendEvenly sends the tasks, in batches of ten spread over the time.
func (s *endpoint) sendEvenly(ctx context.Context, tasks []*task, over time.Duration) error {
	const batch = 10
	tick := time.NewTicker(max(time.Millisecond, over*batch/time.Duration(len(tasks))))
	defer tick.Stop()
	for next := 0; next < len(tasks); next += batch {
		some := tasks[next:min(next+batch, len(tasks))]
		byQueue := map[string][]*task{}
		for _, k := range some {
			byQueue[k.queue] = append(byQueue[k.queue], k)
		}
		for name, those := range byQueue {
			if err := s.sendBatch(ctx, name, those); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *endpoint) sendBatch(ctx context.Context, name string, tasks []*task) error {
	q, err := s.broker.Queue("us-east-1", name)
	if err != nil {
		return err
	}
	out := make([]queue.Outgoing, len(tasks))
	for i, k := range tasks {
		out[i].Body = k.body()
	}
	for i, r := range q.AsQueue().Send(ctx, out) {
		if r.Err != nil {
			return r.Err
		}
		tasks[i].messageID = r.ID
	}
	return nil
}
