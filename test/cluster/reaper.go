package cluster

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// reap waits for its input to end, which it does when the process that holds
// the other end does, however that ends. Then it kills what is left of the
// cluster and removes its folder. A folder with something mounted in it stays:
// what is mounted there is not ours to delete.
const reap = `
trap '' HUP INT TERM
read -r _
[ -d "$1" ] || exit 0
for f in "$1"/run/*.pid; do
	[ ! -f "$f" ] || kill -9 "$(cat "$f")" 2>/dev/null
done
for i in 1 2 3 4 5; do
	if grep -qs " $1/" /proc/self/mounts; then exit 0; fi
	rm -rf "$1" 2>/dev/null && exit 0
	sleep 1
done
`

// reaper is a process of its own that clears up after this one.
type reaper struct {
	cmd  *exec.Cmd
	hold io.Closer // its input
}

func startReaper(dir string) (*reaper, error) {
	cmd := exec.Command("/bin/sh", "-c", reap, "cluster-reaper", dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	hold, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the cluster's reaper: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the cluster's reaper: %w", err)
	}
	return &reaper{cmd: cmd, hold: hold}, nil
}

// dismiss ends the reaper, which clears up what Stop could not. nil is none.
func (r *reaper) dismiss() {
	if r == nil {
		return
	}
	r.hold.Close()
	_ = r.cmd.Wait()
}
