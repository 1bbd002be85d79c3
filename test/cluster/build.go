package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is how often a build that another process does is looked at.
const lockPoll = 200 * time.Millisecond

// build builds what list has and cache lacks. Two processes don't build at
// once: the second waits and finds everything there.
func build(ctx context.Context, cache string, list []source, log io.Writer) error {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return fmt.Errorf("make the cache folder: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(cache, "build.lock"), log)
	if err != nil {
		return err
	}
	defer unlock()

	var missing int
	var minutes float64
	for _, s := range list {
		for _, p := range s.programs {
			if !executable(s.path(cache, p)) {
				missing++
				minutes += p.minutes
			}
		}
	}
	if missing == 0 {
		return nil
	}
	modules, err := modulesDir()
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "cluster: building %d programs of a real Kubernetes into %s, once; about %.0f minutes on two cores\n",
		missing, cache, math.Ceil(minutes))
	started := time.Now()
	for _, s := range list {
		for _, p := range s.programs {
			if executable(s.path(cache, p)) {
				continue
			}
			fmt.Fprintf(log, "cluster: building %s %s\n", p.name, s.version)
			if err := s.build(ctx, modules, cache, p); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(log, "cluster: built %d programs in %s\n", missing, time.Since(started).Round(time.Second))
	return nil
}

// build builds one program. It is there in whole or not at all.
func (s source) build(ctx context.Context, modules, cache string, p program) error {
	path := s.path(cache, p)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("build %s: %w", p.name, err)
	}
	partial := path + ".part"
	defer func() { _ = os.Remove(partial) }() // renamed where it is whole
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", s.tags,
		"-ldflags", strings.TrimSpace("-s -w "+s.ldflags), "-o", partial, p.pkg)
	cmd.Dir = filepath.Join(modules, s.module)
	cgo := "0"
	if s.cgo {
		cgo = "1"
	}
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo, "GOFLAGS=-buildvcs=false", "GOWORK=off",
		"GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := startBound(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		hint := ""
		if s.cgo {
			hint = "; it needs a C compiler, pkg-config and libseccomp's headers (Debian: gcc pkg-config libseccomp-dev)"
		}
		return fmt.Errorf("build %s %s in %s: %w%s\n%s", p.name, s.version, cmd.Dir, err, hint, out.Bytes())
	}
	if err := os.Rename(partial, path); err != nil {
		return fmt.Errorf("build %s: %w", p.name, err)
	}
	return nil
}

// modulesDir is the tree's modules/, seen from the folder this process runs in.
// It can't be embedded: it holds modules of their own.
func modulesDir() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the cluster's modules: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		modules := filepath.Join(dir, "test", "cluster", "modules")
		if _, err := os.Stat(filepath.Join(modules, "kubernetes", "go.mod")); err == nil {
			return modules, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find test/cluster/modules above %s: run this in a checkout of Queuemill", start)
		}
	}
}

// lock takes the lock at path, which its holder's end gives back, however it
// ends.
func lock(ctx context.Context, path string, log io.Writer) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for told := false; ; told = true {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !told {
			fmt.Fprintf(log, "cluster: another process is building; waiting for it (%s)\n", path)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, ctx.Err())
		}
	}
}
