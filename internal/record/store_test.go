package record_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
	"github.com/queuemill/queuemill/internal/store"
)

func open(t *testing.T) (*record.Store, *store.DB) {
	t.Helper()
	db, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return record.NewStore(db), db
}

func full(name string) record.Saved {
	code := 3
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	cause := &reason.Cause{Reason: reason.NonZeroExit, Detail: "exit code 3"}
	return record.Saved{
		Record: record.Record{
			Name: name, UID: "uid-" + name, Namespace: "ns", QueueJob: "ping", Identity: "i", IdempotencyKey: "k",
			State: record.Failed, Cause: cause, Confidential: true, TemplateHash: "t", CreatedAt: at, StartedAt: at, FinishedAt: at,
			Message:  record.Message{ID: "m", Size: 7, Receipt: "receipt", SentAt: at, GroupID: "g", Items: 2},
			Attempts: []record.Attempt{{Number: 1, StartedAt: at, FinishedAt: at, ExitCode: &code, Signal: "SIGTERM", Cause: cause, PeakMemory: 1, LogSize: 2}},
			Acked:    true, RetryRequested: true,
		},
		Template: "template", Asked: 1, Orphaned: 2, Deleting: true,
	}
}

func load(t *testing.T, s *record.Store) []record.Saved {
	t.Helper()
	var list []record.Saved
	if err := s.Load(func(r record.Saved) error {
		list = append(list, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestARecordIsReadAsWritten(t *testing.T) {
	s, _ := open(t)
	want := []record.Saved{full("a"), full("b")}
	b := s.NewBatch()
	for i := range want {
		withBody := want[i]
		withBody.Message.Body = strings.Repeat("x", 1<<20)
		b.Put(&withBody)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, load(t, s)); diff != "" {
		t.Errorf("records (-written, without bodies +read):\n%s", diff)
	}
	b = s.NewBatch()
	b.Delete("a")
	if err := b.CommitNoSync(); err != nil {
		t.Fatal(err)
	}
	if got := load(t, s); len(got) != 1 || got[0].Name != "b" {
		t.Errorf("after the delete of a there are %+v", got)
	}
}

func TestContentIsKeptByteForByte(t *testing.T) {
	contents := map[string]record.Content{
		"empty": {},
		"plain": {Body: "body", Payload: "body"},
		"all": {
			Body: "\xff\x00\n", Payload: "other", Env: []message.EnvVar{{Name: "A", Value: "\xfe"}, {Name: "B"}},
			Attributes:     map[string]message.Attribute{"a": {DataType: "Binary", BinaryValue: []byte{0, 255}}},
			FileAttributes: map[string]message.Attribute{"b": {DataType: "String", StringValue: "x"}},
		},
		"large": {Body: strings.Repeat("\"\\", 1<<19), Payload: ""},
	}
	s, _ := open(t)
	for uid, c := range contents {
		b := s.NewBatch()
		b.PutContent(uid, &c)
		if err := b.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	for uid, want := range contents {
		got, err := s.Content(uid)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-written +read):\n%.500s", uid, err, diff)
		}
	}
	if _, err := s.Content("none"); !errors.Is(err, record.ErrNoContent) {
		t.Errorf("content that is not there: %v, want ErrNoContent", err)
	}
}

func TestDamagedContentIsAnError(t *testing.T) {
	s, db := open(t)
	b := s.NewBatch()
	b.PutContent("a", &record.Content{Body: "body", Payload: "payload", Env: []message.EnvVar{{Name: "A", Value: "b"}}})
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	key := append([]byte{store.SpaceRecord, 'c'}, 'a')
	whole, closer, err := db.Pebble().Get(key)
	if err != nil {
		t.Fatal(err)
	}
	value := append([]byte(nil), whole...)
	if err := closer.Close(); err != nil {
		t.Fatal(err)
	}
	for size := range value {
		if err := db.Pebble().Set(key, value[:size], pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		if c, err := s.Content("a"); err == nil {
			t.Errorf("of %d bytes of %d read %+v", size, len(value), c)
		}
	}
	if err := db.Pebble().Set(key, append([]byte{9}, value[1:]...), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Content("a"); !errors.Is(err, record.ErrNewer) {
		t.Errorf("content of version 9: %v, want ErrNewer", err)
	}
}
