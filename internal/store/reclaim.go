package store

import (
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Removed data gives its space back only when the removal has reached the
// tables on disk and they are compacted, which a quiet database may not do for
// long. While the disk is full and something was removed, reclaim does both.

// reclaimPause is the time from the end of one reclaim to the next one.
const reclaimPause = 500 * time.Millisecond

// reclaimSoon starts a reclaim unless one runs. Close waits for it.
func (db *DB) reclaimSoon() {
	db.reclaimMu.Lock()
	defer db.reclaimMu.Unlock()
	db.removed = true
	if db.reclaiming || db.closing {
		return
	}
	db.reclaiming = true
	db.background.Go(db.reclaim)
}

func (db *DB) reclaim() {
	for db.takeRemoved() {
		if err := db.flushAndCompact(); err != nil {
			db.log.Debug("reclaim space", "error", err)
		}
		db.space.look()
		timer := time.NewTimer(reclaimPause)
		select {
		case <-timer.C:
		case <-db.ctx.Done():
			timer.Stop()
		}
	}
}

// takeRemoved says whether there is something to reclaim, else ends reclaiming.
func (db *DB) takeRemoved() bool {
	db.reclaimMu.Lock()
	defer db.reclaimMu.Unlock()
	if !db.removed || db.closing || !db.space.full.Load() {
		db.reclaiming, db.removed = false, false
		return false
	}
	db.removed = false
	return true
}

func (db *DB) flushAndCompact() error {
	if err := db.pebble.Flush(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(db.ctx, time.Minute)
	defer cancel()
	return db.pebble.Compact(ctx, []byte{SpaceMeta}, []byte{SpaceControl + 1}, false)
}

// CommitFreeing is Commit for what removes data, or must be said even on a full
// disk: it is not refused with ErrFull.
func (db *DB) CommitFreeing(b *pebble.Batch) error {
	err := db.commit(b)
	if err == nil && db.space.full.Load() {
		db.reclaimSoon()
	}
	return err
}
