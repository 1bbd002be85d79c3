package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/queuemill/queuemill/test/cluster"
)

// home is where the one cluster of a person is kept.
type home struct {
	dir   string // the cluster's own folder
	lock  string // held by the process that serves it, whose PID is in it
	nodes string // how many nodes it has; there when it is ready
	log   string // what the process that serves it says
}

func findHome() (home, error) {
	cache, err := cluster.CacheDir()
	if err != nil {
		return home{}, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return home{}, fmt.Errorf("make the cluster's folder: %w", err)
	}
	at := func(name string) string { return filepath.Join(cache, name) }
	return home{dir: at("up"), lock: at("up.lock"), nodes: at("up.nodes"), log: at("up.log")}, nil
}

func (h home) kubeconfig() string { return filepath.Join(h.dir, "kubeconfig") }

// take takes the lock until the file is closed or this process ends. There is no
// file when another process has it.
func (h home) take() (lock *os.File, err error) {
	f, err := os.OpenFile(h.lock, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the cluster: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, fmt.Errorf("lock %s: %w", h.lock, err)
	}
	if err := f.Truncate(0); err != nil {
		return nil, fmt.Errorf("lock %s: %w", h.lock, err)
	}
	if _, err := f.WriteString(strconv.Itoa(os.Getpid())); err != nil {
		return nil, fmt.Errorf("lock %s: %w", h.lock, err)
	}
	return f, nil
}

// server is the PID of the process that serves the cluster; 0: none does.
func (h home) server() (int, error) {
	f, err := os.Open(h.lock)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for a running cluster: %w", err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err == nil {
		return 0, nil // nobody holds it
	}
	b, err := os.ReadFile(h.lock)
	if err != nil {
		return 0, fmt.Errorf("look for a running cluster: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("look for a running cluster: %s holds no process number: %w", h.lock, err)
	}
	return pid, nil
}
