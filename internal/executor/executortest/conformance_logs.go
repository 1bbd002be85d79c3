package executortest

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/queuemill/queuemill/internal/executor"
)

func testLogs(t *testing.T, s *suite) {
	job := s.job("a")
	s.create(job)
	rec := s.finish("a", 1, 1, "first\n")
	if !s.NoLogSize && rec.Attempts[0].LogSize != int64(len("first\n")) {
		t.Errorf("log size %d", rec.Attempts[0].LogSize)
	}
	job.Attempt = 2
	s.create(job)
	s.finish("a", 2, 0, "second\n")
	for attempt, want := range map[int]string{1: "first\n", 2: "second\n", 0: "second\n"} {
		if got := s.output("a", attempt); got != want {
			t.Errorf("output of attempt %d is %q, want %q", attempt, got, want)
		}
	}
}

func testFollow(t *testing.T, s *suite) {
	s.create(s.job("a"))
	log, err := s.Executor.Logs(t.Context(), "a", executor.LogOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() { got <- s.readAll(log) }()
	s.finish("a", 1, 0, "all of it\n")
	select {
	case out := <-got:
		if out != "all of it\n" {
			t.Errorf("followed %q", out)
		}
	case <-time.After(patience):
		t.Fatal("following did not end with the attempt")
	}
}

func testFollowCancelled(t *testing.T, s *suite) {
	s.create(s.job("a"))
	ctx, cancel := context.WithCancel(t.Context())
	log, err := s.Executor.Logs(ctx, "a", executor.LogOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	s.running("a", 1)
	ended := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(log)
		ended <- err
	}()
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("following ended with %v, want its context's error", err)
		}
	case <-time.After(patience):
		t.Fatal("following did not end with its context")
	}
}
