package supervisor

import (
	"strconv"
	"strings"
)

// MarkerEnv is in the environment of every run: the marker of the directory, a
// dot, the run's ID. It tells whose an adopted process is, and a controller
// what an earlier one left behind.
const MarkerEnv = "QUEUEMILL_RUN"

// Mark is the variable's value for a run.
func Mark(marker string, id RunID) string { return marker + "." + id.String() }

// parseMark finds the run in a process's environment, NAME=value each ended by
// NUL. ok is false when the process is not one of the marker's.
func parseMark(environ, marker string) (id RunID, ok bool) {
	prefix := MarkerEnv + "=" + marker + "."
	for v := range strings.SplitSeq(environ, "\x00") {
		if rest, found := strings.CutPrefix(v, prefix); found {
			id, _ := ParseRunID(rest)
			return id, true
		}
	}
	return RunID{}, false
}

// ParseRunID is String's inverse.
func ParseRunID(s string) (RunID, bool) {
	uid, attempt, _ := strings.Cut(s, "-")
	u, err := strconv.ParseUint(uid, 16, 64)
	a, err2 := strconv.ParseUint(attempt, 10, 32)
	if err != nil || err2 != nil {
		return RunID{}, false
	}
	return RunID{UID: u, Attempt: uint32(a)}, true
}
