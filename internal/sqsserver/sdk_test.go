package sqsserver

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

// The SDK makes its typed errors of one name and its codes of the other; both
// must be there, and the checksums it verifies must be right.
func TestSDKFindsTypedErrorsAndChecksums(t *testing.T) {
	ctx := t.Context()
	addr, _ := startServer(t, New(newBroker(t, embedded.Options{}), Options{
		Credentials: []Credential{{AccessKeyID: "AKID", SecretAccessKey: "secret"}},
	}))
	c := sqs.New(sqs.Options{
		BaseEndpoint: aws.String("http://" + addr),
		Region:       "eu-central-1",
		Credentials:  credentials.NewStaticCredentialsProvider("AKID", "secret", ""),
	})
	_, err := c.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("nope")})
	var gone *types.QueueDoesNotExist
	if !errors.As(err, &gone) || gone.ErrorCode() != "AWS.SimpleQueueService.NonExistentQueue" {
		t.Errorf("GetQueueUrl of no queue: %v", err)
	}
	made, err := c.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("q")})
	if err != nil {
		t.Fatal(err)
	}
	if want := "http://" + addr + "/000000000000/q"; *made.QueueUrl != want {
		t.Errorf("queue URL %s, want %s", *made.QueueUrl, want)
	}
	_, err = c.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: made.QueueUrl, MessageBody: aws.String("\x01")})
	var contents *types.InvalidMessageContents
	if !errors.As(err, &contents) {
		t.Errorf("SendMessage of a control character: %v", err)
	}
	_, err = c.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: made.QueueUrl, MaxNumberOfMessages: 11})
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "InvalidParameterValue" || api.ErrorFault() != smithy.FaultClient {
		t.Errorf("ReceiveMessage of 11: %v", err)
	}
	attributes := map[string]types.MessageAttributeValue{
		"text":  {DataType: aws.String("String"), StringValue: aws.String("žluťoučký\r\n<&>\"")},
		"bytes": {DataType: aws.String("Binary.x"), BinaryValue: []byte{0, 255, 10}},
		"count": {DataType: aws.String("Number.int"), StringValue: aws.String("-1e3")},
	}
	body := "tab\t, line\r\n, quote \", \\, <&>, \u2028, 😀 \ufffd"
	if _, err := c.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: made.QueueUrl, MessageBody: &body, MessageAttributes: attributes}); err != nil {
		t.Fatal(err)
	}
	out, err := c.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: made.QueueUrl, MessageAttributeNames: []string{"All"}})
	if err != nil || len(out.Messages) != 1 {
		t.Fatalf("received %v, %v", out, err)
	}
	if m := out.Messages[0]; *m.Body != body || string(m.MessageAttributes["bytes"].BinaryValue) != "\x00\xff\n" ||
		*m.MessageAttributes["text"].StringValue != *attributes["text"].StringValue {
		t.Errorf("received %q with %v", *m.Body, m.MessageAttributes)
	}
}

func TestPagesShowEveryQueueOnce(t *testing.T) {
	ctx := t.Context()
	broker := newBroker(t, embedded.Options{})
	addr, _ := startServer(t, New(broker, Options{}))
	var want []string
	for i := range 25 {
		name := fmt.Sprintf("q%02d", i)
		if _, err := broker.CreateQueue("us-east-1", name, nil, nil); err != nil {
			t.Fatal(err)
		}
		want = append(want, "http://"+addr+"/000000000000/"+name)
	}
	var got []string
	pages := sqs.NewListQueuesPaginator(sdkClient(addr), &sqs.ListQueuesInput{MaxResults: aws.Int32(7)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page.QueueUrls...)
		if len(got) == 7 { // one that was shown goes: nothing is left out
			if err := broker.DeleteQueue("us-east-1", "q00"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("pages show %v", got)
	}
}
