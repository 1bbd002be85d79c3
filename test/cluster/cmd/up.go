package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/queuemill/queuemill/test/cluster"
)

// serveCommand is up's own: the process that stays.
const serveCommand = "serve"

const pollEvery = 50 * time.Millisecond

// up starts the process that serves the cluster and waits until it is ready, or
// finds it so.
func up(ctx context.Context, h home, nodes int) error {
	pid, err := h.server()
	if err != nil {
		return err
	}
	if pid != 0 {
		told, err := os.ReadFile(h.log) // to whom started it
		if err != nil {
			return fmt.Errorf("follow the cluster's start: %w", err)
		}
		return awaitReady(ctx, h, nodes, len(told), nil)
	}
	server, ended, err := detach(h, nodes)
	if err != nil {
		return err
	}
	err = awaitReady(ctx, h, nodes, 0, ended)
	if ctx.Err() != nil { // interrupted: nothing stays behind
		_ = server.Signal(syscall.SIGTERM) // it may have ended
		<-ended
	}
	return err
}

// detach starts this program again, apart from the terminal. What it says goes
// to h.log; its end is told.
func detach(h home, nodes int) (server *os.Process, end <-chan error, err error) {
	_ = os.Remove(h.nodes) // of an earlier cluster
	self, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("start the cluster: %w", err)
	}
	out, err := os.Create(h.log)
	if err != nil {
		return nil, nil, fmt.Errorf("start the cluster: %w", err)
	}
	defer out.Close()
	cmd := exec.Command(self, serveCommand, "-nodes", strconv.Itoa(nodes))
	cmd.Dir = "." // the checkout: what is to be built is in it
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start the cluster: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return cmd.Process, ended, nil
}

// awaitReady passes on what the serving process says, from that byte of its log
// on, and at the end prints the kubeconfig's path.
func awaitReady(ctx context.Context, h home, nodes, told int, ended <-chan error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		told = follow(h.log, told)
		if b, err := os.ReadFile(h.nodes); err == nil {
			has := strings.TrimSpace(string(b))
			if has != strconv.Itoa(nodes) {
				return fmt.Errorf("a cluster with %s nodes is running; `make cluster-down` stops it", has)
			}
			fmt.Println(h.kubeconfig())
			return nil
		}
		select {
		case <-tick.C:
		case err := <-ended:
			follow(h.log, told)
			return errors.Join(errors.New("the cluster did not start"), err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// follow copies what the file has after from to stderr, and returns where it
// ends.
func follow(path string, from int) int {
	b, err := os.ReadFile(path)
	if err != nil || len(b) <= from {
		return from
	}
	_, _ = os.Stderr.Write(b[from:])
	return len(b)
}

// serve runs the cluster until ctx ends.
func serve(ctx context.Context, h home, nodes int) error {
	lock, err := h.take()
	if err != nil || lock == nil {
		return err // no lock: another `up` was quicker, and its cluster does
	}
	defer lock.Close()
	defer func() { _ = os.Remove(h.nodes) }()
	c, err := cluster.Start(ctx, cluster.Options{Nodes: nodes, Dir: h.dir})
	if err != nil {
		return err
	}
	if err := writeWhole(h.nodes, strconv.Itoa(nodes)); err != nil {
		return errors.Join(err, c.Stop())
	}
	<-ctx.Done()
	return c.Stop()
}

// writeWhole writes a file that is seen in whole or not at all.
func writeWhole(path, content string) error {
	if err := os.WriteFile(path+".part", []byte(content), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// down stops the cluster, and waits until nothing of it is left.
func down(ctx context.Context, h home) error {
	pid, err := h.server()
	if err != nil {
		return err
	}
	if pid == 0 {
		fmt.Fprintln(os.Stderr, "cluster: none is running")
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop the cluster (process %d): %w", pid, err)
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if pid, err = h.server(); err != nil {
			return err
		}
		if pid == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
