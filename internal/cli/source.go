package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// source gives the bodies to send: arguments, stdin as one, or lines.
type source struct {
	bodies []string
	name   string // of the file
	lines  *bufio.Scanner
	file   *os.File
	line   int
	from   int
	json   bool // lines must be JSON

	// envelope: a line holds a body and more, so its own size says nothing.
	envelope bool
}

// openSource reads bodies, and a file once through to check its lines.
func (p *program) openSource(f *sendFlags, bodies []string) (*source, error) {
	if f.file == "" {
		return p.bodySource(bodies)
	}
	s := &source{name: f.file, from: f.fromLine, envelope: f.envelope}
	switch filepath.Ext(f.file) {
	case ".ndjson", ".jsonl":
		s.json = true
	}
	if f.file == "-" {
		s.name = "stdin"
		s.scan(p.env.Stdin)
		return s, nil
	}
	file, err := os.Open(f.file)
	if err != nil {
		return nil, fmt.Errorf("read the messages: %w", err)
	}
	s.file = file
	if info, err := file.Stat(); err == nil && !info.Mode().IsRegular() {
		s.scan(file) // a pipe is read once only
		return s, nil
	}
	if err := s.check(f); err != nil {
		_ = file.Close()
		return nil, err
	}
	return s, nil
}

func (p *program) bodySource(bodies []string) (*source, error) {
	s := &source{}
	for _, body := range bodies {
		name := "the message"
		if body == "-" {
			data, err := io.ReadAll(io.LimitReader(p.env.Stdin, maxMessage+2))
			if err != nil {
				return nil, fmt.Errorf("read stdin: %w", err)
			}
			body, name = strings.TrimSuffix(string(data), "\n"), "the message on stdin"
		}
		if err := checkBody(body); err != nil {
			return nil, usagef("", "%s %v", name, err)
		}
		s.bodies = append(s.bodies, body)
	}
	return s, nil
}

// check reads all lines, so that a bad one is found before anything is sent.
func (s *source) check(f *sendFlags) error {
	s.scan(s.file)
	for {
		line, body, err := s.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && f.envelope {
			if _, err = f.outgoing(body); err != nil {
				err = fmt.Errorf("%s: %w", s.where(line), err)
			}
		}
		if err != nil {
			return failuref("nothing was sent; mend the line and repeat the command", "%v", err)
		}
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read %s again: %w", s.name, err)
	}
	s.scan(s.file)
	return nil
}

// scan begins reading lines. An envelope has room for its body with every
// character escaped.
func (s *source) scan(r io.Reader) {
	s.lines = bufio.NewScanner(r)
	s.lines.Buffer(make([]byte, 0, 64<<10), 7*maxMessage)
	s.line = 0
}

// next is the next body and the number of its line, io.EOF behind the last.
func (s *source) next() (line int, body string, err error) {
	if s.lines == nil {
		if len(s.bodies) == 0 {
			return 0, "", io.EOF
		}
		body, s.bodies = s.bodies[0], s.bodies[1:]
		return 0, body, nil
	}
	for s.lines.Scan() {
		s.line++
		data := bytes.TrimSuffix(s.lines.Bytes(), []byte("\r"))
		if s.line < s.from || len(bytes.TrimSpace(data)) == 0 {
			continue
		}
		body := string(data)
		if err := checkBody(body); err != nil && !(s.envelope && len(body) > maxMessage) {
			return s.line, "", fmt.Errorf("%s %w", s.where(s.line), err)
		}
		if s.json && !json.Valid(data) {
			return s.line, "", fmt.Errorf("%s is not JSON", s.where(s.line))
		}
		return s.line, body, nil
	}
	switch err := s.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return s.line + 1, "", fmt.Errorf("%s is too long; a message has at most %d bytes", s.where(s.line+1), maxMessage)
	case err != nil:
		return s.line + 1, "", fmt.Errorf("read %s: %w", s.name, err)
	}
	return s.line, "", io.EOF
}

func (s *source) where(line int) string {
	if line == 0 {
		return "the message"
	}
	return fmt.Sprintf("%s:%d", s.name, line)
}

// Close closes the file, if there is one.
func (s *source) Close() {
	if s.file != nil {
		_ = s.file.Close()
	}
}
