package executortest

import (
	"context"
	"fmt"
	"sync"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/record"
)

// Await returns the record once want says so, from what Watch and Get tell, or
// an error with how it was last when ctx or the suite's patience ends. want
// also gets records without a name: there is none now.
func Await(ctx context.Context, e Subject, name string, want func(record.Record) bool) (record.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var mu sync.Mutex
	var last record.Record
	found := false
	see := func(rec record.Record) {
		mu.Lock()
		defer mu.Unlock()
		if found {
			return
		}
		last = rec
		if want(rec) {
			found = true
			cancel()
		}
	}
	err := e.Watch(ctx, "", func() {
		rec, err := e.Get(ctx, name)
		if err != nil {
			rec = record.Record{}
		}
		see(rec)
	}, func(event executor.Event) {
		if event.Record.Name != name {
			return
		}
		if event.Deleted {
			event.Record = record.Record{}
		}
		see(event.Record)
	})
	if !found {
		return last, fmt.Errorf("job %s never became what was waited for (%w); it is %+v", name, err, last)
	}
	return last, nil
}
