package sqsclients

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

const odd = "Grüße <&> \"'\" 😀 \t\r\n ]]>" // what encodings stumble over

// messageCells are the cells of the actions on messages.
var messageCells = []cell{
	{action: "SendMessage", title: "with attributes", do: func(f *fixture) (params, check) {
		url := f.queue("")
		attributes := map[string]any{
			"text":   map[string]any{"DataType": "String", "StringValue": odd},
			"number": map[string]any{"DataType": "Number.int", "StringValue": "7"},
			"bytes":  map[string]any{"DataType": "Binary", "BinaryValue": blob("\x00\x01\xff")},
		}
		return params{"QueueUrl": url, "MessageBody": odd, "MessageAttributes": attributes}, func(out map[string]any) {
			got, err := f.sdk.ReceiveMessage(f.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MessageAttributeNames: []string{"All"}})
			if err != nil || len(got.Messages) != 1 {
				f.Fatalf("receive: %v", err)
			}
			m := got.Messages[0]
			f.equal("ID", out["MessageId"], *m.MessageId)
			f.equal("body", *m.Body, odd)
			f.equal("MD5 of the body", out["MD5OfMessageBody"], *m.MD5OfBody)
			f.equal("MD5 of the attributes", out["MD5OfMessageAttributes"], *m.MD5OfMessageAttributes)
			f.equal("text", *m.MessageAttributes["text"].StringValue, odd)
			f.equal("bytes", string(m.MessageAttributes["bytes"].BinaryValue), "\x00\x01\xff")
		}
	}},
	{action: "SendMessage", title: "1 MiB", do: func(f *fixture) (params, check) {
		url := f.queue("")
		return params{"QueueUrl": url, "MessageBody": strings.Repeat("m", 1<<20)}, func(map[string]any) { f.counts(url, "1", "0") }
	}},
	{action: "SendMessage", title: "delayed", do: func(f *fixture) (params, check) {
		url := f.queue("")
		return params{"QueueUrl": url, "MessageBody": "b", "DelaySeconds": 900}, func(map[string]any) {
			f.equal("delayed", f.attribute(url, "ApproximateNumberOfMessagesDelayed"), "1")
		}
	}},
	{action: "SendMessage", title: "FIFO", do: func(f *fixture) (params, check) {
		url := f.queue(".fifo", "FifoQueue", "true")
		return params{"QueueUrl": url, "MessageBody": "b", "MessageGroupId": "g", "MessageDeduplicationId": "d"}, func(out map[string]any) {
			if n := text(out, "SequenceNumber"); len(n) != 20 {
				f.Errorf("sequence number %q, want 20 digits", n)
			}
		}
	}},
	fails("SendMessage", "InvalidMessageContents", "a character that is not allowed", func(f *fixture) params {
		return params{"QueueUrl": f.queue(""), "MessageBody": "a\uffffb"}
	}),
	fails("SendMessage", "InvalidParameterValue", "1 MiB and a byte", func(f *fixture) params {
		return params{"QueueUrl": f.queue(""), "MessageBody": strings.Repeat("m", 1<<20+1)}
	}),
	fails("SendMessage", "InvalidParameterValue", "a delay of 901 s", func(f *fixture) params {
		return params{"QueueUrl": f.queue(""), "MessageBody": "b", "DelaySeconds": 901}
	}),
	fails("SendMessage", "InvalidParameterValue", "an attribute of no known type", func(f *fixture) params {
		return params{"QueueUrl": f.queue(""), "MessageBody": "b", "MessageAttributes": map[string]any{"a": map[string]any{"DataType": "Text", "StringValue": "x"}}}
	}),
	fails("SendMessage", "InvalidParameterValue", "eleven attributes", func(f *fixture) params {
		attributes := map[string]any{}
		for i := range 11 {
			attributes[fmt.Sprint("a", i)] = map[string]any{"DataType": "String", "StringValue": "x"}
		}
		return params{"QueueUrl": f.queue(""), "MessageBody": "b", "MessageAttributes": attributes}
	}),
	fails("SendMessage", "InvalidParameterValue", "a FIFO message with a delay of its own", func(f *fixture) params {
		return params{"QueueUrl": f.queue(".fifo", "FifoQueue", "true"), "MessageBody": "b", "MessageGroupId": "g", "MessageDeduplicationId": "d", "DelaySeconds": 1}
	}),
	fails("SendMessage", "InvalidParameterValue", "a FIFO message without a deduplication ID", func(f *fixture) params {
		return params{"QueueUrl": f.queue(".fifo", "FifoQueue", "true"), "MessageBody": "b", "MessageGroupId": "g"}
	}),
	fails("SendMessage", "MissingParameter", "a FIFO message without a group", func(f *fixture) params {
		return params{"QueueUrl": f.queue(".fifo", "FifoQueue", "true"), "MessageBody": "b", "MessageDeduplicationId": "d"}
	}),
	fails("SendMessage", "MissingParameter", "an empty body", func(f *fixture) params {
		return params{"QueueUrl": f.queue(""), "MessageBody": ""}
	}),
	{action: "SendMessageBatch", title: "some entries fail", do: func(f *fixture) (params, check) {
		url := f.queue("")
		entries := []map[string]any{{"Id": "good", "MessageBody": odd}, {"Id": "bad", "MessageBody": "\uffff"}, {"Id": "late", "MessageBody": "b", "DelaySeconds": 901}}
		return params{"QueueUrl": url, "Entries": entries}, func(out map[string]any) {
			f.equal("successful", text(out, "Successful", 0, "Id"), "good")
			failed := map[string]string{}
			for i := range length(out, "Failed") {
				failed[text(out, "Failed", i, "Id")] = text(out, "Failed", i, "Code")
				f.equal("sender's fault", at(out, "Failed", i, "SenderFault"), true)
			}
			f.equal("failed", fmt.Sprint(failed), fmt.Sprint(map[string]string{"bad": "InvalidMessageContents", "late": "InvalidParameterValue"}))
			f.counts(url, "1", "0")
		}
	}},
	fails("SendMessageBatch", "BatchRequestTooLong", "over 1 MiB together", func(f *fixture) params {
		half := strings.Repeat("h", 1<<19)
		return params{"QueueUrl": f.queue(""), "Entries": []map[string]any{{"Id": "a", "MessageBody": half}, {"Id": "b", "MessageBody": half}, {"Id": "c", "MessageBody": "x"}}}
	}),
	{action: "ReceiveMessage", title: "with all it has", do: func(f *fixture) (params, check) {
		url := f.queue("")
		if _, err := f.sdk.SendMessage(f.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: ptr(odd), MessageGroupId: ptr("tenant")}); err != nil {
			f.Fatal(err)
		}
		return params{"QueueUrl": url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1, "AttributeNames": []string{"All"}}, func(out map[string]any) {
			f.equal("body", at(out, "Messages", 0, "Body"), odd)
			f.equal("receive count", at(out, "Messages", 0, "Attributes", "ApproximateReceiveCount"), "1")
			f.equal("group", at(out, "Messages", 0, "Attributes", "MessageGroupId"), "tenant")
			for _, name := range []string{"SentTimestamp", "ApproximateFirstReceiveTimestamp"} {
				if len(text(out, "Messages", 0, "Attributes", name)) != 13 {
					f.Errorf("%s is %q, want milliseconds", name, text(out, "Messages", 0, "Attributes", name))
				}
			}
			f.counts(url, "0", "1")
			f.delete(url, text(out, "Messages", 0, "ReceiptHandle"))
		}
	}},
	{action: "ReceiveMessage", title: "nothing there", do: func(f *fixture) (params, check) {
		return params{"QueueUrl": f.queue("")}, func(out map[string]any) {
			if n := length(out, "Messages"); n != 0 {
				f.Errorf("%d messages", n)
			}
		}
	}},
	{action: "ReceiveMessage", title: "a FIFO group of ten", do: func(f *fixture) (params, check) {
		url := f.queue(".fifo", "FifoQueue", "true", "ContentBasedDeduplication", "true")
		for i := range 12 {
			if _, err := f.sdk.SendMessage(f.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: ptr(fmt.Sprint(i)), MessageGroupId: ptr("g")}); err != nil {
				f.Fatal(err)
			}
		}
		return params{"QueueUrl": url, "MaxNumberOfMessages": 10}, func(out map[string]any) {
			for i := range 10 {
				f.equal("body", at(out, "Messages", i, "Body"), fmt.Sprint(i))
			}
		}
	}},
	fails("ReceiveMessage", "OverLimit", "too many in flight", func(f *fixture) params {
		url := f.queue("")
		f.send(url, maxInFlight+1)
		for range maxInFlight {
			f.receive(url)
		}
		return params{"QueueUrl": url}
	}),
	fails("ReceiveMessage", "InvalidParameterValue", "eleven messages", func(f *fixture) params {
		return params{"QueueUrl": f.queue(""), "MaxNumberOfMessages": 11}
	}),
	fails("ReceiveMessage", "InvalidParameterValue", "a wait of 21 s", func(f *fixture) params {
		return params{"QueueUrl": f.queue(""), "WaitTimeSeconds": 21}
	}),
	fails("ReceiveMessage", "InvalidParameterValue", "a timeout of 43201 s", func(f *fixture) params {
		return params{"QueueUrl": f.queue(""), "VisibilityTimeout": 43201}
	}),
	{action: "DeleteMessage", do: func(f *fixture) (params, check) {
		url := f.queue("")
		f.send(url, 2)
		return params{"QueueUrl": url, "ReceiptHandle": f.receive(url)}, func(map[string]any) { f.counts(url, "1", "0") }
	}},
	{action: "DeleteMessage", title: "an old receipt", do: func(f *fixture) (params, check) {
		url := f.queue("")
		f.send(url, 1)
		old := f.receive(url)
		f.giveBack(url, old)
		f.receive(url)
		return params{"QueueUrl": url, "ReceiptHandle": old}, nil
	}},
	fails("DeleteMessage", "ReceiptHandleIsInvalid", "a receipt that is none", func(f *fixture) params {
		return params{"QueueUrl": f.queue(""), "ReceiptHandle": "garbage"}
	}),
	fails("DeleteMessage", "InvalidParameterValue", "an expired receipt of a FIFO queue", func(f *fixture) params {
		url := f.queue(".fifo", "FifoQueue", "true", "ContentBasedDeduplication", "true")
		if _, err := f.sdk.SendMessage(f.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: ptr("b"), MessageGroupId: ptr("g")}); err != nil {
			f.Fatal(err)
		}
		old := f.receive(url)
		f.giveBack(url, old)
		return params{"QueueUrl": url, "ReceiptHandle": old}
	}),
	{action: "DeleteMessageBatch", title: "some entries fail", do: func(f *fixture) (params, check) {
		url := f.queue("")
		f.send(url, 2)
		entries := []map[string]any{{"Id": "a", "ReceiptHandle": f.receive(url)}, {"Id": "bad", "ReceiptHandle": "garbage"}, {"Id": "b", "ReceiptHandle": f.receive(url)}}
		return params{"QueueUrl": url, "Entries": entries}, func(out map[string]any) {
			f.equal("successful", length(out, "Successful"), 2)
			f.equal("failed", text(out, "Failed", 0, "Id")+" "+text(out, "Failed", 0, "Code"), "bad ReceiptHandleIsInvalid")
			f.counts(url, "0", "0")
		}
	}},
	{action: "ChangeMessageVisibility", title: "to zero", do: func(f *fixture) (params, check) {
		url := f.queue("")
		f.send(url, 1)
		return params{"QueueUrl": url, "ReceiptHandle": f.receive(url), "VisibilityTimeout": 0}, func(map[string]any) { f.counts(url, "1", "0") }
	}},
	{action: "ChangeMessageVisibility", title: "to almost 12 h", do: func(f *fixture) (params, check) {
		url := f.queue("")
		f.send(url, 1)
		return params{"QueueUrl": url, "ReceiptHandle": f.receive(url), "VisibilityTimeout": 43000}, func(map[string]any) { f.counts(url, "0", "1") }
	}},
	fails("ChangeMessageVisibility", "MessageNotInflight", "a message that is not in flight", func(f *fixture) params {
		url := f.queue("")
		f.send(url, 1)
		receipt := f.receive(url)
		f.giveBack(url, receipt)
		return params{"QueueUrl": url, "ReceiptHandle": receipt, "VisibilityTimeout": 1}
	}),
	fails("ChangeMessageVisibility", "ReceiptHandleIsInvalid", "a receipt that is none", func(f *fixture) params {
		return params{"QueueUrl": f.queue(""), "ReceiptHandle": "garbage", "VisibilityTimeout": 1}
	}),
	fails("ChangeMessageVisibility", "InvalidParameterValue", "a timeout of 43201 s", func(f *fixture) params {
		url := f.queue("")
		f.send(url, 1)
		return params{"QueueUrl": url, "ReceiptHandle": f.receive(url), "VisibilityTimeout": 43201}
	}),
	fails("ChangeMessageVisibility", "InvalidParameterValue", "a deleted message", func(f *fixture) params {
		url := f.queue("")
		f.send(url, 1)
		receipt := f.receive(url)
		f.delete(url, receipt)
		return params{"QueueUrl": url, "ReceiptHandle": receipt, "VisibilityTimeout": 1}
	}),
	{action: "ChangeMessageVisibilityBatch", title: "some entries fail", do: func(f *fixture) (params, check) {
		url := f.queue("")
		f.send(url, 2)
		entries := []map[string]any{{"Id": "back", "ReceiptHandle": f.receive(url), "VisibilityTimeout": 0}, {"Id": "bad", "ReceiptHandle": "garbage", "VisibilityTimeout": 1}, {"Id": "on", "ReceiptHandle": f.receive(url), "VisibilityTimeout": 100}}
		return params{"QueueUrl": url, "Entries": entries}, func(out map[string]any) {
			f.equal("successful", length(out, "Successful"), 2)
			f.equal("failed", text(out, "Failed", 0, "Id")+" "+text(out, "Failed", 0, "Code"), "bad ReceiptHandleIsInvalid")
			f.counts(url, "1", "1")
		}
	}},
}

// moveCells are the cells of the message move tasks.
var moveCells = []cell{
	{action: "StartMessageMoveTask", title: "back to the source", do: func(f *fixture) (params, check) {
		url, _ := f.deadLetters(2)
		return params{"SourceArn": f.arn("-dead")}, func(out map[string]any) {
			if text(out, "TaskHandle") == "" {
				f.Errorf("no task handle in %v", out)
			}
			f.receive(url)
			f.receive(url)
		}
	}},
	{action: "StartMessageMoveTask", title: "to another queue, at a rate", do: func(f *fixture) (params, check) {
		f.deadLetters(1)
		other := f.queue("-other")
		return params{"SourceArn": f.arn("-dead"), "DestinationArn": f.arn("-other"), "MaxNumberOfMessagesPerSecond": 10}, func(map[string]any) {
			f.receive(other)
		}
	}},
	fails("StartMessageMoveTask", "ResourceNotFoundException", "no such queue", func(f *fixture) params {
		return params{"SourceArn": f.arn("-none")}
	}),
	fails("StartMessageMoveTask", "InvalidParameterValue", "no dead-letter queue", func(f *fixture) params {
		f.queue("")
		return params{"SourceArn": f.arn("")}
	}),
	fails("StartMessageMoveTask", "InvalidParameterValue", "501 messages a second", func(f *fixture) params {
		f.deadLetters(0)
		return params{"SourceArn": f.arn("-dead"), "MaxNumberOfMessagesPerSecond": 501}
	}),
	fails("StartMessageMoveTask", "InvalidParameterValue", "one is running", func(f *fixture) params {
		f.startSlowMove()
		return params{"SourceArn": f.arn("-dead")}
	}),
	{action: "ListMessageMoveTasks", do: func(f *fixture) (params, check) {
		f.startSlowMove()
		return params{"SourceArn": f.arn("-dead"), "MaxResults": 10}, func(out map[string]any) {
			f.equal("tasks", length(out, "Results"), 1)
			f.equal("status", at(out, "Results", 0, "Status"), "RUNNING")
			f.equal("source", at(out, "Results", 0, "SourceArn"), f.arn("-dead"))
			f.equal("rate", at(out, "Results", 0, "MaxNumberOfMessagesPerSecond"), 1)
		}
	}},
	fails("ListMessageMoveTasks", "ResourceNotFoundException", "no such queue", func(f *fixture) params {
		return params{"SourceArn": f.arn("-none")}
	}),
	fails("ListMessageMoveTasks", "InvalidParameterValue", "eleven results", func(f *fixture) params {
		f.deadLetters(0)
		return params{"SourceArn": f.arn("-dead"), "MaxResults": 11}
	}),
	{action: "CancelMessageMoveTask", do: func(f *fixture) (params, check) {
		return params{"TaskHandle": f.startSlowMove()}, func(out map[string]any) {
			if _, ok := out["ApproximateNumberOfMessagesMoved"].(float64); !ok {
				f.Errorf("result %v", out)
			}
		}
	}},
	fails("CancelMessageMoveTask", "ResourceNotFoundException", "no such task", func(f *fixture) params {
		return params{"TaskHandle": base64.URLEncoding.EncodeToString([]byte("1:" + f.arn("-dead")))}
	}),
	fails("CancelMessageMoveTask", "InvalidParameterValue", "malformed handle", func(f *fixture) params {
		return params{"TaskHandle": "garbage"}
	}),
}

// startSlowMove starts a move that takes longer than any cell.
func (f *fixture) startSlowMove() (handle string) {
	f.Helper()
	f.deadLetters(60)
	f.queue("-sink")
	out, err := f.sdk.StartMessageMoveTask(f.Context(), &sqs.StartMessageMoveTaskInput{SourceArn: ptr(f.arn("-dead")), DestinationArn: ptr(f.arn("-sink")), MaxNumberOfMessagesPerSecond: ptr[int32](1)})
	if err != nil {
		f.Fatal(err)
	}
	return *out.TaskHandle
}
