package doctor

import (
	"fmt"
	"time"
)

// Level is how a check ended.
type Level string

const (
	OK      Level = "ok"
	Warning Level = "warning" // works, and may surprise
	Problem Level = "problem" // does not work
	Unknown Level = "unknown" // could not be checked; the message says why
)

// Check is one thing that was looked at.
type Check struct {
	Name    string `json:"name"`            // of the check: "crd", "lease", "dead-letter-queue"
	About   string `json:"about,omitempty"` // a QueueJob or a queue; empty: the whole installation
	Level   Level  `json:"level"`
	Message string `json:"message"`        // what was found
	Hint    string `json:"hint,omitempty"` // what to do
}

// Report is all that was looked at, in order.
type Report struct {
	Checks []Check `json:"checks"`
}

// Problems is how many checks found one.
func (r *Report) Problems() int { return r.count(Problem) }

// Warnings is how many checks found what may surprise.
func (r *Report) Warnings() int { return r.count(Warning) }

func (r *Report) count(l Level) int {
	n := 0
	for _, c := range r.Checks {
		if c.Level == l {
			n++
		}
	}
	return n
}

func ok(name, about, format string, args ...any) Check {
	return Check{Name: name, About: about, Level: OK, Message: fmt.Sprintf(format, args...)}
}

func found(l Level, name, about, hint, format string, args ...any) Check {
	return Check{Name: name, About: about, Level: l, Hint: hint, Message: fmt.Sprintf(format, args...)}
}

// Clocks that differ by more are worth a word; AWS refuses requests that were
// signed five minutes ago or later than now.
const (
	skewSeen    = 5 * time.Second
	skewRefused = 5 * time.Minute
)

// clock compares this machine's clock with a server's. A Date header has whole
// seconds, and travelled for at most took.
func clock(about string, server, now time.Time, took time.Duration) Check {
	const name = "clock"
	skew := now.Sub(server)
	if skew < 0 {
		skew = -skew
	}
	skew -= took + time.Second
	switch {
	case skew < skewSeen:
		return ok(name, about, "agrees with this machine's to a few seconds")
	case skew < skewRefused:
		return found(Warning, name, about, "let both machines' clocks be set by NTP",
			"differs from this machine's by about %v: ages and windows look wrong by as much", skew.Round(time.Second))
	}
	return found(Problem, name, about, "let both machines' clocks be set by NTP",
		"differs from this machine's by about %v; AWS refuses what is signed five minutes off", skew.Round(time.Second))
}
