package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	burstMessages = 40
	burstLimit    = 3.0 // seconds
	burstPatience = time.Minute
)

// burstPool is a pool at its default interval, whose messages take a second.
const burstPool = `apiVersion: queuemill.dev/v1alpha1
kind: WorkerPool
metadata: {name: burst}
spec:
  queue: {sqs: {name: burst}}
  minWorkers: %d
  maxWorkers: 8
  scaling: {backlogPerWorker: 5, scaleInCooldown: 0s}
  process: {command: [sleep, "1"]}
`

// poolBurst measures from the answer to the first message of a burst to the
// moment at which the API tells a larger desired number.
func (b *bench) poolBurst(ctx context.Context) error {
	for _, least := range []int{1, 0} {
		took, err := b.bursts(ctx, least)
		if err != nil {
			return fmt.Errorf("min %d: %w", least, err)
		}
		slices.Sort(took)
		b.table.most("pool-burst", fmt.Sprintf("%d messages at once, pool at %d workers, default interval", burstMessages, least),
			fmt.Sprintf("first message → desired > %d, median %.2f s, worst of %d below", least, took[len(took)/2], len(took)),
			took[len(took)-1], burstLimit, "s")
	}
	return nil
}

// bursts are b.rounds bursts, each at another moment between two looks at the
// queue.
func (b *bench) bursts(ctx context.Context, least int) ([]float64, error) {
	file := filepath.Join(b.dir, fmt.Sprintf("burst-%d.yaml", least))
	if err := os.WriteFile(file, fmt.Appendf(nil, burstPool, least), 0o644); err != nil {
		return nil, err
	}
	p, _, err := b.up(ctx, filepath.Join(b.dir, fmt.Sprintf("burst-%d", least)), "-f", file)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	var took []float64
	for range b.rounds {
		if _, err := awaitPool(ctx, p, func(s poolState) bool {
			return s.Desired == least && s.Workers.Ready == least && s.Workers.Retiring == 0
		}); err != nil {
			return nil, fmt.Errorf("before a burst: %w", err)
		}
		time.Sleep(rand.N(2 * time.Second))
		first, err := sendBurst(ctx, p)
		if err != nil {
			return nil, err
		}
		at, err := awaitPool(ctx, p, func(s poolState) bool { return s.Desired > least })
		if err != nil {
			return nil, fmt.Errorf("after a burst: %w", err)
		}
		took = append(took, at.Sub(first).Seconds())
		if b.verbose {
			fmt.Fprintf(os.Stderr, "  min %d: %.2f s\n", least, took[len(took)-1])
		}
	}
	return took, nil
}

// sendBurst returns when its first message was answered.
func sendBurst(ctx context.Context, p *process) (first time.Time, err error) {
	for range burstMessages {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.queueURL("burst"), strings.NewReader("Action=SendMessage&MessageBody=x"))
		if err != nil {
			return first, err
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return first, err
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return first, fmt.Errorf("send: %s", answer.Status)
		}
		if first.IsZero() {
			first = time.Now()
		}
	}
	return first, nil
}

// poolState is what the API tells of the pool.
type poolState struct {
	Name    string
	Desired int
	Workers struct{ Ready, Retiring int }
}

// awaitPool returns when the API told what was waited for.
func awaitPool(ctx context.Context, p *process, done func(poolState) bool) (time.Time, error) {
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		var status struct{ WorkerPools []poolState }
		if err := get(ctx, p.api+"/v1/status", &status); err != nil {
			return start, err
		}
		switch {
		case len(status.WorkerPools) == 1 && done(status.WorkerPools[0]):
			return time.Now(), nil
		case time.Since(start) > burstPatience:
			return start, fmt.Errorf("the pool is as it was for %v: %+v", burstPatience, status.WorkerPools)
		}
	}
}
