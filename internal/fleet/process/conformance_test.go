package process

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/queuemill/queuemill/internal/fleet"
	"github.com/queuemill/queuemill/internal/fleet/fleettest"
)

func TestConformance(t *testing.T) {
	fleettest.Run(t, func(t *testing.T) fleettest.Harness {
		dir := t.TempDir()
		f := open(t, dir)
		send := func(t *testing.T, w fleet.Worker, s syscall.Signal) {
			t.Helper()
			if err := of(f, w.Name).signal(s); err != nil {
				t.Fatal(err)
			}
		}
		return fleettest.Harness{
			Fleet: f, Pool: poolOf("idle"), OneController: true,
			Again: func(t *testing.T) fleet.Fleet { return open(t, dir) },
			Hold: func(t *testing.T, w fleet.Worker, n int) {
				path := filepath.Join(dir, w.UID+".hold")
				if err := os.WriteFile(path+".new", []byte(strconv.Itoa(n)), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(path+".new", path); err != nil {
					t.Fatal(err)
				}
			},
			Silence: func(t *testing.T, w fleet.Worker, on bool) {
				if on {
					send(t, w, syscall.SIGSTOP)
				} else {
					send(t, w, syscall.SIGCONT)
				}
			},
			End: func(t *testing.T, w fleet.Worker) { send(t, w, syscall.SIGKILL) },
		}
	})
}
