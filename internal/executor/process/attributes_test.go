package process_test

import (
	"encoding/json"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/record"
)

// The attributes file holds what the message's reader made of the attributes,
// the record what was sent; both are there for an attempt of a later day.
func TestTheAttributesFileHoldsTheEnvelopesToo(t *testing.T) {
	r := newRig(t)
	sent := map[string]message.Attribute{"own": {DataType: "String", StringValue: "1"}}
	read := map[string]message.Attribute{"own": sent["own"], "store": {DataType: "Binary", BinaryValue: []byte{0, 1}}}
	job := newJob("sns", shell(`cat "$QUEUEMILL_ATTRIBUTES_FILE"; exit 3`))
	job.Message.Attributes, job.Attributes = sent, read
	r.create(job)
	for attempt := 1; attempt <= 2; attempt++ {
		r.await("sns", func(rec record.Record) bool { return rec.State == record.Failed && rec.LastAttempt() == attempt })
		rec, err := r.Get(t.Context(), "sns")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sent, rec.Message.Attributes); diff != "" {
			t.Errorf("attempt %d: the record's attributes: %s", attempt, diff)
		}
		logs, err := r.Logs(t.Context(), "sns", executor.LogOptions{})
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(logs)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]message.Attribute
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if diff := cmp.Diff(read, got); diff != "" {
			t.Errorf("attempt %d: %s", attempt, diff)
		}
		if attempt == 1 { // a person retries, after a restart and without the message
			r.close()
			r.open()
			job.Attempt, job.Message.Body, job.Message.Attributes, job.Attributes = 2, "", nil, nil
			r.create(job)
		}
	}
}
