package process

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor/process/environ"
	"github.com/queuemill/queuemill/internal/fleet"
	"github.com/queuemill/queuemill/internal/worker/flags"
)

const (
	keyWorker = "worker"
	keyPid    = "pid"
	keyLog    = "log"
)

// Start starts n workers and returns when they are forked. Those started before
// an error are there.
func (f *Fleet) Start(ctx context.Context, pool *v1alpha1.WorkerPool, n int) error {
	for range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f.start(pool); err != nil {
			return fmt.Errorf("%w: %w", fleet.ErrUnavailable, err)
		}
	}
	if n > 0 {
		f.tellChange()
	}
	return nil
}

func (f *Fleet) start(pool *v1alpha1.WorkerPool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	output, suffix, err := f.newName(pool.Name)
	if err != nil {
		return fmt.Errorf("start a worker: %w", err)
	}
	defer output.Close() // the worker has its own
	cmd, r, err := f.prepare(pool, suffix)
	if err == nil {
		cmd.Stdout, cmd.Stderr = output, output
		err = cmd.Start()
	}
	if err != nil {
		f.sweep(&r)
		_ = os.Remove(output.Name()) // nothing is in it
		return fmt.Errorf("start worker %s: %w", r.Name, err)
	}
	r.Pid, r.Born = cmd.Process.Pid, bornOf(cmd.Process.Pid)
	if err := r.save(f.o.Dir); err != nil { // the next controller looks for the process itself
		f.log.Warn("the pid of a worker is not written down", keyWorker, r.Name, keyPid, r.Pid, "err", err)
	}
	w := newWorker(r, cmd.Process)
	f.workers[r.Name] = w
	f.log.Info("worker started", keyWorker, r.Name, keyPid, r.Pid, keyLog, output.Name())
	go f.wait(w, cmd) // ends with the worker
	go f.greet(w)
	return nil
}

// prepare makes all that stands before the fork: the record above all. It is
// returned also with an error, as far as it came.
func (f *Fleet) prepare(pool *v1alpha1.WorkerPool, suffix string) (cmd *exec.Cmd, r record, err error) {
	w := flags.FromPool(pool, f.o.QueueURL)
	r = record{
		Name: pool.Name + "-" + suffix, ID: rand.Text(), Token: rand.Text(),
		Template: v1alpha1.WorkerTemplateHash(&pool.Spec), Origin: f.origin,
		Held: true, StartedAt: time.Now(), DrainTimeout: w.DrainTimeout,
	}
	if r.Socket, err = socketPath(f.o.Dir, suffix); err != nil {
		return nil, r, err
	}
	if err := os.Mkdir(f.tempDir(r.Name), 0o700); err != nil {
		return nil, r, err
	}
	if err := r.save(f.o.Dir); err != nil {
		return nil, r, err
	}
	w.Control, w.ExitWhenAlone, w.TempDir = "unix:"+r.Socket, exitWhenAlone, f.tempDir(r.Name)
	hidden := w.Hide()
	cmd = exec.Command(f.o.Executable, w.Args()...)
	cmd.Args[0] = "queuemill"
	cmd.Dir, cmd.Env = f.o.Dir, append(f.environment(&r), hidden...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // nobody's Ctrl-C, nobody's terminal
	return cmd, r, nil
}

// environment is little: what every process of this machine is given, what the
// queue needs, and the worker's own secret. Nothing else of the controller's.
func (f *Fleet) environment(r *record) []string {
	var env []string
	for _, v := range environ.Inherited() {
		env = append(env, v.Name+"="+v.Value)
	}
	return append(slices.Concat(env, f.o.Env), flags.TokenEnv+"="+r.Token, flags.IDEnv+"="+r.ID,
		flags.HeldEnv+"=true")
}

// Letters of a suffix: none that spell words or look alike.
const letters = "bcdfghjklmnpqrstvwxz2456789"

// newName finds a name that no worker has or had whose output is still there,
// and returns that output's file, which takes it.
func (f *Fleet) newName(pool string) (*os.File, string, error) {
	for {
		var suffix [5]byte
		for i := range suffix {
			suffix[i] = letters[mrand.IntN(len(letters))]
		}
		// Appending is what lets the file be cut while the worker writes.
		output, err := os.OpenFile(f.logPath(pool+"-"+string(suffix[:])), os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		return output, string(suffix[:]), err
	}
}

// greet tells of a worker as soon as it can be asked: it waits to be let go.
func (f *Fleet) greet(w *worker) {
	tick := time.NewTicker(greetEvery)
	defer tick.Stop()
	late := time.After(greetLimit)
	for {
		if _, err := os.Stat(w.record().Socket); err == nil {
			f.tellChange()
			return
		}
		select {
		case <-tick.C:
		case <-w.exited:
			return
		case <-late: // what watches looks on, less often
			return
		}
	}
}

// wait reaps a worker and says how it ended.
func (f *Fleet) wait(w *worker, cmd *exec.Cmd) {
	err := cmd.Wait()
	close(w.exited)
	r := w.record()
	if err == nil || !r.EndingAt.IsZero() {
		f.log.Info("worker ended", keyWorker, w.name, keyPid, r.Pid)
		f.forget(w, "")
		return
	}
	why := fmt.Sprintf("worker %s ended after %s: %v", w.name, v1alpha1.Human(time.Since(r.StartedAt).Round(time.Millisecond)), err)
	if last := lastLine(f.logPath(w.name)); last != "" {
		why += ": " + last
	}
	f.log.Warn(why, keyWorker, w.name, keyPid, r.Pid, keyLog, f.logPath(w.name))
	f.forget(w, why)
}

// forget takes a worker that has ended off the disk; its output stays. why it
// ended is the trouble of those that start after it. It returns false when that
// was done already.
func (f *Fleet) forget(w *worker, why string) bool {
	f.mu.Lock()
	known := f.workers[w.name] == w
	if known {
		delete(f.workers, w.name)
		w.mu.Lock()
		w.gone = true
		r := w.rec
		w.mu.Unlock()
		f.sweep(&r)
		f.pruneLogs()
		if why != "" {
			f.lastFailure = why
		}
	}
	f.mu.Unlock()
	if known {
		f.tellChange()
	}
	return known
}

// sweep removes what is a worker's alone. f.mu is held.
func (f *Fleet) sweep(r *record) {
	if r.Socket != "" {
		_ = os.Remove(r.Socket) // it removed it itself if it ended well
		if len(f.workers) == 0 && filepath.Dir(r.Socket) != f.o.Dir {
			_ = os.Remove(filepath.Dir(r.Socket)) // unless something is in it
		}
	}
	// The last to go, since without it nobody comes back to the rest.
	err := errors.Join(os.RemoveAll(f.tempDir(r.Name)), os.Remove(filepath.Join(f.o.Dir, r.Name+recordEnd)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.log.Warn("a worker's files are not removed", keyWorker, r.Name, "err", err)
	}
}

func (f *Fleet) tempDir(name string) string { return filepath.Join(f.o.Dir, name+tempEnd) }
func (f *Fleet) logPath(name string) string { return filepath.Join(f.o.Dir, name+logEnd) }
