package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/queuemill/queuemill/internal/executor/process/supervisor"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/record"
)

// scratch is the directory of one attempt: its files and, unless the template
// says otherwise, where it runs. Only the user of the controller can read it.
type scratch struct {
	dir        string
	message    string // file with the payload
	attributes string // file with the attributes as JSON
}

func (e *Executor) scratchDir(id supervisor.RunID) string {
	return filepath.Join(e.dir, "scratch", id.String())
}

// newScratch makes the directory of an attempt with its files.
func (e *Executor) newScratch(id supervisor.RunID, c *record.Content) (*scratch, error) {
	dir := e.scratchDir(id)
	s := &scratch{dir: dir, message: dir + "/message", attributes: e.noAttributes}
	if err := unix.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make scratch directory %s: %w", dir, err)
	}
	err := writeFile(s.message, c.Payload)
	attributes := c.Attributes
	if c.FileAttributes != nil {
		attributes = c.FileAttributes
	}
	if err == nil && len(attributes) > 0 {
		s.attributes = dir + "/attributes.json"
		err = writeAttributes(s.attributes, attributes)
	}
	if err != nil {
		return nil, errors.Join(err, removeScratch(dir))
	}
	return s, nil
}

func writeAttributes(path string, attributes map[string]message.Attribute) error {
	data, err := json.Marshal(attributes)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return writeFile(path, string(data))
}

// writeFile makes a new file with data in it. It is os.WriteFile without what
// that does for files that can be waited for: there is one for every job.
func writeFile(path, data string) error {
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	for b := []byte(data); len(b) > 0; {
		n, err := unix.Write(fd, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", path, errors.Join(err, unix.Close(fd)))
		}
		b = b[n:]
	}
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// removeScratch removes an attempt's directory with all that the job left in
// it, be it without permission to write.
func removeScratch(dir string) error {
	_ = unix.Unlink(dir + "/message") // nearly always all there is in it
	if unix.Rmdir(dir) == nil {
		return nil
	}
	err := os.RemoveAll(dir)
	if err == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path, 0o700)
			if err != nil {
				return nil
			}
		}
		return nil
	})
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove scratch directory: %w", err)
	}
	return nil
}
