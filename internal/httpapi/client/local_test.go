package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/queuemill/queuemill/internal/executor/executortest"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/httpapi/client"
)

func logs(t *testing.T, h http.HandlerFunc) (io.ReadCloser, error) {
	t.Helper()
	return client.InProcess("here", h).Logs(t.Context(), "job", 0, true)
}

func TestAnAnswerIsReadWhileItIsWritten(t *testing.T) {
	more := make(chan struct{})
	out, err := logs(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "one")
		<-more
		fmt.Fprint(w, "two")
	})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	begin := make([]byte, 3)
	if _, err := io.ReadFull(out, begin); err != nil || string(begin) != "one" {
		t.Fatalf("read %q, %v", begin, err)
	}
	close(more)
	if rest, err := io.ReadAll(out); err != nil || string(rest) != "two" {
		t.Fatalf("read %q, %v", rest, err)
	}
}

func TestAReaderThatLeavesEndsTheHandler(t *testing.T) {
	ended := make(chan error, 1)
	out, err := logs(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		<-r.Context().Done()
		_, err := fmt.Fprint(w, "to nobody")
		ended <- err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("a write to a reader that left succeeds")
	}
}

func TestTheEndOfTheContextEndsARequestThatIsNotAnswered(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	c := client.InProcess("here", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
		close(ended)
	}))
	if _, err := c.Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("status: %v, want the context's end", err)
	}
	<-ended
}

func TestAnAbortedAnswerIsNoEnd(t *testing.T) {
	out, err := logs(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "begun")
		panic(http.ErrAbortHandler)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if got, err := io.ReadAll(out); !errors.Is(err, io.ErrUnexpectedEOF) || string(got) != "begun" {
		t.Errorf("read %q, %v, want an unexpected end", got, err)
	}
}

// The guards of the API take a request of this process for one of this machine.
func TestTheAPIAnswersInProcess(t *testing.T) {
	fake := executortest.NewFake()
	c := client.InProcess("here", httpapi.New(httpapi.Backend{Jobs: fake}, httpapi.Options{}))
	_, err := c.Job(t.Context(), "nobody", false)
	var problem *httpapi.Problem
	if !errors.As(err, &problem) || problem.Status != http.StatusNotFound {
		t.Errorf("a job that is not there: %v", err)
	}
	if _, err := c.RetryMany(t.Context(), httpapi.RetryRequest{DryRun: true}); err != nil {
		t.Errorf("a request with a body: %v", err)
	}
	if c.Server() != "here" || !c.Local() {
		t.Errorf("server %q, local %v", c.Server(), c.Local())
	}
}
