//go:build !linux

package cluster

import (
	"os/exec"
	"syscall"
)

// startBound starts cmd out of reach of the terminal's signals. The reaper
// ends it when this process is gone.
func startBound(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd.Start()
}

// ownNamespaces: takeSeat has refused before.
func ownNamespaces() *syscall.SysProcAttr { return nil }
