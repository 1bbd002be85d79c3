package sqsserver

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

// Whatever is sent in either protocol to any action, the answer is well-formed
// and the client's fault: no panic, no 5xx.
func FuzzRequest(f *testing.F) {
	s := New(newBroker(f, embedded.Options{NoCooldowns: true}), Options{})
	names := actionNames()
	slices.Sort(names)
	for i := range names {
		for _, body := range []string{
			`{"QueueName":"q"}`,
			`{"QueueUrl":"http://h/000000000000/q","MessageBody":"b","ReceiptHandle":"AAAA","VisibilityTimeout":0,"Label":"l","SourceArn":"arn:aws:sqs:us-east-1:000000000000:q"}`,
			`{"QueueUrl":"http://h/000000000000/q","Entries":[{"Id":"a","MessageBody":"b","ReceiptHandle":"x","VisibilityTimeout":1}]}`,
			`{"QueueUrl":"http://h/000000000000/q","Attributes":{"RedrivePolicy":"{\"deadLetterTargetArn\":1}"},"Tags":{"":""},"TagKeys":[""],"AttributeNames":["All"]}`,
			`{"QueueUrl":"\ud800","Entries":[{},null,[]]}`,
			`Entries.1.Id=a&SendMessageBatchRequestEntry.1.Id=&DeleteMessageBatchRequestEntry=x`,
			`QueueName=q&QueueUrl=http%3A%2F%2Fh%2F000000000000%2Fq&MessageBody=%00&Attribute.1.Name=Policy&Attribute.1.Value=%7B`,
		} {
			f.Add(uint8(i), true, body)
			f.Add(uint8(i), false, body)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, xmlToo bool, body string) {
		name := names[int(which)%len(names)]
		if strings.Contains(body, "WaitTimeSeconds") || strings.Contains(body, "ReceiveMessageWaitTime") {
			return // only slow
		}
		var r *http.Request
		if xmlToo {
			r = queryCall("/", "Action="+name+"&"+body)
		} else {
			r = jsonCall(name, body)
		}
		w := do(s, r)
		if w.Code >= 500 && w.Code != http.StatusServiceUnavailable {
			t.Fatalf("%s %q: %d %s", name, body, w.Code, w.Body)
		}
		if !xmlToo {
			if !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%s %q: answer is no JSON: %s", name, body, w.Body)
			}
			return
		}
		d := xml.NewDecoder(w.Body)
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatalf("%s %q: answer is no XML: %v", name, body, err)
			}
		}
	})
}
