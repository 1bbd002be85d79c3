package store

import (
	"errors"
	"fmt"
)

// ErrFull: the disk is full or nearly so; what adds data is refused, what
// removes it goes on.
var ErrFull = errors.New("the disk under the data directory is full")

// InUseError: another process has the data directory.
type InUseError struct {
	Dir     string
	PID     int    // 0: unknown
	Command string // its command line, as far as it is known
}

func (e *InUseError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("data directory %s is in use by another process; stop it, or choose another directory with --data", e.Dir)
	}
	return fmt.Sprintf("data directory %s is in use by process %d (%s); stop that process, or choose another directory with --data", e.Dir, e.PID, e.Command)
}

// NewerVersionError: the data directory was written by a newer Queuemill.
type NewerVersionError struct {
	Dir              string
	Found, Supported uint32 // versions of the format; Found 0: the engine below is newer
}

func (e *NewerVersionError) Error() string {
	if e.Found == 0 {
		return fmt.Sprintf("data directory %s was written by a newer version of queuemill; use that version, or another directory with --data", e.Dir)
	}
	return fmt.Sprintf("data directory %s has format %d, written by a newer version of queuemill (this one knows up to %d); use that version, or another directory with --data",
		e.Dir, e.Found, e.Supported)
}

// DirError: the data directory can't be used as one.
type DirError struct {
	Dir  string
	What string // what is wrong: "is not a directory"
	Hint string // what to do about it
	Err  error
}

func (e *DirError) Error() string {
	return fmt.Sprintf("data directory %s %s: %v; %s", e.Dir, e.What, e.Err, e.Hint)
}

// Unwrap returns the cause.
func (e *DirError) Unwrap() error { return e.Err }
