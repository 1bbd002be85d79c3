package sqs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/sqs"
)

// call is a request as the service sees it.
type call struct {
	action string
	body   struct {
		QueueUrl, QueueName string
		Entries             []struct{ Id, ReceiptHandle, MessageBody string }
	}
	credential string // of the Authorization header
}

// service is a scripted SQS: what real ones do rarely or not on demand.
type service struct {
	*httptest.Server

	mu    sync.Mutex
	calls []call
	reply func(call) (status int, body any)
}

// fault is the wire's form of an error.
func fault(code, text string) map[string]string {
	return map[string]string{"__type": "com.amazonaws.sqs#" + code, "message": text}
}

// allDone is the answer of a batch with every entry successful.
func allDone(c call) (int, any) {
	var entries []map[string]string
	for _, e := range c.body.Entries {
		entries = append(entries, map[string]string{"Id": e.Id, "MessageId": "id-" + e.Id})
	}
	return http.StatusOK, map[string]any{"Successful": entries}
}

func newService(t *testing.T, reply func(call) (int, any)) *service {
	t.Helper()
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())
	s := &service{reply: reply}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", s.URL+"/imds") // seen as a call without an action
	t.Cleanup(s.Close)
	return s
}

func (s *service) serve(w http.ResponseWriter, r *http.Request) {
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	c := call{action: action}
	_, c.credential, _ = strings.Cut(r.Header.Get("Authorization"), "Credential=")
	data, _ := io.ReadAll(r.Body)
	if action == "" {
		c.action = r.URL.Path + " " + string(data)
	} else if err := json.Unmarshal(data, &c.body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.calls = append(s.calls, c)
	s.mu.Unlock()
	status, body := s.reply(c)
	if text, ok := body.(string); ok {
		w.WriteHeader(status)
		io.WriteString(w, text)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func (s *service) open(t *testing.T, source v1alpha1.SQSSource) *sqs.Queue {
	t.Helper()
	if source.URL == "" && source.Name == "" {
		source.URL = s.URL + "/000000000000/ping"
	}
	q, err := sqs.Open(t.Context(), source, sqs.Options{Endpoint: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func receipts(n int) (out []queue.Receipt) {
	for i := range n {
		out = append(out, queue.Receipt(fmt.Sprint("r", i)))
	}
	return out
}

func TestOpenByURLMakesNoCall(t *testing.T) {
	s := newService(t, allDone)
	q := s.open(t, v1alpha1.SQSSource{})
	if len(s.calls) != 0 || q.Name() != "ping" || q.URL() != s.URL+"/000000000000/ping" {
		t.Errorf("%d calls, name %s, URL %s", len(s.calls), q.Name(), q.URL())
	}
}

func TestOpenByNameLooksItUp(t *testing.T) {
	s := newService(t, func(c call) (int, any) {
		if c.body.QueueName != "ping" {
			return http.StatusBadRequest, fault("QueueDoesNotExist", "The specified queue does not exist.")
		}
		return http.StatusOK, map[string]string{"QueueUrl": "http://there/1/ping"}
	})
	if q := s.open(t, v1alpha1.SQSSource{Name: "ping"}); q.URL() != "http://there/1/ping" {
		t.Errorf("URL %s", q.URL())
	}
	_, err := sqs.Open(t.Context(), v1alpha1.SQSSource{Name: "pong"}, sqs.Options{Endpoint: s.URL})
	if !errors.Is(err, queue.ErrNotFound) || !strings.Contains(err.Error(), "pong") {
		t.Errorf("open a queue that does not exist: %v", err)
	}
}

func TestLocalServerNeedsNoCredentials(t *testing.T) {
	s := newService(t, allDone)
	q := s.open(t, v1alpha1.SQSSource{})
	if err := q.Delete(t.Context(), receipts(1))[0]; err != nil {
		t.Fatal(err)
	}
	if len(s.calls) != 1 || !strings.HasPrefix(s.calls[0].credential, "local/") {
		t.Errorf("calls %+v: want one, signed by the stand-in, and none for an instance's credentials", s.calls)
	}
}

func TestConfiguredCredentialsAndRegionAreUsed(t *testing.T) {
	s := newService(t, allDone)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDMINE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	q := s.open(t, v1alpha1.SQSSource{URL: s.URL + "/1/ping", Region: "eu-north-1"})
	if err := q.Delete(t.Context(), receipts(1))[0]; err != nil {
		t.Fatal(err)
	}
	if c := s.calls[0].credential; !strings.HasPrefix(c, "AKIDMINE/") || !strings.Contains(c, "/eu-north-1/sqs/") {
		t.Errorf("signed as %s", c)
	}
}

func TestRoleIsAssumed(t *testing.T) {
	s := newService(t, func(c call) (int, any) {
		if strings.Contains(c.action, "AssumeRole") {
			return http.StatusOK, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>` +
				`<AccessKeyId>AKIDROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>` +
				`</Credentials></AssumeRoleResult></AssumeRoleResponse>`
		}
		return allDone(c)
	})
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDMINE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_ENDPOINT_URL_STS", s.URL)
	q := s.open(t, v1alpha1.SQSSource{URL: s.URL + "/1/ping", RoleARN: "arn:aws:iam::123456789012:role/mill"})
	if err := q.Delete(t.Context(), receipts(1))[0]; err != nil {
		t.Fatal(err)
	}
	if len(s.calls) != 2 || !strings.Contains(s.calls[0].action, "role%2Fmill") || !strings.HasPrefix(s.calls[1].credential, "AKIDROLE/") {
		t.Errorf("calls %+v: want the role assumed, then used", s.calls)
	}
}

func TestErrorsAreTheSeams(t *testing.T) {
	for _, c := range []struct {
		status int
		body   any
		want   error
	}{
		{400, fault("QueueDoesNotExist", "The specified queue does not exist."), queue.ErrNotFound},
		{400, fault("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist."), queue.ErrNotFound},
		{400, fault("ReceiptHandleIsInvalid", "The input receipt handle is invalid."), queue.ErrReceiptInvalid},
		{400, fault("AWS.SimpleQueueService.MessageNotInflight", ""), queue.ErrReceiptInvalid},
		{400, fault("InvalidParameterValue", "Value r for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."), queue.ErrReceiptInvalid},
		{400, fault("InvalidParameterValue", "Value 50000 for parameter VisibilityTimeout is invalid."), queue.ErrInvalid},
		{400, fault("BatchRequestTooLong", "Batch requests cannot be longer than 1048576 bytes."), queue.ErrInvalid},
		{403, fault("RequestThrottled", "slow down"), queue.ErrThrottled},
		{400, fault("ThrottlingException", "Rate exceeded"), queue.ErrThrottled},
		{403, fault("OverLimit", "Too many messages in flight."), queue.ErrThrottled},
		{403, fault("AccessDenied", "Access to the resource is denied."), queue.ErrDenied},
		{403, fault("InvalidClientTokenId", "The security token included in the request is invalid."), queue.ErrDenied},
		{403, fault("SignatureDoesNotMatch", "…"), queue.ErrDenied},
		{403, "<html>a proxy's refusal</html>", queue.ErrDenied},
		{429, "slow down", queue.ErrThrottled},
		{500, fault("InternalError", "We encountered an internal error."), queue.ErrUnreachable},
		{503, "<html>down</html>", queue.ErrUnreachable},
	} {
		s := newService(t, func(call) (int, any) { return c.status, c.body })
		_, err := s.open(t, v1alpha1.SQSSource{}).Receive(t.Context(), queue.ReceiveOptions{Max: 1})
		for _, kind := range []error{queue.ErrNotFound, queue.ErrReceiptInvalid, queue.ErrInvalid, queue.ErrThrottled, queue.ErrDenied, queue.ErrUnreachable} {
			if errors.Is(err, kind) != errors.Is(c.want, kind) {
				t.Errorf("%d %v: %v, want %v", c.status, c.body, err, c.want)
			}
		}
		if err == nil || !strings.HasPrefix(err.Error(), "receive from ping: ") {
			t.Errorf("%v does not say what failed", err)
		}
		if len(s.calls) != 1 {
			t.Errorf("%d %v: receive was called %d times, want once", c.status, c.body, len(s.calls))
		}
	}
}

func TestNobodyListensIsUnreachable(t *testing.T) {
	s := newService(t, allDone)
	q := s.open(t, v1alpha1.SQSSource{})
	s.Close()
	_, err := q.Receive(t.Context(), queue.ReceiveOptions{Max: 1})
	if !errors.Is(err, queue.ErrUnreachable) {
		t.Errorf("receive: %v", err)
	}
	if text := err.Error(); !strings.Contains(text, "connection refused") || strings.Contains(text, "RequestID") || strings.Contains(text, "attempts") {
		t.Errorf("a person is told %q", text)
	}
}

func TestServerThatNeverAnswersIsLeft(t *testing.T) {
	release := make(chan struct{})
	s := newService(t, func(c call) (int, any) { <-release; return allDone(c) })
	defer close(release)
	q := s.open(t, v1alpha1.SQSSource{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := q.Delete(ctx, receipts(1))[0]; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("delete: %v", err)
	}
}

func TestSendRepeatsOnlyWhatWasSurelyNotDone(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		sends  int
		want   error
	}{
		{403, "RequestThrottled", 3, queue.ErrThrottled},
		{500, "InternalError", 1, queue.ErrUnreachable},
	} {
		s := newService(t, func(call) (int, any) { return c.status, fault(c.code, "") })
		r := s.open(t, v1alpha1.SQSSource{}).Send(t.Context(), []queue.Outgoing{{Body: "x"}})[0]
		if !errors.Is(r.Err, c.want) || len(s.calls) != c.sends {
			t.Errorf("%s: %v after %d requests, want %v after %d", c.code, r.Err, len(s.calls), c.want, c.sends)
		}
	}
}

func TestDeleteIsRepeatedUntilItIsDone(t *testing.T) {
	n := 0
	s := newService(t, func(c call) (int, any) {
		if n++; n < 3 {
			return http.StatusServiceUnavailable, "down"
		}
		return allDone(c)
	})
	if err := s.open(t, v1alpha1.SQSSource{}).Delete(t.Context(), receipts(1))[0]; err != nil {
		t.Errorf("delete: %v", err)
	}
}

func TestFailedEntriesFailAlone(t *testing.T) {
	s := newService(t, func(call) (int, any) {
		return http.StatusOK, map[string]any{
			"Successful": []map[string]string{{"Id": "0"}, {"Id": "77"}},
			"Failed": []map[string]any{
				{"Id": "1", "Code": "ReceiptHandleIsInvalid", "SenderFault": true, "Message": "no"},
				{"Id": "2", "Code": "RequestThrottled", "SenderFault": true},
				{"Id": "3", "Code": "Whatever", "SenderFault": false},
				{"Id": "-1", "Code": "Whatever"},
			},
		}
	})
	errs := s.open(t, v1alpha1.SQSSource{}).Delete(t.Context(), receipts(5))
	for i, want := range []error{nil, queue.ErrReceiptInvalid, queue.ErrThrottled, queue.ErrUnreachable, queue.ErrUnreachable} {
		if !errors.Is(errs[i], want) {
			t.Errorf("item %d: %v, want %v", i, errs[i], want)
		}
	}
}

func TestRefusedBatchIsAskedItemByItem(t *testing.T) {
	s := newService(t, func(c call) (int, any) {
		for _, e := range c.body.Entries {
			if e.MessageBody == "bad" {
				return http.StatusBadRequest, fault("InvalidMessageContents", "bad")
			}
		}
		return allDone(c)
	})
	results := s.open(t, v1alpha1.SQSSource{}).Send(t.Context(), []queue.Outgoing{{Body: "a"}, {Body: "bad"}, {Body: "c"}})
	if results[0].ID != "id-0" || !errors.Is(results[1].Err, queue.ErrInvalid) || results[2].ID != "id-2" {
		t.Errorf("results %+v, want the bad one alone refused", results)
	}
}

func TestBatchesKeepToTenAndOneMebibyte(t *testing.T) {
	s := newService(t, allDone)
	q := s.open(t, v1alpha1.SQSSource{})
	for i, err := range q.Delete(t.Context(), receipts(25)) {
		if err != nil {
			t.Errorf("delete %d: %v", i, err)
		}
	}
	big := strings.Repeat("x", 400<<10)
	for i, r := range q.Send(t.Context(), []queue.Outgoing{{Body: big}, {Body: big}, {Body: big}, {Body: "s"}, {Body: "\xff"}, {Body: "t"}}) {
		if (r.Err != nil) != (i == 4) || r.Err == nil && r.ID != fmt.Sprint("id-", i) {
			t.Errorf("send %d: %+v", i, r)
		}
	}
	sizes := map[string][]int{}
	for _, c := range s.calls {
		sizes[c.action] = append(sizes[c.action], len(c.body.Entries))
	}
	for action, want := range map[string][]int{"DeleteMessageBatch": {5, 10, 10}, "SendMessageBatch": {1, 2, 2}} {
		slices.Sort(sizes[action])
		if !slices.Equal(sizes[action], want) {
			t.Errorf("%s in batches of %v, want %v", action, sizes[action], want)
		}
	}
}

func TestFIFOBatchesGoOneAfterAnother(t *testing.T) {
	s := newService(t, allDone)
	q := s.open(t, v1alpha1.SQSSource{URL: s.URL + "/1/ping.fifo"})
	var messages []queue.Outgoing
	for i := range 95 {
		messages = append(messages, queue.Outgoing{Body: fmt.Sprint(i), GroupID: "g"})
	}
	q.Send(t.Context(), messages)
	next := 0
	for _, c := range s.calls {
		for _, e := range c.body.Entries {
			if e.MessageBody != fmt.Sprint(next) {
				t.Fatalf("message %s arrived where %d is due", e.MessageBody, next)
			}
			next++
		}
	}
}

func TestPeekGivesBackEvenWhenItsCallerLeaves(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	receives := 0
	s := newService(t, func(c call) (int, any) {
		if c.action != "ReceiveMessage" {
			return allDone(c)
		}
		if receives++; receives > 1 {
			cancel()
			return http.StatusOK, map[string]any{}
		}
		return http.StatusOK, map[string]any{"Messages": []map[string]string{{"MessageId": "m", "ReceiptHandle": "r", "Body": "b"}}}
	})
	q := s.open(t, v1alpha1.SQSSource{})
	seen, err := q.Peek(ctx, 100)
	if !errors.Is(err, context.Canceled) || len(seen) == 0 {
		t.Fatalf("peek: %d messages, %v", len(seen), err)
	}
	last := s.calls[len(s.calls)-1]
	if last.action != "ChangeMessageVisibilityBatch" || len(last.body.Entries) != len(seen) {
		t.Errorf("last call %+v, want %d messages given back", last, len(seen))
	}
}

func TestLargeAnswersAreReadWhole(t *testing.T) {
	body := strings.Repeat("x", 1<<20)
	s := newService(t, func(call) (int, any) {
		return http.StatusOK, map[string]any{"Messages": []map[string]string{{"MessageId": "m", "ReceiptHandle": "r", "Body": body}}}
	})
	q := s.open(t, v1alpha1.SQSSource{})
	for range 50 {
		got, err := q.Receive(t.Context(), queue.ReceiveOptions{Max: 1})
		if err != nil || len(got) != 1 || got[0].Body != body {
			t.Fatalf("received %d messages, %v", len(got), err)
		}
	}
}
