package app

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/queuemill/queuemill/internal/queuejob"
)

// A person in front of the log sees the first burstFirst events of a kind in
// burstWindow; the others are Debug, and one line says how many they were.
const (
	burstFirst  = 5
	burstWindow = 10 * time.Second
)

// burstMore is how the line ends that stands for the others, by the events that
// come per message. Other events are changes of state: they are rare.
var burstMore = map[queuejob.EventReason]string{
	queuejob.EventFailed:    "more jobs failed in the last %s; queuemill jobs --state failed lists them",
	queuejob.EventInvalid:   "more messages were invalid in the last %s; queuemill jobs --state invalid lists them",
	queuejob.EventDuplicate: "more duplicates were acknowledged in the last %s; queuemill status counts them",
	queuejob.EventDeleted:   "more unfinished jobs were deleted in the last %s",
}

// bursts keeps thousands of failures from being thousands of lines.
type bursts struct {
	log *slog.Logger

	mu  sync.Mutex
	all map[burstKey]*burst
}

type burstKey struct {
	queueJob string
	reason   queuejob.EventReason
}

// burst is one window of events of a kind.
type burst struct {
	begun time.Time
	level slog.Level
	seen  int
	end   *time.Timer
}

func newBursts(log *slog.Logger) *bursts {
	return &bursts{log: log, all: map[burstKey]*burst{}}
}

// level is that of e's own line: Debug for one too many.
func (b *bursts) level(e queuejob.Event, level slog.Level) slog.Level {
	if burstMore[e.Reason] == "" {
		return level
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	key := burstKey{e.QueueJob, e.Reason}
	one := b.all[key]
	if one == nil {
		one = &burst{begun: time.Now(), level: level}
		one.end = time.AfterFunc(burstWindow, func() { b.over(key, one) })
		b.all[key] = one
	}
	one.seen++
	if one.seen > burstFirst {
		return slog.LevelDebug
	}
	return level
}

// over ends a window.
func (b *bursts) over(key burstKey, one *burst) {
	b.mu.Lock()
	current := b.all[key] == one
	if current {
		delete(b.all, key)
	}
	more := one.seen - burstFirst
	b.mu.Unlock()
	if current && more > 0 {
		text := fmt.Sprintf(burstMore[key.reason], max(time.Second, time.Since(one.begun).Round(time.Second)))
		b.log.Log(context.Background(), one.level, fmt.Sprintf("%d %s", more, text), keyQueueJob, key.queueJob, "reason", string(key.reason))
	}
}

// flush ends all windows.
func (b *bursts) flush() {
	b.mu.Lock()
	open := make(map[burstKey]*burst, len(b.all))
	for key, one := range b.all {
		one.end.Stop()
		open[key] = one
	}
	b.mu.Unlock()
	for key, one := range open {
		b.over(key, one)
	}
}
