package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
)

const (
	// pollEvery is how often readiness is looked at.
	pollEvery = 30 * time.Millisecond
	// requestTimeout is for one such look.
	requestTimeout = 5 * time.Second
	// logTail is how much of a log an error shows, bytes.
	logTail = 2000
)

// process is one part of the cluster.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	pid  string // a file with its PID, there while it runs
	done chan struct{}
}

// launch starts one of the cluster's programs, its output in log/NAME.log. It
// dies with this process.
func (c *Cluster) launch(name string, args ...string) (*process, error) {
	return c.launchAs(name, exec.Command(c.Bin(name), args...))
}

// launchAs starts cmd as the part called name.
func (c *Cluster) launchAs(name string, cmd *exec.Cmd) (*process, error) {
	p := &process{name: name, cmd: cmd, log: c.path("log", name+".log"), pid: c.path("run", name+".pid"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer out.Close()
	if cmd.Dir == "" {
		cmd.Dir = c.dir
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := startBound(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := os.WriteFile(p.pid, []byte(strconv.Itoa(cmd.Process.Pid)), 0o600); err != nil {
		err = errors.Join(fmt.Errorf("start %s: %w", name, err), cmd.Process.Kill())
		_ = cmd.Wait() // killed
		return nil, err
	}
	go p.reap()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, old := range c.procs {
		if old.name == name {
			c.procs[i] = p
			return p, nil
		}
	}
	c.procs = append(c.procs, p)
	return p, nil
}

// process is the part called name, nil where there is none.
func (c *Cluster) process(name string) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.procs {
		if p.name == name {
			return p
		}
	}
	return nil
}

func (p *process) reap() {
	_ = p.cmd.Wait() // how it ended is in its log
	_ = os.Remove(p.pid)
	close(p.done)
}

// kill ends the process and waits for it.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// await calls ready until it returns nil. The process's end and ctx's are
// errors.
func (p *process) await(ctx context.Context, ready func(context.Context) error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		once, cancel := context.WithTimeout(ctx, requestTimeout)
		err := ready(once)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("%s ended (%v) before it was ready; its log ends with:\n%s", p.name, p.cmd.ProcessState, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (%w); its log ends with:\n%s", p.name, ctx.Err(), err, p.tail())
		}
	}
}

// tail is the end of the process's log.
func (p *process) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	if len(b) > logTail {
		b = b[len(b)-logTail:]
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			b = b[i+1:]
		}
	}
	return string(bytes.TrimSpace(b))
}
