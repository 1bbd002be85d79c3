package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/queuemill/queuemill/internal/scale"
	"github.com/queuemill/queuemill/internal/store"
)

// poolStates keep what was decided last for each WorkerPool, so that cooldowns
// and idleAfter hold over a restart. Without a store they keep nothing.
type poolStates struct{ db *store.DB }

// poolState is what is kept of a scale.State.
type poolState struct {
	Desired   int       `json:"desired"`
	LastOut   time.Time `json:"lastOut,omitzero"`
	LastIn    time.Time `json:"lastIn,omitzero"`
	IdleSince time.Time `json:"idleSince,omitzero"`
}

func poolStateKey(pool string) []byte {
	return append([]byte{store.SpaceControl}, "scale/"+pool...)
}

// get is the zero State for a pool that nothing was decided about.
func (s poolStates) get(pool string) (scale.State, error) {
	if s.db == nil {
		return scale.State{}, nil
	}
	value, closer, err := s.db.Pebble().Get(poolStateKey(pool))
	if errors.Is(err, pebble.ErrNotFound) {
		return scale.State{}, nil
	}
	var kept poolState
	if err == nil {
		err = json.Unmarshal(value, &kept)
		_ = closer.Close()
	}
	if err != nil {
		return scale.State{}, fmt.Errorf("read what was decided about workerpool %s: %w", pool, err)
	}
	return scale.State{Desired: kept.Desired, LastOut: kept.LastOut, LastIn: kept.LastIn, IdleSince: kept.IdleSince, Decided: true}, nil
}

func (s poolStates) set(pool string, state scale.State) error {
	if s.db == nil {
		return nil
	}
	value, err := json.Marshal(poolState{state.Desired, state.LastOut, state.LastIn, state.IdleSince})
	if err == nil {
		err = s.write(func(b *pebble.Batch) error { return b.Set(poolStateKey(pool), value, nil) })
	}
	if err != nil {
		return fmt.Errorf("keep what was decided about workerpool %s: %w", pool, err)
	}
	return nil
}

// forget is for a pool that is no more.
func (s poolStates) forget(pool string) error {
	if s.db == nil {
		return nil
	}
	if err := s.write(func(b *pebble.Batch) error { return b.Delete(poolStateKey(pool), nil) }); err != nil {
		return fmt.Errorf("forget what was decided about workerpool %s: %w", pool, err)
	}
	return nil
}

func (s poolStates) write(change func(*pebble.Batch) error) error {
	b := s.db.Pebble().NewBatch()
	defer b.Close()
	if err := change(b); err != nil {
		return err
	}
	return s.db.CommitFreeing(b)
}
