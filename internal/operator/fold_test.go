package operator

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/internal/queuejob"
)

func TestManyFailuresAreTwoEventsAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told []string
		f := newFold(func(warning bool, reason queuejob.EventReason, job, note string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf("%v %s %s: %s", warning, reason, job, note))
		})
		failed := func(job string) {
			f.add(queuejob.Event{Reason: queuejob.EventFailed, Warning: true, Job: job, Message: "NonZeroExit: exit code 3"})
		}
		invalid := queuejob.Event{Reason: queuejob.EventInvalid, Warning: true, Job: "i", Message: "NotJSON: the body is secret"}
		wants := func(want ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if diff := cmp.Diff(want, told); diff != "" {
				t.Error(diff)
			}
			told = nil
		}
		for i := range 13 {
			failed(fmt.Sprintf("j%d", i))
		}
		f.add(invalid)
		wants("true Failed j0: job j0 failed: NonZeroExit: exit code 3", "true Invalid i: a message is invalid; kubectl queuemill describe i says why")
		<-time.After(foldWindow + time.Second)
		wants("true Failed j12: 12 jobs failed in the last minute, the latest j12: NonZeroExit: exit code 3")
		failed("k") // the window of what came is open still
		wants()
		<-time.After(foldWindow)
		wants("true Failed k: job k failed: NonZeroExit: exit code 3")
		<-time.After(foldWindow)
		failed("l") // a quiet minute later it is told at once
		failed("m")
		f.add(invalid)
		f.add(invalid)
		f.close()
		f.add(invalid)
		told = told[:min(2, len(told))] // what is left is told in any order
		wants("true Failed l: job l failed: NonZeroExit: exit code 3", "true Invalid i: a message is invalid; kubectl queuemill describe i says why")
	})
}

func TestNotesAreCutAtALettersEnd(t *testing.T) {
	for _, text := range []string{"", "short", "ääääääääää", "a\xff"} {
		if got := cut(text, 10); len(got) > 10 || len(text) <= 10 && text != "a\xff" && got != text {
			t.Errorf("cut of %q is %q", text, got)
		}
	}
}
