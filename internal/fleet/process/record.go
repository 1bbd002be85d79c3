package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// record is what is kept on disk of a worker as long as it lives.
type record struct {
	Name     string `json:"name"`
	ID       string `json:"id"`
	Token    string `json:"token"`
	Socket   string `json:"socket"`   // absolute
	Template string `json:"template"` // v1alpha1.WorkerTemplateHash
	Origin   string `json:"origin"`   // see originOf

	// Pid and Born tell the process from every other one (see bornOf); 0: it was
	// not written down, the controller ended first.
	Pid  int    `json:"pid,omitempty"`
	Born string `json:"born,omitempty"`

	// Held: it was never told to receive. That of an earlier version, which needs
	// no telling, is not.
	Held bool `json:"held,omitempty"`

	StartedAt    time.Time     `json:"startedAt"`
	EndingAt     time.Time     `json:"endingAt,omitzero"` // it was told to end
	DrainTimeout time.Duration `json:"drainTimeout"`
}

const (
	recordEnd = ".json"
	logEnd    = ".log"
	tempEnd   = ".tmp"
	socketEnd = ".sock"
)

// save writes the record at once or not at all. It need not survive a power
// cut: no process does.
func (r *record) save(dir string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, r.Name+recordEnd)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("write the record of worker %s: %w", r.Name, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write the record of worker %s: %w", r.Name, err)
	}
	return nil
}

// readRecords reads all records in dir. What can't be read is no record of a
// living worker: a power cut left it.
func readRecords(dir string, log *slog.Logger) ([]record, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look for workers: %w", err)
	}
	var records []record
	for _, file := range files {
		name, ok := strings.CutSuffix(file.Name(), recordEnd)
		if !ok {
			continue
		}
		path := filepath.Join(dir, file.Name())
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the record of worker %s: %w", name, err)
		}
		var r record
		if err := json.Unmarshal(data, &r); err != nil || r.Name != name || r.ID == "" {
			log.Warn("not the record of a worker, removing it", "file", path, "err", err)
			if err := os.Remove(path); err != nil {
				return nil, err
			}
			continue
		}
		records = append(records, r)
	}
	return records, nil
}
