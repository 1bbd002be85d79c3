package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/httpapi/client"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/record"
	"github.com/queuemill/queuemill/internal/store"
)

// serve answers on a port of the kernel's choice and returns a client of it.
func serve(t *testing.T, b *backend, token string) *client.Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- httpapi.New(b.server(), httpapi.Options{Token: token}).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	c, err := client.New("http://"+l.Addr().String(), token)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPagesCoverEveryJobOnceWhileOthersCome(t *testing.T) {
	b := newBackend()
	want := map[string]bool{}
	for i := range 7 {
		name := fmt.Sprintf("ping-%d", i)
		b.add(t, name, record.Succeeded, "{}", false)
		want[name] = true
	}
	c := serve(t, b, "")
	got, cursor := map[string]bool{}, ""
	for page := 0; ; page++ {
		l, err := c.Jobs(t.Context(), httpapi.JobFilter{States: []record.State{record.Succeeded}}, 3, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range l.Jobs {
			if got[j.Name] {
				t.Errorf("%s is on two pages", j.Name)
			}
			got[j.Name] = true
		}
		if page == 0 { // the last one of the page goes, and a further one comes
			if err := b.Delete(t.Context(), l.Jobs[2].Name, ""); err != nil {
				t.Fatal(err)
			}
			b.add(t, "ping-late", record.Succeeded, "{}", false)
			want["ping-late"] = true
		}
		if cursor = l.Cursor; cursor == "" {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestConfidentialContentIsShownOnRequestOnly(t *testing.T) {
	const secret = "4111111111111111"
	b := newBackend()
	b.add(t, "ping-invalid", record.Invalid, `{"card":"`+secret+`"}`, true)
	b.add(t, "ping-open", record.Failed, `{"card":"`+secret+`"}`, false)
	close(b.idle)
	s := httpapi.New(b.server(), httpapi.Options{})
	for target, shown := range map[string]bool{
		"/v1/jobs":                                false,
		"/v1/events?untilIdle=true":               false,
		"/v1/jobs/ping-invalid":                   false,
		"/v1/jobs/ping-invalid?confidential=true": true,
		"/v1/jobs/ping-open":                      true,
	} {
		res := request(t, s, http.MethodGet, target, "", "")
		if res.Code != 200 || strings.Contains(res.Body.String(), secret) != shown {
			t.Errorf("%s: status %d, want the secret shown: %v: %s", target, res.Code, shown, res.Body)
		}
	}
}

func TestRetryTakesWhatTheFilterMeans(t *testing.T) {
	b := newBackend()
	b.add(t, "ping-good", record.Succeeded, "{}", false)
	b.add(t, "ping-bad", record.Failed, "{}", false)
	b.add(t, "ping-worse", record.Failed, "{}", false)
	b.add(t, "ping-invalid", record.Invalid, "{}", false)
	b.add(t, "ping-runs", record.Running, "{}", false)
	b.refuse["ping-worse"] = httpapi.NewProblem(http.StatusConflict, "its QueueJob is gone", "add it again")
	c := serve(t, b, "secret")

	dry, err := c.RetryMany(t.Context(), httpapi.RetryRequest{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ping-bad", "ping-worse", "ping-invalid"}, dry.Jobs); diff != "" || len(b.retried) > 0 {
		t.Errorf("dry run: %s; retried %v", diff, b.retried)
	}
	for _, unfit := range []record.State{record.Running, record.Queued} {
		dry, err := c.RetryMany(t.Context(), httpapi.RetryRequest{JobFilter: httpapi.JobFilter{States: []record.State{unfit}}, DryRun: true})
		if err != nil || len(dry.Jobs) > 0 {
			t.Errorf("%s jobs would be retried: %v, %v", unfit, dry.Jobs, err)
		}
	}
	done, err := c.RetryMany(t.Context(), httpapi.RetryRequest{JobFilter: httpapi.JobFilter{States: []record.State{"failed"}}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ping-bad"}, b.retried); diff != "" {
		t.Error(diff)
	}
	if len(done.Refused) != 1 || done.Refused[0].Job != "ping-worse" || done.Refused[0].Error.Hint != "add it again" {
		t.Errorf("refused %+v", done.Refused)
	}
}

func TestEventsTellWhatThereIsAndEachChange(t *testing.T) {
	b := newBackend()
	b.add(t, "ping-old", record.Running, "{}", false)
	b.add(t, "ping-stays", record.Succeeded, "{}", false) // told once
	c := serve(t, b, "")
	var got []string
	step := 0
	err := c.Watch(t.Context(), httpapi.JobFilter{QueueJob: "ping"}, true, func(e httpapi.Event) error {
		text := string(e.Type)
		if e.Job != nil {
			text += " " + e.Job.Name + " " + string(e.Job.State)
		}
		got = append(got, text)
		switch step++; step {
		case 3:
			b.Finish("ping-old", false)
		case 4:
			if err := b.Delete(context.Background(), "ping-old", ""); err != nil {
				return err
			}
		case 5:
			close(b.idle)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Listed ping-old Running", "Listed ping-stays Succeeded", "Synced", "Changed ping-old Failed", "Deleted ping-old Failed", "Idle"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLogsFollowUntilTheAttemptEnds(t *testing.T) {
	b := newBackend()
	b.add(t, "ping-runs", record.Running, "{}", false)
	b.Output("ping-runs", "one\n")
	c := serve(t, b, "")
	logs, err := c.Logs(t.Context(), "ping-runs", 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	lines := bufio.NewScanner(logs)
	var got []string
	for lines.Scan() {
		got = append(got, lines.Text())
		switch lines.Text() {
		case "one":
			b.Output("ping-runs", "two\n")
		case "two":
			b.Finish("ping-runs", true)
		}
	}
	if diff := cmp.Diff([]string{"one", "two"}, got); diff != "" || lines.Err() != nil {
		t.Error(diff, lines.Err())
	}
}

func TestSendAnswersWithIDAndLocation(t *testing.T) {
	b := newBackend()
	s := httpapi.New(b.server(), httpapi.Options{})
	res := request(t, s, http.MethodPost, "/v1/queues/ping/messages", "", `{"body":"a \u0007 <b> &"}`)
	if res.Code == 202 {
		t.Fatal("the queue took a character that SQS refuses")
	}
	res = request(t, s, http.MethodPost, "/v1/queues/ping/messages", "", `{"body":"<b> & \"x\"\n"}`)
	var sent httpapi.SendResult
	if err := json.Unmarshal(res.Body.Bytes(), &sent); err != nil || res.Code != 202 || sent.ID == "" {
		t.Fatalf("status %d: %s", res.Code, res.Body)
	}
	if got, want := res.Header().Get("Location"), "/v1/jobs?messageId="+sent.ID; got != want {
		t.Errorf("Location %q, want %q", got, want)
	}
	if got := b.queues["ping"].Messages()[0].Body; got != "<b> & \"x\"\n" {
		t.Errorf("body %q", got)
	}
}

func TestErrorsOfBackendsHaveTheirStatus(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{executor.ErrNotFound, 404},
		{queue.ErrNotFound, 404},
		{queue.ErrInvalid, 400},
		{queue.ErrThrottled, 429},
		{queue.ErrUnreachable, 502},
		{executor.ErrTerminating, 409},
		{executor.ErrUnavailable, 503},
		{errors.ErrUnsupported, 501},
		{fmt.Errorf("%w: %w", queue.ErrThrottled, store.ErrFull), 507},
		{httpapi.NewProblem(409, "taken", "wait"), 409},
		{errors.New("something else"), 500},
	} {
		b := newBackend()
		b.add(t, "ping-bad", record.Failed, "{}", false)
		b.refuse["ping-bad"] = fmt.Errorf("retry: %w", c.err)
		res := request(t, httpapi.New(b.server(), httpapi.Options{}), http.MethodPost, "/v1/jobs/ping-bad/retry", "", "")
		if res.Code != c.status {
			t.Errorf("%v: status %d, want %d", c.err, res.Code, c.status)
		}
		wantProblem(t, res, c.status)
	}
}

func TestBatchAnswersMessageByMessage(t *testing.T) {
	b := newBackend()
	c := serve(t, b, "")
	body := func(s string) json.RawMessage { return json.RawMessage(s) }
	results, err := c.Send(t.Context(), "ping", []httpapi.OutgoingMessage{{Body: body(`"one"`)}, {Body: body(`"\u0007"`)}, {Body: body(`{"n": 3}`)}})
	if err != nil {
		t.Fatal(err)
	}
	if results[0].ID == "" || results[1].Error == nil || results[1].ID != "" || results[2].ID == "" {
		t.Errorf("results %+v", results)
	}
	var bodies []string
	for _, m := range b.queues["ping"].Messages() {
		bodies = append(bodies, m.Body)
	}
	if diff := cmp.Diff([]string{"one", `{"n":3}`}, bodies); diff != "" {
		t.Error(diff)
	}
	_, err = c.Send(t.Context(), "rows", []httpapi.OutgoingMessage{{Body: body(`"x"`)}})
	var p *httpapi.Problem
	if !errors.As(err, &p) || !strings.Contains(p.Hint, "csv-rows") {
		t.Errorf("error %v, want a hint at the queue csv-rows", err)
	}
}
