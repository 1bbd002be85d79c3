package store

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
)

// Sizes. An idle process pays for none of them: the memtable starts small and
// the cache fills with use.
const (
	memTableSize      = 16 << 20
	smallMemTableSize = 2 << 20  // on a disk of a few hundred MiB
	cacheSize         = 64 << 20 // the memtables are part of it
	blockSize         = 32 << 10
)

func (db *DB) pebbleOptions() *pebble.Options {
	size := uint64(memTableSize)
	if db.space.small() {
		size = smallMemTableSize
	}
	o := &pebble.Options{
		FS:                          db.wal,
		FormatMajorVersion:          pebble.FormatValueSeparation,
		CacheSize:                   cacheSize,
		MemTableSize:                size,
		MemTableStopWritesThreshold: 4,
		L0StopWritesThreshold:       24,
		MaxOpenFiles:                512,
		Logger:                      pebbleLogger{db.log},
	}
	// Larger blocks than the default's 4 KiB: a backlog is read in order, so that
	// what comes along is wanted next.
	o.Levels[0].BlockSize = blockSize
	// What is flushed is soon compacted or gone: compressing it twice is a tenth
	// of a batched send's CPU.
	o.Levels[0].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	o.Levels[1].Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	// The default scheduler looks every 100 ms whether more compactions may run
	// at once, which costs an idle process 50 ms of CPU a minute. This one looks
	// when a compaction is wanted and when one ends. (Its name is of Pebble's
	// tests; only the ticking is left out.)
	o.Experimental.CompactionScheduler = pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
	return o
}

// pebbleLogger hands Pebble's words to slog.
type pebbleLogger struct{ log *slog.Logger }

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug(fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Error("store", "error", fmt.Sprintf(format, args...))
}

// Fatalf is called where going on would lose data. The process ends as if it
// were killed, which loses nothing that was answered.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.log.Error("store can't go on", "error", fmt.Sprintf(format, args...))
	fmt.Fprintf(os.Stderr, "queuemill: the store can't go on: "+format+"\n", args...)
	os.Exit(1)
}
