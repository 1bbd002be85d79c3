package cluster

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// launcher hands functions to one thread that lives as long as this process:
// the kernel sends a parent-death signal when the thread dies that forked, and
// Go ends threads as it likes.
var launcher = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// startBound starts cmd so that the kernel kills it when this process ends,
// and out of reach of the terminal's signals.
func startBound(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGKILL
	err := make(chan error)
	launcher() <- func() { err <- cmd.Start() }
	return <-err
}

// ownNamespaces gives a process mounts and PIDs of its own: with the process
// all of both go.
func ownNamespaces() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
}
