package executortest

import (
	"errors"
	"testing"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/record"
)

func testPatch(t *testing.T, s *suite) {
	created := s.create(s.job("a"))
	receipt, yes := queue.Receipt("receipt-2"), true
	p := executor.Patch{Receipt: &receipt, Acked: &yes, RetryRequested: &yes}
	if _, err := s.Executor.Patch(t.Context(), "a", "another", p); !errors.Is(err, executor.ErrNotFound) {
		t.Errorf("patch of another UID: %v, want ErrNotFound", err)
	}
	if got := s.get("a"); got.Acked || got.RetryRequested || got.Message.Receipt != "receipt-1" {
		t.Errorf("patch of another UID made it %+v", got)
	}
	rec, err := s.Executor.Patch(t.Context(), "a", created.UID, p)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []record.Record{rec, s.get("a")} {
		if !got.Acked || !got.RetryRequested || got.Message.Receipt != "receipt-2" {
			t.Errorf("patched %+v", got)
		}
	}
	if _, err := s.Executor.Patch(t.Context(), "a", "", executor.Patch{}); err != nil {
		t.Errorf("patch of nothing: %v", err)
	}
	if got := s.get("a"); !got.Acked || got.Message.Receipt != "receipt-2" {
		t.Errorf("patch of nothing made it %+v", got)
	}
}

func testDelete(t *testing.T, s *suite) {
	created := s.create(s.job("a"))
	s.running("a", 1)
	if err := s.Executor.Delete(t.Context(), "a", "another"); !errors.Is(err, executor.ErrNotFound) {
		t.Errorf("delete of another UID: %v, want ErrNotFound", err)
	}
	if err := s.Executor.Delete(t.Context(), "a", created.UID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Executor.Get(t.Context(), "a"); !errors.Is(err, executor.ErrNotFound) {
		t.Errorf("get after the delete: %v, want ErrNotFound", err)
	}
	if err := s.Executor.Delete(t.Context(), "a", ""); !errors.Is(err, executor.ErrNotFound) {
		t.Errorf("second delete: %v, want ErrNotFound", err)
	}
	if list := s.list(""); len(list) != 0 {
		t.Errorf("listed %v after the delete", names(list))
	}
}

func testDeleteThenCreate(t *testing.T, s *suite) {
	first := s.create(s.job("a"))
	s.finish("a", 1, 0, "first")
	if err := s.Executor.Delete(t.Context(), "a", first.UID); err != nil {
		t.Fatal(err)
	}
	second := s.create(s.job("a"))
	if second.UID == first.UID {
		t.Errorf("both records have UID %s", first.UID)
	}
	if err := s.Executor.Delete(t.Context(), "a", first.UID); !errors.Is(err, executor.ErrNotFound) {
		t.Errorf("delete of the first one's UID: %v, want ErrNotFound", err)
	}
	s.finish("a", 1, 0, "second")
	if got := s.output("a", 1); got != "second" {
		t.Errorf("output %q, want the second record's", got)
	}
}
