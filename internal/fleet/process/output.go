package process

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// outputLimit is the size at which a worker's output is cut: what is there
	// moves to .log.1, so that at least as much as this is kept and twice as much
	// at most. It is looked at whenever the workers are, so a controller that is
	// away cuts nothing.
	outputLimit = 8 << 20

	// keptOutputs are those of ended workers.
	keptOutputs = 20

	lastLineLimit = 300
)

// trimLog cuts a worker's output once it is too long. The file stays the same,
// since the worker and its commands have it open; what they write between the
// copy and the cut is lost, some lines at most.
func (f *Fleet) trimLog(w *worker) {
	path := f.logPath(w.name)
	info, err := os.Stat(path)
	if err != nil || info.Size() < outputLimit {
		return
	}
	w.mu.Lock() // one at a time
	defer w.mu.Unlock()
	if err := cut(path); err != nil {
		f.log.Warn("a worker's output is not cut", keyWorker, w.name, keyLog, path, "err", err)
	}
}

func cut(path string) error {
	from, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	size, err := from.Seek(0, io.SeekEnd)
	if err != nil || size < outputLimit {
		return err
	}
	if _, err := from.Seek(-outputLimit, io.SeekEnd); err != nil {
		return err
	}
	to, err := os.OpenFile(path+".1", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	return from.Truncate(0)
}

// pruneLogs removes the oldest outputs of workers that are gone. f.mu is held.
func (f *Fleet) pruneLogs() {
	files, err := os.ReadDir(f.o.Dir)
	if err != nil {
		return // the next one that ends tries again
	}
	type output struct {
		path string
		at   time.Time
	}
	var ended []output
	for _, file := range files {
		name, ok := strings.CutSuffix(file.Name(), logEnd)
		if !ok || f.workers[name] != nil {
			continue
		}
		if info, err := file.Info(); err == nil {
			ended = append(ended, output{filepath.Join(f.o.Dir, file.Name()), info.ModTime()})
		}
	}
	if len(ended) <= keptOutputs {
		return
	}
	slices.SortFunc(ended, func(a, b output) int { return cmp.Or(a.at.Compare(b.at), strings.Compare(a.path, b.path)) })
	for _, o := range ended[:len(ended)-keptOutputs] {
		_ = os.Remove(o.path)
		_ = os.Remove(o.path + ".1")
	}
}

// lastLine is the end of a worker's output, for people.
func lastLine(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	if size, err := file.Seek(0, io.SeekEnd); err == nil {
		_, _ = file.Seek(max(0, size-4096), io.SeekStart)
	}
	end, err := io.ReadAll(io.LimitReader(file, 4096))
	if err != nil {
		return ""
	}
	end = bytes.TrimSpace(end)
	line := string(bytes.ToValidUTF8(end[bytes.LastIndexByte(end, '\n')+1:], []byte("?")))
	if len(line) > lastLineLimit {
		line = fmt.Sprintf("…%s", strings.ToValidUTF8(line[len(line)-lastLineLimit:], ""))
	}
	return line
}
