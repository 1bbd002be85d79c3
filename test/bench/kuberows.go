package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	burst         = 5000
	singles       = 500
	plainWorkers  = 64
	controlPlane  = "real control plane, etcd with fsync, Jobs that nobody runs, 1 KiB bodies"
	lookEvery     = 20 * time.Millisecond
	betweenSingle = 20 * time.Millisecond
)

// kubeLatency compares a message's way to its Job with a bare create.
func (b *bench) kubeLatency(ctx context.Context) error {
	k, c, q, err := b.kubeWith(ctx, "latency")
	if err != nil {
		return err
	}
	defer c.kill()
	like, err := k.like(ctx, q.name)
	if err != nil {
		return err
	}
	var messages, creates []time.Duration
	for i := range singles {
		id, began, err := q.send(ctx)
		if err != nil {
			return err
		}
		at, err := k.jobs.ofMessage(ctx, id)
		if err != nil {
			return err
		}
		messages = append(messages, at.Sub(began))
		time.Sleep(betweenSingle) // what follows the create is over
		name := fmt.Sprint("bare-", i)
		if began, err = k.create(ctx, like, name); err != nil {
			return err
		}
		if at, err = k.jobs.named(ctx, name); err != nil {
			return err
		}
		creates = append(creates, at.Sub(began))
		time.Sleep(betweenSingle)
	}
	for _, p := range []struct {
		name  string
		part  float64
		bound float64
	}{{"kube-latency-p50", .5, 15}, {"kube-latency-p99", .99, 20}} {
		message, create := percentile(messages, p.part), percentile(creates, p.part)
		b.table.most(p.name, fmt.Sprintf("%s, idle controller, %d messages and creates in turn, from the call to the watch event", controlPlane, singles),
			fmt.Sprintf("message sent to Job %.1f ms, bare create %.1f ms", message, create), message-create, p.bound, "ms above")
	}
	return k.sweep(ctx)
}

// kubeBurst compares a backlog with a plain client that creates the same Jobs
// under the same watchers, and what either does to a bystander.
func (b *bench) kubeBurst(ctx context.Context) error {
	k, c, first, err := b.kubeWith(ctx, "first")
	if err != nil {
		return err
	}
	defer c.kill()
	like, err := k.like(ctx, first.name)
	if err != nil {
		return err
	}
	alone, err := k.bystander(ctx, 5*time.Second)
	if err != nil {
		return err
	}
	var rates [2][]float64
	var looks [2][]time.Duration
	for round := range min(b.rounds, 3) {
		sides := [2]func(context.Context, int) (float64, error){
			func(ctx context.Context, n int) (float64, error) { return k.plainBurst(ctx, like, n) },
			k.messageBurst,
		}
		for i := range sides {
			if round%2 == 1 {
				i = 1 - i
			}
			stop, done := make(chan struct{}), make(chan error, 1)
			go func() {
				seen, err := k.look(ctx, stop)
				looks[i] = append(looks[i], seen...)
				done <- err
			}()
			before, requests := k.work(c), k.requests(ctx)
			rate, err := sides[i](ctx, round)
			spent, made := k.work(c).since(before), requestsOf(requests, k.requests(ctx), burst)
			close(stop)
			if lookErr := <-done; err == nil {
				err = lookErr
			}
			if err != nil {
				return err
			}
			rates[i] = append(rates[i], rate)
			if b.verbose {
				fmt.Fprintf(os.Stderr, "round %d, %s: %.0f/s, CPU for each: %s; requests for each: %s\n",
					round, []string{"plain", "messages"}[i], rate, spent.each(burst), made)
			}
			if err := k.sweep(ctx); err != nil {
				return err
			}
		}
	}
	conditions := fmt.Sprintf("%s, %d messages, from resume to the last watch event; plain client-go with %d workers", controlPlane, burst, plainWorkers)
	b.table.share("kube-burst", conditions, "messages", median(rates[1]), "plain client-go", median(rates[0]), 85)
	quiet, plainly, ours := percentile(alone, .99), percentile(looks[0], .99), percentile(looks[1], .99)
	measured := fmt.Sprintf("p99 of a GET every %v: %.1f ms, under plain creates %.1f ms, alone %.1f ms", lookEvery, ours, plainly, quiet)
	b.table.most("kube-bystander", conditions+"; against the plain burst", measured, ours/plainly, 2, "times")
	b.table.most("kube-bystander-idle", conditions+"; against an idle cluster", measured, ours/quiet, 2, "times")
	return k.sweep(ctx)
}

// messageBurst is the rate from the resume of a QueueJob with a backlog to its
// last Job.
func (k *kube) messageBurst(ctx context.Context, round int) (float64, error) {
	name := fmt.Sprint("burst-", round)
	if _, err := k.queueJob(ctx, name, true); err != nil {
		return 0, err
	}
	if err := prefill(k.sqs, name, burst); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := k.resume(ctx, name); err != nil {
		return 0, err
	}
	at, err := k.jobs.count(ctx, name, burst)
	return burst / at.Sub(began).Seconds(), err
}

// plainBurst creates as many by hand.
func (k *kube) plainBurst(ctx context.Context, like *batchv1.Job, round int) (float64, error) {
	k.jobs.mu.Lock()
	before := k.jobs.counts[plain]
	k.jobs.mu.Unlock()
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, plainWorkers)
	began := time.Now()
	for range plainWorkers {
		wg.Go(func() {
			for n := next.Add(1); n <= burst; n = next.Add(1) {
				if _, err := k.create(ctx, like, fmt.Sprintf("plain-%d-%d", round, n)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
	}
	at, err := k.jobs.count(ctx, plain, before+burst)
	return burst / at.Sub(began).Seconds(), err
}

// bystander looks for a while.
func (k *kube) bystander(ctx context.Context, d time.Duration) ([]time.Duration, error) {
	stop := make(chan struct{})
	timer := time.AfterFunc(d, func() { close(stop) })
	defer timer.Stop()
	return k.look(ctx, stop)
}

// look GETs a small object again and again, with a client of its own.
func (k *kube) look(ctx context.Context, stop <-chan struct{}) (all []time.Duration, err error) {
	client, err := kubernetes.NewForConfig(clientConfig(k.cluster.Config()))
	if err != nil {
		return nil, err
	}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return all, nil
		case <-ticker.C:
		}
		began := time.Now()
		if _, err := client.CoreV1().ConfigMaps(kubeNamespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{}); err != nil {
			return nil, err
		}
		all = append(all, time.Since(began))
	}
}
