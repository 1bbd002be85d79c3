package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/internal/scale"
	"github.com/queuemill/queuemill/internal/store"
)

func TestWhatWasDecidedAboutAPoolOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	open := func() *store.DB {
		t.Helper()
		db, err := store.Open(dir, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	at := time.Now().UTC().Round(0)
	want := scale.State{Desired: 3, LastOut: at, IdleSince: at.Add(time.Minute), Decided: true}
	db := open()
	states := poolStates{db}
	if got, err := states.get("p"); err != nil || got.Decided {
		t.Errorf("nothing was decided: %+v, %v", got, err)
	}
	if err := states.set("p", want); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open()
	defer db.Close()
	states = poolStates{db}
	got, err := states.get("p")
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if other, err := states.get("q"); err != nil || other.Decided {
		t.Errorf("another pool: %+v, %v", other, err)
	}
	if err := states.forget("p"); err != nil {
		t.Error(err)
	}
	if got, err := states.get("p"); err != nil || got.Decided {
		t.Errorf("forgotten: %+v, %v", got, err)
	}
}
