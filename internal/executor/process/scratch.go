package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/queuemill/queuemill/internal/executor/process/supervisor"
	"github.com/queuemill/queuemill/internal/record"
)

// scratch is the directory that one attempt has for itself, with the files of
// its message; it also runs there unless the template says otherwise. Only the
// user of the controller can read it.
type scratch struct {
	dir      string
	dirTime  unix.Timespec // of its last change, when it was last looked through
	lookedAt time.Time
}

func (s *scratch) message() string    { return s.dir + "/" + messageName }
func (s *scratch) attributes() string { return s.dir + "/" + attributesName }

const (
	messageName    = "message"
	attributesName = "attributes.json"
)

// scratches hands out scratch directories. One that a job left as it was is
// used again, with its files overwritten: making and removing a directory and
// two files for every job costs more than starting it (ext4 does not give out
// the number of a file removed within the last seconds, and looks through all
// of those for each new one). What no job needs for a while is removed.
type scratches struct {
	root    string
	session string // begins the names of this process's directories
	janitor *janitor

	mu    sync.Mutex
	next  int
	free  []*scratch
	timer *time.Timer // removes what is free
	used  time.Time
}

const (
	// scratchIdle is how long a directory is kept that no job needs.
	scratchIdle = 2 * time.Second

	// clockTick is more than the step of the clock of a file system's times.
	clockTick = 20 * time.Millisecond
)

func newScratches(root string, j *janitor) *scratches {
	return &scratches{root: root, session: newUID(), janitor: j}
}

// get is a directory with the files of a message.
func (p *scratches) get(c *record.Content) (*scratch, error) {
	attributes := []byte("{}")
	of := c.Attributes
	if c.FileAttributes != nil {
		of = c.FileAttributes
	}
	if len(of) > 0 {
		var err error
		if attributes, err = json.Marshal(of); err != nil {
			return nil, fmt.Errorf("write the attributes of the message: %w", err)
		}
	}
	payload := []byte(c.Payload)
	for {
		s := p.take()
		if s == nil {
			return p.make(payload, attributes)
		}
		if overwrite(s.message(), payload) == nil && overwrite(s.attributes(), attributes) == nil {
			return s, nil
		}
		p.janitor.remove(s.dir)
	}
}

func (p *scratches) take() *scratch {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) == 0 {
		return nil
	}
	s := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	return s
}

func (p *scratches) make(payload, attributes []byte) (*scratch, error) {
	p.mu.Lock()
	p.next++
	s := &scratch{dir: filepath.Join(p.root, p.session+"-"+strconv.Itoa(p.next))}
	p.mu.Unlock()
	err := os.Mkdir(s.dir, 0o700)
	if err == nil {
		err = os.WriteFile(s.message(), payload, 0o600)
	}
	if err == nil {
		err = os.WriteFile(s.attributes(), attributes, 0o600)
	}
	if err != nil {
		p.janitor.remove(s.dir)
		return nil, fmt.Errorf("make a scratch directory: %w", err)
	}
	return s, nil
}

// put takes back the directory of an attempt of which no process is left. It
// is called by the janitor: what a job left behind may take long to look
// through.
func (p *scratches) put(s *scratch) error {
	if !supervisor.EndsDescendants || !s.untouched() {
		return removeScratch(s.dir)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, s)
	p.used = time.Now()
	if p.timer == nil {
		p.timer = time.AfterFunc(scratchIdle, p.expire)
	}
	return nil
}

// expire removes the free directories once none was put back for a while.
func (p *scratches) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if idle := time.Since(p.used); idle < scratchIdle {
		p.timer.Reset(scratchIdle - idle)
		return
	}
	p.timer = nil
	p.dropFree()
}

func (p *scratches) dropFree() {
	for _, s := range p.free {
		p.janitor.remove(s.dir)
	}
	p.free = nil
}

// close removes what is free. The janitor must still run.
func (p *scratches) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	p.dropFree()
}

// untouched tells whether nothing is in the directory but its two files. The
// directory's own time tells that nobody added or removed one since the last
// look, unless that was so soon after a change that another one could have the
// same time.
func (s *scratch) untouched() bool {
	var st unix.Stat_t
	if unix.Lstat(s.dir, &st) != nil {
		return false
	}
	changed := time.Unix(st.Ctim.Unix())
	if st.Ctim == s.dirTime && s.lookedAt.Sub(changed) > clockTick {
		return true
	}
	if st.Mode != unix.S_IFDIR|0o700 {
		return false
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil || len(entries) != 2 || entries[0].Name() != attributesName || entries[1].Name() != messageName {
		return false
	}
	s.dirTime, s.lookedAt = st.Ctim, time.Now()
	return true
}

// overwrite gives a file that a job has had a new content. It fails when the
// job made another kind of file of it, or another name for it elsewhere.
func overwrite(path string, data []byte) (err error) {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode != unix.S_IFREG|0o600 || st.Nlink != 1 {
		return unix.EPERM
	}
	for at := 0; at < len(data); {
		n, err := unix.Pwrite(fd, data[at:], int64(at))
		if err != nil && err != unix.EINTR {
			return err
		}
		at += max(n, 0)
	}
	if st.Size > int64(len(data)) {
		return unix.Ftruncate(fd, int64(len(data)))
	}
	return nil
}

// removeScratch removes an attempt's directory with all that the job left in
// it, be it without permission to write.
func removeScratch(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(path, 0o700) // what this does not help, RemoveAll tells
		}
		return nil
	})
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove scratch directory: %w", err)
	}
	return nil
}
