package operator

import (
	"fmt"
	"sync"
	"time"

	"github.com/queuemill/queuemill/internal/queuejob"
)

// foldWindow is how long further events of a reason are only counted.
const foldWindow = time.Minute

// fold keeps events from being one per message: the first of a reason is told
// at once, those of the next minute as one, with their number and the latest.
type fold struct {
	tell func(warning bool, reason queuejob.EventReason, job, note string)

	mu     sync.Mutex
	closed bool
	open   map[queuejob.EventReason]*window
}

type window struct {
	more   int // since the one that was told
	latest queuejob.Event
	end    *time.Timer
}

func newFold(tell func(warning bool, reason queuejob.EventReason, job, note string)) *fold {
	return &fold{tell: tell, open: map[queuejob.EventReason]*window{}}
}

// add takes one event.
func (f *fold) add(e queuejob.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	if w := f.open[e.Reason]; w != nil {
		w.more++
		w.latest = e
		return
	}
	f.tell(e.Warning, e.Reason, e.Job, single(e))
	f.begin(e.Reason)
}

// begin opens a window; f.mu is held.
func (f *fold) begin(reason queuejob.EventReason) {
	w := &window{}
	w.end = time.AfterFunc(foldWindow, func() { f.over(reason, w) })
	f.open[reason] = w
}

// over ends a window. One in which more came is told, and another one follows.
func (f *fold) over(reason queuejob.EventReason, w *window) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.open[reason] != w {
		return
	}
	delete(f.open, reason)
	if w.more == 0 {
		return
	}
	f.tell(w.latest.Warning, reason, w.latest.Job, several(w))
	f.begin(reason)
}

// close tells what is counted and takes nothing more.
func (f *fold) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for reason, w := range f.open {
		w.end.Stop()
		if w.more > 0 {
			f.tell(w.latest.Warning, reason, w.latest.Job, several(w))
		}
	}
}

// single is the note of one event. That of an invalid message quotes it, so a
// hint stands instead.
func single(e queuejob.Event) string {
	switch e.Reason {
	case queuejob.EventFailed:
		return fmt.Sprintf("job %s failed: %s", e.Job, e.Message)
	case queuejob.EventInvalid:
		return fmt.Sprintf("a message is invalid; kubectl queuemill describe %s says why", e.Job)
	case queuejob.EventDeleted, queuejob.EventRetryRefused, queuejob.EventDuplicate:
		return fmt.Sprintf("job %s: %s", e.Job, e.Message)
	}
	return e.Message
}

// manyOf says what several events of a reason are.
var manyOf = map[queuejob.EventReason]string{
	queuejob.EventFailed:       "jobs failed",
	queuejob.EventInvalid:      "messages were invalid",
	queuejob.EventDuplicate:    "duplicates were acknowledged",
	queuejob.EventDeleted:      "unfinished jobs were deleted",
	queuejob.EventRetryRefused: "retries were refused",
}

func several(w *window) string {
	what, perJob := manyOf[w.latest.Reason]
	switch {
	case w.more == 1:
		return single(w.latest)
	case !perJob:
		return fmt.Sprintf("%d times more in the last minute, the latest: %s", w.more, w.latest.Message)
	case w.latest.Reason == queuejob.EventInvalid:
		return fmt.Sprintf("%d %s in the last minute, the latest %s", w.more, what, w.latest.Job)
	}
	return fmt.Sprintf("%d %s in the last minute, the latest %s: %s", w.more, what, w.latest.Job, w.latest.Message)
}
