package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const (
	onCreateQueue  = "on-create"
	onSuccessQueue = "on-success"

	// maxReceives leaves room for a message that was in hand at several kills.
	maxReceives = 4
)

// jobTemplate runs nothing: the kubelet that stands in ends its pods.
const jobTemplate = `
kubernetes:
  jobTemplate:
    spec:
      backoffLimit: 0
      template:
        spec:
          restartPolicy: Never
          containers: [{name: job, image: job}]
`

const numbered = `
message:
  format: [json]
  env: [{name: NUMBER, fieldPath: number}]
successfulJobsHistoryLimit: 1000000
failedJobsHistoryLimit: 1000000
maxActive: 400
`

// TestExactlyOnce kills one of two controllers again and again, lets both
// believe that they lead, restarts the API server, lets deletes fail and come to
// nothing, under both modes of ack, and then accounts for every message.
func TestExactlyOnce(t *testing.T) {
	t.Logf("%d kills under %d and %d messages; again with: -kills %d -messages %d -settled %d -seed %d",
		*kills, *messages, *settled, *kills, *messages, *settled, *seed)
	random := rand.New(rand.NewPCG(*seed, 1))
	tasks := slices.Concat(
		makeTasks(0, *messages, onCreateQueue, false, random),
		makeTasks(*messages, *settled, onSuccessQueue, true, random),
	)
	random.Shuffle(len(tasks), func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })

	w := newWorld(t, planFor(tasks).of)
	w.sqs.set(func(s *endpoint) { s.failing, s.duplicates = 0.1, 5 })
	w.sqs.queue(t, onCreateQueue, 0)
	w.sqs.queue(t, onSuccessQueue, maxReceives)
	w.create(w.queueJob("creates", onCreateQueue, "ack: OnCreate"+numbered+jobTemplate))
	w.create(w.queueJob("succeeds", onSuccessQueue, "ack: OnSuccess"+numbered+jobTemplate))

	p := &pair{w: w, random: random}
	p.start(0, true)
	p.start(1, true)
	sent := make(chan error, 1)
	go func() { sent <- w.sqs.sendEvenly(t.Context(), tasks, time.Duration(*kills)*1300*time.Millisecond) }()
	for i := range *kills {
		switch i {
		case *kills / 5, *kills * 3 / 5:
			p.usurp()
		case *kills * 2 / 5, *kills * 4 / 5:
			p.note("the API server is restarted")
			from := time.Now()
			if err := plane.RestartAPIServer(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.outages = append(p.outages, outage{from, time.Now()})
		}
		p.killOne()
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	p.revive()
	w.finish(p, tasks)
	w.account(p, tasks)
}

// revive kills both controllers, lets the visibility of what was in their hands
// end as if minutes had passed, and starts them.
func (p *pair) revive() {
	p.kill(0)
	p.kill(1)
	t := p.w.t
	jobs, _ := p.w.seen.byMessage()
	n := p.w.sqs.expire(t, onCreateQueue, func(fate) bool { return true })
	// Not the last receive of a message that has a job: the queue would make a
	// dead letter of it while the job runs, as it would if it was SQS.
	n += p.w.sqs.expire(t, onSuccessQueue, func(f fate) bool { return len(jobs[f.id]) == 0 || f.receives < maxReceives })
	p.note("the visibility of %d messages ends", n)
	p.start(0, true)
	p.start(1, true)
}

// finish waits until the queues are empty but for dead letters, and every Job
// has ended.
func (w *world) finish(p *pair, tasks []*task) {
	w.t.Helper()
	began := time.Now()
	tick := time.NewTicker(500 * time.Millisecond) // a look at all Jobs is not for nothing
	defer tick.Stop()
	for {
		left := w.unfinished()
		if left == "" {
			break
		}
		if time.Since(began) > 8*time.Minute {
			w.t.Fatalf("%v after the last kill: %s; Jobs: %s; what was done:\n%s\n%s\n%s",
				time.Since(began).Round(time.Second), left, w.seen.counts(), p.around(), w.conditions(), p.logs())
		}
		<-tick.C
	}
	w.t.Logf("all of %d messages done %v after the last of %d kills", len(tasks), time.Since(began).Round(time.Second), p.kills)
}

// unfinished is what is still to be done, "" when nothing.
func (w *world) unfinished() string {
	for _, name := range []string{onCreateQueue, onSuccessQueue} {
		if w.sqs.get(w.t, name).Depth().Total() > 0 {
			return fmt.Sprintf("queue %s holds %s", name, w.sqs.depth(w.t, name))
		}
	}
	for _, j := range w.seen.all() {
		if !j.gone && phase(j.Job) == "unfinished" {
			return fmt.Sprintf("job %s is unfinished", j.Name)
		}
	}
	return ""
}
