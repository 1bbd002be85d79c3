package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxSeats is how many clusters with nodes stand on one machine at a time.
const maxSeats = 8

// seat is a number that one cluster with nodes has on this machine at a time.
// What can't lie in the cluster's own folder is named by it:
//
//	bridge qmN        10.88.N.0/24, the pods' network; the host is 10.88.N.1
//	services          10.88.(128+N).0/24
//	cgroups           /queuemill-N in each hierarchy
//
// It is held by a lock on a file, so whoever is killed gives it back, and the
// next who takes a seat sweeps what was left at all that are free.
type seat struct {
	n    int
	lock *os.File
}

// nodesPossible says what this machine or this user lacks for nodes.
func nodesPossible() error {
	if runtime.GOOS != "linux" {
		return errors.New("a cluster with nodes needs Linux: take Nodes: 0 here")
	}
	if os.Geteuid() != 0 {
		return errors.New("a cluster with nodes needs root (namespaces, cgroups, a bridge): run it as root, or without nodes")
	}
	for _, tool := range []string{"ip", "mount", "busybox"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("a cluster with nodes needs %s: tools/test-packages installs it", tool)
		}
	}
	return nil
}

// takeSeat sweeps the seats that nobody holds and takes the first of them for
// nodes whose folder is dir.
func takeSeat(dir string) (*seat, error) {
	seats := filepath.Join(os.TempDir(), "queuemill-cluster-seats")
	if err := os.MkdirAll(seats, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of seats: %w", err)
	}
	var taken *seat
	for n := range maxSeats {
		s, err := lockSeat(seats, n)
		if err != nil {
			return nil, errors.Join(err, taken.leave())
		}
		if s == nil {
			continue
		}
		if err := s.sweep(); err != nil {
			return nil, errors.Join(fmt.Errorf("sweep what an earlier cluster left at seat %d: %w", n, err), s.leave(), taken.leave())
		}
		if taken == nil {
			taken = s
		} else if err := s.leave(); err != nil {
			return nil, errors.Join(err, taken.leave())
		}
	}
	if taken == nil {
		return nil, fmt.Errorf("%d clusters with nodes run on this machine: stop one (make cluster-down)", maxSeats)
	}
	if err := taken.owns(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("write down the folder of the nodes: %w", err), taken.leave())
	}
	return taken, nil
}

// lockSeat is nil when somebody holds it.
func lockSeat(dir string, n int) (*seat, error) {
	f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(n)), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open seat %d: %w", n, err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, f.Close()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock seat %d: %w", n, err), f.Close())
	}
	return &seat{n: n, lock: f}, nil
}

// owns writes down which folder is the nodes', for whoever has to sweep it.
func (s *seat) owns(dir string) error {
	if err := s.lock.Truncate(0); err != nil {
		return err
	}
	_, err := s.lock.WriteAt([]byte(dir), 0)
	return err
}

func (s *seat) leave() error {
	if s == nil {
		return nil
	}
	return s.lock.Close()
}

func (s *seat) bridge() string       { return fmt.Sprintf("qm%d", s.n) }
func (s *seat) podRange() string     { return fmt.Sprintf("10.88.%d.0/24", s.n) }
func (s *seat) host() string         { return fmt.Sprintf("10.88.%d.1", s.n) }
func (s *seat) serviceRange() string { return fmt.Sprintf("10.88.%d.0/24", 128+s.n) }
func (s *seat) apiService() string   { return fmt.Sprintf("10.88.%d.1", 128+s.n) }
func (s *seat) cgroup() string       { return fmt.Sprintf("/queuemill-%d", s.n) }

// network makes the bridge that pods are put on. The host's address on it is
// theirs to reach the host by; the service address of the API server is the
// host's too, so that no kube-proxy is needed. Nothing is forwarded between the
// bridge and other networks.
func (s *seat) network(ctx context.Context) error {
	for _, args := range [][]string{
		// Without an address given it takes one of its ports', another one as
		// they come and go, and pods would talk to the one that was.
		{"link", "add", s.bridge(), "address", fmt.Sprintf("02:88:00:00:00:%02x", s.n), "type", "bridge"},
		{"addr", "add", s.host() + "/24", "dev", s.bridge()},
		{"addr", "add", s.apiService() + "/32", "dev", s.bridge()},
		{"link", "set", s.bridge(), "up"},
	} {
		if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// sweep removes all that a cluster at this seat leaves on the machine. The
// processes are gone before, or are ended here.
func (s *seat) sweep() error {
	errs := []error{s.endCgroups()}
	if _, err := net.InterfaceByName(s.bridge()); err == nil {
		if out, err := exec.Command("ip", "link", "del", s.bridge()).CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("remove bridge %s: %w: %s", s.bridge(), err, out))
		}
	}
	dir, err := os.ReadFile(s.lock.Name())
	if err == nil && len(dir) > 0 {
		// The nodes' mounts were in their own namespace: nothing of the machine
		// can be reached through this folder.
		err = os.RemoveAll(string(dir))
	}
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return s.lock.Truncate(0)
}

// makeCgroups makes the group of one node in every hierarchy.
func (s *seat) makeCgroups(node string) error {
	for _, root := range cgroupRoots() {
		for _, dir := range []string{filepath.Join(root, s.cgroup()), filepath.Join(root, s.cgroup(), node)} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("make cgroup: %w", err)
			}
			// In version 1 a cpuset takes no process before it has both.
			for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
				from, err := os.ReadFile(filepath.Join(filepath.Dir(dir), f))
				if err != nil {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, f), from, 0o644); err != nil {
					return fmt.Errorf("set up cgroup: %w", err)
				}
			}
		}
	}
	return nil
}

// endCgroups ends what runs in the seat's groups and removes them.
func (s *seat) endCgroups() error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		var errs []error
		for _, root := range cgroupRoots() {
			errs = append(errs, removeCgroup(filepath.Join(root, s.cgroup())))
		}
		err := errors.Join(errs...)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		<-time.After(20 * time.Millisecond)
	}
}

// removeCgroup removes dir and the groups below it, the lowest first, and kills
// what it finds in one.
func removeCgroup(dir string) error {
	var groups []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			groups = append(groups, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("look through cgroup: %w", err)
	}
	for i := len(groups) - 1; i >= 0; i-- {
		procs, err := os.ReadFile(filepath.Join(groups[i], "cgroup.procs"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look into cgroup: %w", err)
		}
		for line := range strings.FieldsSeq(string(procs)) {
			if pid, err := strconv.Atoi(line); err == nil && pid > 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if err := unix.Rmdir(groups[i]); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove cgroup %s: %w", groups[i], err)
		}
	}
	return nil
}

// cgroupRoots are the mount points of all hierarchies, version 1 and 2.
func cgroupRoots() []string {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var roots []string
	for line := range strings.Lines(string(data)) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if ok && len(fields) > 4 && strings.HasPrefix(after, "cgroup") {
			roots = append(roots, fields[4])
		}
	}
	return roots
}
