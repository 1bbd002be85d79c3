package sqsserver

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

const (
	deadARN   = "arn:aws:sqs:us-east-1:000000000000:dead"
	sourceARN = "arn:aws:sqs:us-east-1:000000000000:q"
)

// deadLetters is a server whose queue "dead" holds n dead letters of "q".
func deadLetters(t *testing.T, n int) *Server {
	t.Helper()
	broker := newBroker(t, embedded.Options{})
	dead, err := broker.CreateQueue("us-east-1", "dead", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	q, err := broker.CreateQueue("us-east-1", "q", map[string]string{
		"RedrivePolicy": `{"deadLetterTargetArn":"` + deadARN + `","maxReceiveCount":1}`, "VisibilityTimeout": "0",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if r := q.Send(t.Context(), []embedded.SendEntry{{Body: "x"}})[0]; r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	for dead.Depth().Visible < n {
		if _, err := q.Receive(t.Context(), embedded.ReceiveOptions{Max: 10}); err != nil {
			t.Fatal(err)
		}
	}
	return New(broker, Options{})
}

// moves asks for the tasks of the dead-letter queue, in JSON.
func moves(t *testing.T, s *Server) []map[string]any {
	t.Helper()
	w := do(s, jsonCall("ListMessageMoveTasks", `{"SourceArn":"`+deadARN+`","MaxResults":10}`))
	var out struct{ Results []map[string]any }
	if err := json.Unmarshal(w.Body.Bytes(), &out); w.Code != http.StatusOK || err != nil {
		t.Fatalf("%d %s, %v", w.Code, w.Body, err)
	}
	return out.Results
}

func TestDeadLettersMoveBack(t *testing.T) {
	s := deadLetters(t, 3)
	w := do(s, jsonCall("StartMessageMoveTask", `{"SourceArn":"`+deadARN+`"}`))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"TaskHandle":"`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	begin := time.Now()
	for moves(t, s)[0]["Status"] == "RUNNING" {
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("still %v", moves(t, s))
		}
	}
	got := moves(t, s)[0]
	started, _ := got["StartedTimestamp"].(float64)
	if got["Status"] != "COMPLETED" || got["ApproximateNumberOfMessagesMoved"] != 3. || got["ApproximateNumberOfMessagesToMove"] != 3. ||
		got["SourceArn"] != deadARN || got["DestinationArn"] != nil || got["TaskHandle"] != nil || time.UnixMilli(int64(started)).Year() < 2024 {
		t.Errorf("task %v", got)
	}
	q, err := s.broker.QueueByARN(sourceARN)
	if err != nil || q.Depth().Visible != 3 {
		t.Errorf("source holds %+v, %v", q.Depth(), err)
	}
	// The same in Query.
	w = do(s, queryCall("/", url.Values{"Action": {"ListMessageMoveTasks"}, "SourceArn": {deadARN}}.Encode()))
	for _, want := range []string{
		"<ListMessageMoveTasksResponse", "<ListMessageMoveTasksResultEntry><Status>COMPLETED</Status><SourceArn>" + deadARN + "</SourceArn>",
		"<ApproximateNumberOfMessagesMoved>3</ApproximateNumberOfMessagesMoved>",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in %s", want, w.Body)
		}
	}
}

func TestMoveIsCancelled(t *testing.T) {
	s := deadLetters(t, 5)
	w := do(s, jsonCall("StartMessageMoveTask", `{"SourceArn":"`+deadARN+`","DestinationArn":"`+sourceARN+`","MaxNumberOfMessagesPerSecond":1}`))
	var started struct{ TaskHandle string }
	if err := json.Unmarshal(w.Body.Bytes(), &started); err != nil || started.TaskHandle == "" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if got := moves(t, s)[0]; got["TaskHandle"] != started.TaskHandle || got["MaxNumberOfMessagesPerSecond"] != 1. || got["DestinationArn"] != sourceARN {
		t.Errorf("running task %v", got)
	}
	if w := do(s, jsonCall("StartMessageMoveTask", `{"SourceArn":"`+deadARN+`"}`)); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "already a task running") {
		t.Errorf("a second task: %d %s", w.Code, w.Body)
	}
	w = do(s, queryCall("/", url.Values{"Action": {"CancelMessageMoveTask"}, "TaskHandle": {started.TaskHandle}}.Encode()))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "<CancelMessageMoveTaskResult><ApproximateNumberOfMessagesMoved>") {
		t.Errorf("cancel: %d %s", w.Code, w.Body)
	}
}
