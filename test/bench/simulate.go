package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const simulatedPool = `apiVersion: queuemill.dev/v1alpha1
kind: WorkerPool
metadata: {name: bench}
spec:
  queue: {sqs: {name: bench}}
  maxWorkers: 100
  scaling: {backlogPerWorker: 5}
  process: {command: ["true"]}
`

// simulateDay takes the time of `queuemill simulate` on a day of a million
// messages, the program's start and the same load always on included.
func (b *bench) simulateDay(ctx context.Context) error {
	manifest := filepath.Join(b.dir, "simulated.yaml")
	if err := os.WriteFile(manifest, []byte(simulatedPool), 0o600); err != nil {
		return err
	}
	var took []float64
	for range b.rounds {
		began := time.Now()
		cmd := exec.CommandContext(ctx, b.binary, "simulate", "-f", manifest, "--day", "1000000", "--service", "exp:1s", "--start-up", "fargate")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		took = append(took, time.Since(began).Seconds())
	}
	b.table.most("simulate-day", "a million messages, up to 100 workers, a sample every 2 s", "two simulations of 24 h", median(took), 10, "s")
	return nil
}
