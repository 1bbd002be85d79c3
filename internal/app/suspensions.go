package app

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/queuemill/queuemill/internal/store"
)

// suspensions keeps what people said with suspend and resume. It holds until
// suspend is edited in the manifest.
type suspensions struct{ db *store.DB }

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

// set is durable when it returns.
func (s suspensions) set(queueJob string, word suspension) error {
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
