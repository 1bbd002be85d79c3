package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	passedStep  = 10_000 // messages that pass before the controller is looked at first
	passedSteps = 5
	finishers   = 16
	passedKept  = 100 // successfulJobsHistoryLimit
)

// kubePassed is what is left in the controller's memory of messages whose Jobs
// have come, succeeded and gone.
func (b *bench) kubePassed(ctx context.Context) error {
	k, err := b.kubernetes(ctx)
	if err != nil {
		return err
	}
	c, err := k.controller(ctx)
	if err != nil {
		return err
	}
	defer c.kill()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	created := make(chan string, passedStep*passedSteps+1)
	k.jobs.mu.Lock()
	k.jobs.created, k.jobs.createdOf = created, "passed"
	k.jobs.mu.Unlock()
	g, finishing := errgroup.WithContext(ctx)
	for range finishers {
		g.Go(func() error { return k.finish(finishing, created) })
	}

	q, err := k.queueJob(ctx, "passed", false, "deduplicationWindow: 1s", fmt.Sprintf("successfulJobsHistoryLimit: %d", passedKept))
	if err != nil {
		return err
	}
	if err := k.awaitReady(ctx, q); err != nil {
		return err
	}
	var after []float64
	for step := range passedSteps {
		if err := prefill(k.sqs, q.name, passedStep); err != nil {
			return err
		}
		if _, err := k.jobs.count(ctx, q.name, (step+1)*passedStep+1); err != nil {
			return err
		}
		if err := k.jobs.await(ctx, "their Jobs are gone", func(j *jobWatch) bool { return len(j.all) <= passedKept }); err != nil {
			return err
		}
		time.Sleep(min(b.settings.idle, 10*time.Second))
		mib, err := memory(c.cmd.Process.Pid)
		if err != nil {
			return err
		}
		after = append(after, mib)
	}
	stop()
	if err := g.Wait(); err != nil {
		return err
	}
	first, last := after[0], after[len(after)-1]
	b.table.most("kube-passed", fmt.Sprintf("Jobs that are created, succeed and are pruned, %d kept, 1 KiB bodies", passedKept),
		fmt.Sprintf("RSS %.1f MiB after %s messages, %.1f MiB after %s", first, thousands(passedStep), last, thousands(passedStep*passedSteps)),
		last/first, 1.1, "times")
	return k.sweep(context.WithoutCancel(ctx))
}

// finish says of the Jobs that they have succeeded, as the controller that
// their managedBy names would.
func (k *kube) finish(ctx context.Context, names <-chan string) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case name := <-names:
			now := time.Now().UTC().Format(time.RFC3339)
			patch := fmt.Sprintf(`{"status":{"startTime":%q,"completionTime":%q,"succeeded":1,"conditions":[
				{"type":"SuccessCriteriaMet","status":"True","reason":"CompletionsReached","lastTransitionTime":%q},
				{"type":"Complete","status":"True","reason":"CompletionsReached","lastTransitionTime":%q}]}}`, now, now, now, now)
			_, err := k.client.BatchV1().Jobs(kubeNamespace).Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("finish job %s: %w", name, err)
			}
		}
	}
}
