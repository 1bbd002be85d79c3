package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// bench are the servers, started when a row needs them, and the rows so far.
type bench struct {
	settings
	table table

	none, empty, full *process // does nothing; queues are empty; one has a million messages
	queues            int

	kube *kube // nil: not started
}

const (
	fullQueue = "million"
	mebibyte  = "MiB"
	overHTTP  = "64 connections, 1 KiB"
)

func (b *bench) close() {
	if b.kube != nil {
		b.kube.close()
	}
	for _, p := range []*process{b.none, b.empty, b.full} {
		if p != nil {
			p.kill()
		}
	}
}

// servers starts what is not there yet: a do-nothing server, one with empty
// queues and one with a million messages waiting.
func (b *bench) servers(ctx context.Context) (err error) {
	if b.none == nil {
		if b.none, err = startNothing(ctx); err != nil {
			return err
		}
	}
	if b.empty == nil {
		if b.empty, _, err = b.up(ctx, filepath.Join(b.dir, "empty")); err != nil {
			return err
		}
	}
	return b.fill(ctx)
}

// fill makes sure of the million.
func (b *bench) fill(ctx context.Context) (err error) {
	if b.full == nil {
		if b.full, _, err = b.up(ctx, filepath.Join(b.dir, "full")); err != nil {
			return err
		}
		if err := b.create(ctx, b.full, fullQueue); err != nil {
			return err
		}
	}
	n, err := b.visible(ctx, b.full, fullQueue)
	if err != nil || n >= b.waiting*9/10 {
		return err
	}
	fmt.Fprintf(os.Stderr, "filling a queue with %d messages\n", b.waiting-n)
	return prefill(b.full, fullQueue, b.waiting-n)
}

func admin(p *process) *sqs.Client {
	return sqs.New(sqs.Options{
		BaseEndpoint: aws.String("http://" + p.sqs), Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", ""),
	})
}

func (b *bench) create(ctx context.Context, p *process, name string) error {
	_, err := admin(p).CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"VisibilityTimeout": "300"}})
	return err
}

// fresh makes a queue for one round; done removes it.
func (b *bench) fresh(ctx context.Context, p *process) (name string, done func(), err error) {
	b.queues++
	name = fmt.Sprint("round-", b.queues)
	if err := b.create(ctx, p, name); err != nil {
		return "", nil, err
	}
	return name, func() {
		admin(p).DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: aws.String(p.queueURL(name))}) //nolint:errcheck // the data goes anyway
	}, nil
}

func (b *bench) visible(ctx context.Context, p *process, name string) (n int, err error) {
	out, err := admin(p).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(p.queueURL(name)), AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages},
	})
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscan(out.Attributes["ApproximateNumberOfMessages"], &n)
	return n, err
}

// prefill sends n messages, a multiple of ten.
func prefill(p *process, name string, n int) error {
	conns, err := openAll(lean{}, p.sqs, p.queueURL(name), func(conn) error { return nil })
	if err != nil {
		return err
	}
	defer closeAll(conns)
	left := atomic.Int64{}
	left.Store(int64(n))
	_, err = load(conns, 0, func() bool { return left.Add(-10) >= 0 }, func(c conn) (int, error) { return 10, c.send(10) })
	return err
}

// side is one of the things that a row compares: it does one round and returns
// its rate in messages.
type side func() (float64, error)

// rounds lets the sides take turns and returns the median rate of each.
func (b *bench) takeTurns(sides ...side) ([]float64, error) {
	rates := make([][]float64, len(sides))
	for r := range b.rounds {
		for i := range sides {
			if r%2 == 1 { // there and back, so that no side always follows the same
				i = len(sides) - 1 - i
			}
			rate, err := sides[i]()
			if err != nil {
				return nil, err
			}
			rates[i] = append(rates[i], rate)
		}
	}
	medians := make([]float64, len(sides))
	for i := range rates {
		medians[i] = median(rates[i])
	}
	return medians, nil
}

// sending is a side that sends n at a time; an empty queue name: a fresh one.
func (b *bench) sending(ctx context.Context, c client, p *process, queue string, n int) side {
	return func() (float64, error) {
		name := queue
		if name == "" {
			fresh, done, err := b.fresh(ctx, p)
			if err != nil {
				return 0, err
			}
			defer done()
			name = fresh
		}
		conns, err := openAll(c, p.sqs, p.queueURL(name), func(c conn) error { return c.send(n) })
		if err != nil {
			return 0, err
		}
		defer closeAll(conns)
		return b.watched(p, name, func() (float64, error) {
			return load(conns, b.round, nil, func(c conn) (int, error) { return n, c.send(n) })
		})
	}
}

// sends are the rows of sending n at a time.
func (b *bench) sends(ctx context.Context, name string, c client, n int, percent float64) error {
	if err := b.servers(ctx); err != nil {
		return err
	}
	rates, err := b.takeTurns(
		b.sending(ctx, c, b.none, "none", n), b.sending(ctx, c, b.empty, "", n), b.sending(ctx, c, b.full, fullQueue, n))
	if err != nil {
		return err
	}
	conditions := fmt.Sprintf("%s, %s, %s", c.name(), map[int]string{1: "single sends", 10: "batches of ten"}[n], overHTTP)
	b.table.share(name, conditions, "queue", rates[1], "do-nothing server", rates[0], percent)
	b.table.share(name+"-million", conditions+", "+thousands(float64(b.waiting))+" waiting", "full", rates[2], "empty", rates[1], 80)
	return nil
}

// cycling is a side that receives and deletes tens until n messages are gone.
func (b *bench) cycling(ctx context.Context, c client, p *process, queue string, n int) side {
	return func() (float64, error) {
		name := queue
		if name == "" {
			fresh, done, err := b.fresh(ctx, p)
			if err != nil {
				return 0, err
			}
			defer done()
			name = fresh
			if err := prefill(p, name, n+10*connections); err != nil {
				return 0, err
			}
		}
		cycle := func(c conn) (int, error) {
			got, err := c.receive(0)
			if err != nil {
				return 0, err
			}
			if got == 0 {
				return 0, fmt.Errorf("queue %s is empty before the round's end", name)
			}
			return got, c.delete()
		}
		conns, err := openAll(c, p.sqs, p.queueURL(name), func(c conn) error { _, err := cycle(c); return err })
		if err != nil {
			return 0, err
		}
		defer closeAll(conns)
		left := atomic.Int64{}
		left.Store(int64(n))
		return b.watched(p, name, func() (float64, error) {
			return load(conns, 0, func() bool { return left.Add(-10) >= 0 }, cycle)
		})
	}
}

// watched says on stderr, with -v, what a round cost each side in CPU: on a busy
// machine that tells more than a rate.
func (b *bench) watched(p *process, name string, round func() (float64, error)) (float64, error) {
	if !b.verbose {
		return round()
	}
	start, mine := time.Now(), ownCPU()
	theirs, err := cpu(p.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	rate, err := round()
	if err != nil {
		return 0, err
	}
	messages := rate * time.Since(start).Seconds()
	after, err := cpu(p.cmd.Process.Pid)
	fmt.Fprintf(os.Stderr, "  %-10s %8.0f/s, CPU per message: client %.1f µs, server %.1f µs\n",
		name, rate, micro(ownCPU()-mine)/messages, micro(after-theirs)/messages)
	return rate, err
}

func micro(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// cycles are the rows of receiving and deleting n messages in tens.
func (b *bench) cycles(ctx context.Context, name string, c client, n int) error {
	if err := b.servers(ctx); err != nil {
		return err
	}
	rates, err := b.takeTurns(
		b.sending(ctx, c, b.empty, "", 10), b.cycling(ctx, c, b.empty, "", n), b.cycling(ctx, c, b.full, fullQueue, n))
	if err != nil {
		return err
	}
	conditions := fmt.Sprintf("%s, receive ten, delete ten, %s", c.name(), overHTTP)
	b.table.share(name, conditions, "cycles", rates[1], "batched sends", rates[0], 60)
	b.table.share(name+"-million", conditions+", "+thousands(float64(b.waiting))+" waiting", "full", rates[2], "empty", rates[1], 80)
	return nil
}

// pickup is how long a message takes from the send to a receive that waits.
func (b *bench) pickup(ctx context.Context) error {
	if b.empty == nil {
		var err error
		if b.empty, _, err = b.up(ctx, filepath.Join(b.dir, "empty")); err != nil {
			return err
		}
	}
	for _, c := range []client{sdk{}, lean{}} {
		all, err := b.pickups(ctx, c)
		if err != nil {
			return err
		}
		p50, p99 := percentile(all, 0.5), percentile(all, 0.99)
		b.table.most("pickup-"+map[client]string{sdk{}: "sdk", lean{}: "lean"}[c],
			fmt.Sprintf("%s, idle queue, one receive waits, %d sends", c.name(), len(all)),
			fmt.Sprintf("p50 %.2f ms, p99 %.2f ms", p50, p99), p99, 5, "ms")
	}
	return nil
}

func (b *bench) pickups(ctx context.Context, c client) (all []time.Duration, err error) {
	name, done, err := b.fresh(ctx, b.empty)
	if err != nil {
		return nil, err
	}
	defer done()
	sender, err := c.open(b.empty.sqs, b.empty.queueURL(name))
	if err != nil {
		return nil, err
	}
	defer sender.close()
	receiver, err := c.open(b.empty.sqs, b.empty.queueURL(name))
	if err != nil {
		return nil, err
	}
	defer receiver.close()
	for i := range 1020 {
		got := make(chan error, 1)
		var at time.Time
		go func() {
			n, err := receiver.receive(20)
			at = time.Now()
			if err == nil && n != 1 {
				err = fmt.Errorf("received %d messages, want 1", n)
			}
			got <- err
		}()
		time.Sleep(2*time.Millisecond + rand.N(3*time.Millisecond)) // until it waits
		start := time.Now()
		if err := sender.send(1); err != nil {
			return nil, err
		}
		if err := <-got; err != nil {
			return nil, err
		}
		if i >= 20 { // the first ones warm up
			all = append(all, at.Sub(start))
		}
		if err := receiver.delete(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// million is what a million waiting messages cost in memory and at a restart.
func (b *bench) million(ctx context.Context) error {
	if err := b.fill(ctx); err != nil {
		return err
	}
	before, err := b.visible(ctx, b.full, fullQueue)
	if err != nil {
		return err
	}
	filled, err := memory(b.full.cmd.Process.Pid)
	if err != nil {
		return err
	}
	b.full.kill()
	var took time.Duration
	if b.full, took, err = b.up(ctx, b.full.dir); err != nil {
		return err
	}
	start := time.Now()
	after, err := b.visible(ctx, b.full, fullQueue)
	if err != nil {
		return err
	}
	took += time.Since(start)
	if after != before {
		return fmt.Errorf("%d messages are there after the restart, %d were before", after, before)
	}
	restarted, err := memory(b.full.cmd.Process.Pid)
	if err != nil {
		return err
	}
	conditions := fmt.Sprintf("%d messages of 1 KiB waiting", before)
	b.table.most("million-memory", conditions, fmt.Sprintf("%.0f MiB when filled, %.0f MiB after a restart", filled, restarted), max(filled, restarted), 600, mebibyte)
	b.table.most("million-restart", conditions, "from kill -9 to the first answer", took.Seconds(), 10, "s")
	return nil
}
