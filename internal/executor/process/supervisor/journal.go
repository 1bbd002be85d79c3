package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rotateSize is how large one file of the journal gets, bytes.
const rotateSize = 4 << 20

// journal is the append-only list of starts and ends. A supervisor writes files
// of its own, each begun with the boot ID and the starts of what runs, so that
// earlier files are not needed once their ends are in the controller's records.
// It is not synced: it survives the death of every process, and after a power
// cut the boot ID tells that it can't be relied on.
type journal struct {
	dir        string
	generation uint64
	file       *os.File
	size       int64
	pending    []byte
}

func journalDir(dir string) string { return filepath.Join(dir, "journal") }

func journalPath(dir string, generation uint64) string {
	return filepath.Join(journalDir(dir), fmt.Sprintf("%010d", generation))
}

// openJournal begins a new file; running are the starts to carry over.
func openJournal(dir string, generation uint64, running []byte) (*journal, error) {
	f, err := os.OpenFile(journalPath(dir, generation), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	head, at := beginFrame(nil, kindBoot)
	head = endFrame(appendString(head, bootID()), at)
	j := &journal{dir: dir, generation: generation, file: f, pending: append(head, running...)}
	if err := j.flush(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

func (j *journal) started(id RunID, at time.Time) { j.pending = appendStarted(j.pending, id, at) }
func (j *journal) ended(x *Exit)                  { j.pending = appendExit(j.pending, x) }

// flush writes what is pending, in one write. What could not be written stays
// pending; a torn write is cut off again.
func (j *journal) flush() error {
	if len(j.pending) == 0 {
		return nil
	}
	if _, err := j.file.Write(j.pending); err != nil {
		return errors.Join(err, j.file.Truncate(j.size))
	}
	j.size += int64(len(j.pending))
	j.pending = j.pending[:0]
	return nil
}

// History is what the journal tells of earlier supervisors.
type History struct {
	// Complete: a run that is not in Started was never started. False when the
	// machine was booted since, or there is no journal.
	Complete bool
	Started  map[RunID]time.Time
	Exits    map[RunID]Exit

	generations []uint64
}

// NextGeneration is the generation for the next supervisor's journal.
func (h *History) NextGeneration() uint64 {
	if len(h.generations) == 0 {
		return 1
	}
	return h.generations[len(h.generations)-1] + 1
}

// ReadHistory reads the journal in dir. A torn end of a file is what a killed
// supervisor leaves; what is before it counts.
func ReadHistory(dir string) (*History, error) {
	h := &History{Started: make(map[RunID]time.Time), Exits: make(map[RunID]Exit)}
	var err error
	if h.generations, err = generations(dir); err != nil {
		return nil, fmt.Errorf("read the journal of exits: %w", err)
	}
	for _, g := range h.generations {
		data, err := os.ReadFile(journalPath(dir, g))
		if err != nil {
			return nil, fmt.Errorf("read the journal of exits: %w", err)
		}
		h.Complete = h.read(data)
	}
	return h, nil
}

// read adds one file and tells whether it is of this boot of the machine.
func (h *History) read(data []byte) (thisBoot bool) {
	for {
		kind, body, rest, err := nextFrame(data)
		if err != nil {
			return thisBoot
		}
		data = rest
		switch kind {
		case kindBoot:
			d := decoder{b: body}
			boot := d.string()
			thisBoot = d.err == nil && boot != "" && boot == bootID()
		case kindStarted:
			if id, at, err := decodeStarted(body); err == nil {
				h.Started[id] = at
			}
		case kindExit:
			if x, err := decodeExit(body); err == nil {
				h.Exits[x.ID] = x
			}
		}
	}
}

// RemoveHistory removes the journal's files before generation.
func RemoveHistory(dir string, generation uint64) error {
	list, err := generations(dir)
	if err != nil {
		return err
	}
	for _, g := range list {
		if g < generation {
			if err := os.Remove(journalPath(dir, g)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func generations(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(journalDir(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []uint64
	for _, e := range entries {
		if g, err := strconv.ParseUint(strings.TrimLeft(e.Name(), "0"), 10, 64); err == nil {
			list = append(list, g)
		}
	}
	slices.Sort(list)
	return list, nil
}
