package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	noopJobs   = 2000
	maxActive  = 32
	idleQueues = 20
)

// manifest is a QueueJob that runs true.
func manifest(name string, suspend bool) string {
	return fmt.Sprintf(`apiVersion: queuemill.dev/v1alpha1
kind: QueueJob
metadata: {name: %s}
spec:
  queue: {sqs: {name: %s}}
  suspend: %v
  maxActive: %d
  successfulJobsHistoryLimit: %d
  process: {command: ["/bin/true"]}
`, name, name, suspend, maxActive, 10*noopJobs)
}

// jobs compares no-op jobs with xargs starting the same program.
func (b *bench) jobs(ctx context.Context) error {
	file := filepath.Join(b.dir, "noop.yaml")
	if err := os.WriteFile(file, []byte(manifest("noop", true)), 0o644); err != nil {
		return err
	}
	rates, err := b.takeTurns(
		func() (float64, error) { return xargs(ctx) },
		func() (float64, error) { return b.noops(ctx, file) })
	if err != nil {
		return err
	}
	b.table.share("jobs", fmt.Sprintf("%d messages, /bin/true, %d at a time, records and logs kept", noopJobs, maxActive),
		"jobs", rates[1], fmt.Sprintf("xargs -P %d -n 1", maxActive), rates[0], 100)
	return nil
}

func xargs(ctx context.Context) (float64, error) {
	cmd := exec.CommandContext(ctx, "xargs", "-P", fmt.Sprint(maxActive), "-n", "1", "/bin/true")
	var words strings.Builder
	for i := range noopJobs {
		fmt.Fprintln(&words, i)
	}
	cmd.Stdin = strings.NewReader(words.String())
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("xargs: %w: %s", err, out)
	}
	return noopJobs / time.Since(start).Seconds(), nil
}

// noops is the rate from the resume of a queue that has its messages to the
// last job's success.
func (b *bench) noops(ctx context.Context, file string) (float64, error) {
	b.queues++
	p, _, err := b.up(ctx, filepath.Join(b.dir, fmt.Sprint("noop-", b.queues)), "-f", file)
	if err != nil {
		return 0, err
	}
	defer p.kill()
	if err := prefill(p, "noop", noopJobs); err != nil {
		return 0, err
	}
	start := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.api+"/v1/queuejobs/noop/resume", nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("resume: %s", answer.Status)
	}
	for {
		var job struct {
			Jobs struct{ Succeeded, Failed int }
		}
		if err := get(ctx, p.api+"/v1/queuejobs/noop", &job); err != nil {
			return 0, err
		}
		switch done := job.Jobs.Succeeded; {
		case job.Jobs.Failed > 0:
			return 0, fmt.Errorf("%d jobs failed", job.Jobs.Failed)
		case done >= noopJobs:
			return noopJobs / time.Since(start).Seconds(), nil
		case time.Since(start) > time.Minute:
			return 0, fmt.Errorf("%d of %d jobs were done after a minute", done, noopJobs)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func get(ctx context.Context, url string, to any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(to)
}

// idle is what `up` with twenty QueueJobs costs while nothing happens.
func (b *bench) idle(ctx context.Context) error {
	var all []string
	for i := range idleQueues {
		all = append(all, manifest(fmt.Sprint("idle-", i), false))
	}
	file := filepath.Join(b.dir, "idle.yaml")
	if err := os.WriteFile(file, []byte(strings.Join(all, "---\n")), 0o644); err != nil {
		return err
	}
	p, _, err := b.up(ctx, filepath.Join(b.dir, "idle"), "-f", file)
	if err != nil {
		return err
	}
	defer p.kill()
	pid := p.cmd.Process.Pid
	time.Sleep(min(b.settings.idle, 5*time.Second)) // the start is over
	before, err := cpu(pid)
	if err != nil {
		return err
	}
	time.Sleep(b.settings.idle)
	after, err := cpu(pid)
	if err != nil {
		return err
	}
	total, err := memory(pid)
	if err != nil {
		return err
	}
	var each []string
	for _, id := range tree(pid) {
		kib, err := kibField(fmt.Sprintf("/proc/%d/status", id), "VmRSS")
		if err != nil {
			return err
		}
		each = append(each, fmt.Sprintf("%.0f", kib/1024))
	}
	conditions := fmt.Sprintf("up with %d queues and QueueJobs, nothing to do", idleQueues)
	b.table.most("idle-memory", conditions, fmt.Sprintf("controller and supervisor %s MiB RSS, the binary's pages counted once", strings.Join(each, " + ")), total, 40, mebibyte)
	b.table.most("idle-cpu", conditions, fmt.Sprintf("over %v", b.settings.idle), float64((after-before).Microseconds())/1000, 20, "ms")
	return nil
}
