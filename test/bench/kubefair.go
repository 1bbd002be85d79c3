package main

import (
	"context"
	"fmt"
	"time"
)

const (
	steadyEvery = 250 * time.Millisecond // of the QueueJob with a message now and then
	steadyAlone = 60                     // messages of it without a burst beside it
	unfinished  = 10_000
	takeovers   = 5
)

// kubeFair is what another QueueJob's burst does to one with a message now and then.
func (b *bench) kubeFair(ctx context.Context) error {
	k, c, steady, err := b.kubeWith(ctx, "steady")
	if err != nil {
		return err
	}
	defer c.kill()
	var alone, beside []time.Duration
	for range steadyAlone {
		if alone, err = k.steady(ctx, steady, alone); err != nil {
			return err
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := k.messageBurst(ctx, 100)
		done <- err
	}()
	for running := true; running; {
		if beside, err = k.steady(ctx, steady, beside); err != nil {
			return err
		}
		select {
		case err := <-done:
			if err != nil {
				return err
			}
			running = false
		default:
		}
	}
	before, during := percentile(alone, .99), percentile(beside, .99)
	b.table.most("kube-fair", fmt.Sprintf("%s, a message every %v beside another QueueJob's burst of %d", controlPlane, steadyEvery, burst),
		fmt.Sprintf("message to Job, p99: %.1f ms alone (%d messages), %.1f ms beside (%d)", before, len(alone), during, len(beside)),
		during/before, 2, "times")
	return k.sweep(ctx)
}

// steady sends one message when it is time and adds how long its Job took.
func (k *kube) steady(ctx context.Context, q *kubeQueue, all []time.Duration) ([]time.Duration, error) {
	next := time.NewTimer(steadyEvery)
	defer next.Stop()
	id, began, err := q.send(ctx)
	if err != nil {
		return nil, err
	}
	at, err := k.jobs.ofMessage(ctx, id)
	<-next.C
	return append(all, at.Sub(began)), err
}

// kubeMemory is what the controller has in memory, idle and with many
// unfinished Jobs.
func (b *bench) kubeMemory(ctx context.Context) error {
	k, c, q, err := b.kubeWith(ctx, "memory")
	if err != nil {
		return err
	}
	defer c.kill()
	settle := min(b.settings.idle, 20*time.Second)
	time.Sleep(settle)
	mib, err := memory(c.cmd.Process.Pid)
	if err != nil {
		return err
	}
	b.table.most("kube-memory-idle", "controller with one QueueJob and one Job", fmt.Sprintf("RSS after %v", settle), mib, 60, mebibyte)
	if err := prefill(k.sqs, q.name, unfinished); err != nil {
		return err
	}
	if _, err := k.jobs.count(ctx, q.name, unfinished+1); err != nil {
		return err
	}
	time.Sleep(settle)
	if mib, err = memory(c.cmd.Process.Pid); err != nil {
		return err
	}
	peak, err := kibField(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid), "VmHWM")
	if err != nil {
		return err
	}
	b.table.most("kube-memory-unfinished", fmt.Sprintf("%s unfinished Jobs with bodies of 1 KiB", thousands(unfinished)),
		fmt.Sprintf("RSS after %v, %.0f MiB at its highest", settle, peak/1024), mib, 200, mebibyte)
	return k.sweep(ctx)
}

// kubeFailover is how long no Job is made after the leader was killed.
func (b *bench) kubeFailover(ctx context.Context) error {
	k, err := b.kubernetes(ctx)
	if err != nil {
		return err
	}
	leader, err := k.controller(ctx, "--leader-elect")
	if err != nil {
		return err
	}
	defer func() { leader.kill() }()
	q, err := k.queueJob(ctx, "failover", false)
	if err != nil {
		return err
	}
	if err := k.awaitReady(ctx, q); err != nil {
		return err
	}
	var gaps []time.Duration
	for range takeovers {
		follower, err := k.controller(ctx, "--leader-elect")
		if err != nil {
			return err
		}
		time.Sleep(2 * time.Second) // its caches are warm
		leader.kill()
		killed := time.Now()
		leader = follower
		id, _, err := q.send(ctx)
		if err != nil {
			return err
		}
		at, err := k.jobs.ofMessage(ctx, id)
		if err != nil {
			return err
		}
		gaps = append(gaps, at.Sub(killed))
	}
	b.table.most("kube-failover", fmt.Sprintf("the leader gets SIGKILL, %d times; a follower stands by", takeovers),
		fmt.Sprintf("to the next message's Job: p50 %.0f ms, longest %.0f ms", percentile(gaps, .5), percentile(gaps, 1)),
		percentile(gaps, 1)/1000, 5, "s")
	return k.sweep(ctx)
}
