package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/queuemill/queuemill/internal/store"
)

// suspensions keeps what people said with suspend and resume. It holds until
// suspend is edited in the manifest; without a store, until the process ends.
type suspensions struct {
	db     *store.DB
	memory *sync.Map // by QueueJob; where there is no store
}

func newSuspensions(db *store.DB) suspensions { return suspensions{db, &sync.Map{}} }

// suspension is one person's word.
type suspension struct {
	Suspended bool `json:"suspended"`
	Manifest  bool `json:"manifest"` // what the manifest said then
}

func suspensionKey(queueJob string) []byte {
	return append([]byte{store.SpaceControl}, "suspend/"+queueJob...)
}

// effective is whether a QueueJob is suspended, given what its manifest says,
// and whether that is a person's word.
func (s suspensions) effective(queueJob string, manifest bool) (suspended, byPerson bool, err error) {
	if s.db == nil {
		if word, ok := s.memory.Load(queueJob); ok && word.(suspension).Manifest == manifest {
			return word.(suspension).Suspended, true, nil
		}
		return manifest, false, nil
	}
	value, closer, err := s.db.Pebble().Get(suspensionKey(queueJob))
	if errors.Is(err, pebble.ErrNotFound) {
		return manifest, false, nil
	}
	if err != nil {
		return manifest, false, fmt.Errorf("read whether %s is suspended: %w", queueJob, err)
	}
	defer closer.Close()
	var word suspension
	if err := json.Unmarshal(value, &word); err != nil {
		return manifest, false, fmt.Errorf("read whether %s is suspended: %w", queueJob, err)
	}
	if word.Manifest != manifest {
		return manifest, false, nil
	}
	return word.Suspended, true, nil
}

// follow is effective for a manifest that was read: what a person said about
// another one is forgotten.
func (s suspensions) follow(queueJob string, manifest bool) (suspended bool, err error) {
	suspended, byPerson, err := s.effective(queueJob, manifest)
	if err == nil && !byPerson {
		err = s.set(queueJob, suspension{Suspended: manifest, Manifest: manifest})
	}
	return suspended, err
}

// set is durable when it returns, where there is a store.
func (s suspensions) set(queueJob string, word suspension) error {
	if s.db == nil {
		if word.Suspended == word.Manifest {
			s.memory.Delete(queueJob)
		} else {
			s.memory.Store(queueJob, word)
		}
		return nil
	}
	key := suspensionKey(queueJob)
	value, err := json.Marshal(word)
	if err != nil {
		return fmt.Errorf("encode the suspension of %s: %w", queueJob, err)
	}
	if word.Suspended == word.Manifest {
		if _, closer, err := s.db.Pebble().Get(key); errors.Is(err, pebble.ErrNotFound) {
			return nil
		} else if err == nil {
			_ = closer.Close()
		}
	}
	batch := s.db.Pebble().NewBatch()
	defer batch.Close()
	if word.Suspended == word.Manifest {
		err = batch.Delete(key, nil)
	} else {
		err = batch.Set(key, value, nil)
	}
	if err == nil {
		err = s.db.CommitFreeing(batch)
	}
	if err != nil {
		return fmt.Errorf("keep the suspension of %s: %w", queueJob, err)
	}
	return nil
}
