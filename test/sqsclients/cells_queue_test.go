package sqsclients

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// queueCells are the cells of the actions on queues.
var queueCells = []cell{
	{action: "CreateQueue", title: "with attributes and tags", do: func(f *fixture) (params, check) {
		return params{"QueueName": f.id, "Attributes": map[string]string{"VisibilityTimeout": "7"}, "tags": map[string]string{"team": "a b&c"}}, func(out map[string]any) {
			url := f.open + "/" + account + "/" + f.id
			f.equal("URL", out["QueueUrl"], url)
			f.equal("visibility timeout", f.attribute(url, "VisibilityTimeout"), "7")
			tags, err := f.sdk.ListQueueTags(f.Context(), &sqs.ListQueueTagsInput{QueueUrl: &url})
			if err != nil || tags.Tags["team"] != "a b&c" {
				f.Errorf("tags %v, %v", tags, err)
			}
		}
	}},
	{action: "CreateQueue", title: "the same again", do: func(f *fixture) (params, check) {
		url := f.queue("", "DelaySeconds", "3")
		return params{"QueueName": f.id, "Attributes": map[string]string{"DelaySeconds": "3"}}, func(out map[string]any) {
			f.equal("URL", out["QueueUrl"], url)
		}
	}},
	{action: "CreateQueue", title: "FIFO", do: func(f *fixture) (params, check) {
		return params{"QueueName": f.id + ".fifo", "Attributes": map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "true"}}, func(out map[string]any) {
			f.equal("FifoQueue", f.attribute(text(out, "QueueUrl"), "FifoQueue"), "true")
		}
	}},
	fails("CreateQueue", "QueueNameExists", "with another attribute", func(f *fixture) params {
		f.queue("")
		return params{"QueueName": f.id, "Attributes": map[string]string{"DelaySeconds": "3"}}
	}),
	fails("CreateQueue", "QueueDeletedRecently", "deleted just now", func(f *fixture) params {
		url := f.queue("")
		if _, err := f.sdk.DeleteQueue(f.Context(), &sqs.DeleteQueueInput{QueueUrl: &url}); err != nil {
			f.Fatal(err)
		}
		return params{"QueueName": f.id}
	}),
	fails("CreateQueue", "InvalidAttributeName", "an attribute that does not exist", func(f *fixture) params {
		return params{"QueueName": f.id, "Attributes": map[string]string{"Colour": "red"}}
	}),
	fails("CreateQueue", "InvalidAttributeValue", "a delay of 901 s", func(f *fixture) params {
		return params{"QueueName": f.id, "Attributes": map[string]string{"DelaySeconds": "901"}}
	}),
	fails("CreateQueue", "InvalidParameterValue", "a name with a space", func(f *fixture) params {
		return params{"QueueName": f.id + " x"}
	}),
	{action: "DeleteQueue", do: func(f *fixture) (params, check) {
		url := f.queue("")
		return params{"QueueUrl": url}, func(map[string]any) {
			if _, err := f.sdk.GetQueueUrl(f.Context(), &sqs.GetQueueUrlInput{QueueName: &f.id}); err == nil {
				f.Error("the queue is still there")
			}
		}
	}},
	{action: "GetQueueUrl", do: func(f *fixture) (params, check) {
		url := f.queue("")
		return params{"QueueName": f.id}, func(out map[string]any) { f.equal("URL", out["QueueUrl"], url) }
	}},
	fails("GetQueueUrl", "QueueDoesNotExist", "no such queue", func(f *fixture) params { return params{"QueueName": f.id} }),
	fails("GetQueueUrl", "QueueDoesNotExist", "of another account", func(f *fixture) params {
		f.queue("")
		return params{"QueueName": f.id, "QueueOwnerAWSAccountId": "123456789012"}
	}),
	{action: "ListQueues", title: "in pages", do: func(f *fixture) (params, check) {
		var urls []string
		for i := range 3 {
			urls = append(urls, f.queue(fmt.Sprint("-", i)))
		}
		return params{"QueueNamePrefix": f.id + "-", "MaxResults": 2}, func(out map[string]any) {
			var got []string
			if text(out, "NextToken") != "" { // the aws command follows it by itself
				rest, err := f.sdk.ListQueues(f.Context(), &sqs.ListQueuesInput{QueueNamePrefix: ptr(f.id + "-"), NextToken: ptr(text(out, "NextToken")), MaxResults: ptr[int32](2)})
				if err != nil {
					f.Fatal(err)
				}
				got = rest.QueueUrls
			}
			var first []string
			for i := range length(out, "QueueUrls") {
				first = append(first, text(out, "QueueUrls", i))
			}
			f.equal("URLs", strings.Join(append(first, got...), " "), strings.Join(urls, " "))
		}
	}},
	{action: "ListQueues", title: "none", do: func(f *fixture) (params, check) {
		return params{"QueueNamePrefix": f.id + "-"}, func(out map[string]any) {
			if n := length(out, "QueueUrls"); n != 0 {
				f.Errorf("%d queues", n)
			}
		}
	}},
	fails("ListQueues", "InvalidParameterValue", "1001 results", func(f *fixture) params { return params{"MaxResults": 1001} }),
	fails("ListQueues", "InvalidParameterValue", "a token that is none", func(f *fixture) params {
		return params{"MaxResults": 1, "NextToken": "x"}
	}),
	{action: "GetQueueAttributes", title: "All", do: func(f *fixture) (params, check) {
		url := f.queue("", "MessageRetentionPeriod", "60", "Policy", `{"Version":"2012-10-17","Statement":[]}`)
		f.send(url, 1)
		return params{"QueueUrl": url, "AttributeNames": []string{"All"}}, func(out map[string]any) {
			for name, want := range map[string]string{
				"QueueArn": f.arn(""), "MessageRetentionPeriod": "60", "VisibilityTimeout": "30", "DelaySeconds": "0",
				"ReceiveMessageWaitTimeSeconds": "0", "MaximumMessageSize": "1048576", "ApproximateNumberOfMessages": "1",
				"ApproximateNumberOfMessagesNotVisible": "0", "ApproximateNumberOfMessagesDelayed": "0",
				"SqsManagedSseEnabled": "true", "Policy": `{"Version":"2012-10-17","Statement":[]}`,
			} {
				f.equal(name, at(out, "Attributes", name), want)
			}
			if text(out, "Attributes", "CreatedTimestamp") == "" || at(out, "Attributes", "FifoQueue") != nil {
				f.Errorf("attributes %v", out["Attributes"])
			}
		}
	}},
	fails("GetQueueAttributes", "InvalidAttributeName", "an attribute that does not exist", func(f *fixture) params {
		return params{"QueueUrl": f.queue(""), "AttributeNames": []string{"Colour"}}
	}),
	{action: "SetQueueAttributes", do: func(f *fixture) (params, check) {
		url := f.queue("")
		return params{"QueueUrl": url, "Attributes": map[string]string{"VisibilityTimeout": "9", "DelaySeconds": "2"}}, func(map[string]any) {
			f.equal("visibility timeout", f.attribute(url, "VisibilityTimeout"), "9")
			f.equal("delay", f.attribute(url, "DelaySeconds"), "2")
		}
	}},
	fails("SetQueueAttributes", "InvalidAttributeName", "an attribute that does not exist", func(f *fixture) params {
		return params{"QueueUrl": f.queue(""), "Attributes": map[string]string{"Colour": "red"}}
	}),
	fails("SetQueueAttributes", "InvalidAttributeName", "a FIFO attribute of a standard queue", func(f *fixture) params {
		return params{"QueueUrl": f.queue(""), "Attributes": map[string]string{"ContentBasedDeduplication": "true"}}
	}),
	fails("SetQueueAttributes", "InvalidAttributeValue", "a timeout of 43201 s", func(f *fixture) params {
		return params{"QueueUrl": f.queue(""), "Attributes": map[string]string{"VisibilityTimeout": "43201"}}
	}),
	fails("SetQueueAttributes", "InvalidParameterValue", "a dead-letter queue that does not exist", func(f *fixture) params {
		return params{"QueueUrl": f.queue(""), "Attributes": map[string]string{"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":3}`, f.arn("-none"))}}
	}),
	{action: "PurgeQueue", do: func(f *fixture) (params, check) {
		url := f.queue("")
		f.send(url, 3)
		f.receive(url)
		return params{"QueueUrl": url}, func(map[string]any) { f.counts(url, "0", "0") }
	}},
	fails("PurgeQueue", "PurgeQueueInProgress", "purged just now", func(f *fixture) params {
		url := f.queue("")
		if _, err := f.sdk.PurgeQueue(f.Context(), &sqs.PurgeQueueInput{QueueUrl: &url}); err != nil {
			f.Fatal(err)
		}
		return params{"QueueUrl": url}
	}),
	{action: "TagQueue", do: func(f *fixture) (params, check) {
		url := f.queue("")
		return params{"QueueUrl": url, "Tags": map[string]string{"a": "1", "b": ""}}, func(map[string]any) {
			out, err := f.sdk.ListQueueTags(f.Context(), &sqs.ListQueueTagsInput{QueueUrl: &url})
			if err != nil || len(out.Tags) != 2 || out.Tags["a"] != "1" {
				f.Errorf("tags %v, %v", out, err)
			}
		}
	}},
	fails("TagQueue", "InvalidParameterValue", "51 tags", func(f *fixture) params {
		tags := map[string]string{}
		for i := range 51 {
			tags[fmt.Sprint("k", i)] = "v"
		}
		return params{"QueueUrl": f.queue(""), "Tags": tags}
	}),
	{action: "UntagQueue", do: func(f *fixture) (params, check) {
		url := f.queue("")
		if _, err := f.sdk.TagQueue(f.Context(), &sqs.TagQueueInput{QueueUrl: &url, Tags: map[string]string{"a": "1", "b": "2"}}); err != nil {
			f.Fatal(err)
		}
		return params{"QueueUrl": url, "TagKeys": []string{"a", "none"}}, func(map[string]any) {
			out, err := f.sdk.ListQueueTags(f.Context(), &sqs.ListQueueTagsInput{QueueUrl: &url})
			if err != nil || len(out.Tags) != 1 || out.Tags["b"] != "2" {
				f.Errorf("tags %v, %v", out, err)
			}
		}
	}},
	{action: "ListQueueTags", do: func(f *fixture) (params, check) {
		url := f.queue("")
		if _, err := f.sdk.TagQueue(f.Context(), &sqs.TagQueueInput{QueueUrl: &url, Tags: map[string]string{"a": "1", "ü": "<2>"}}); err != nil {
			f.Fatal(err)
		}
		return params{"QueueUrl": url}, func(out map[string]any) {
			f.equal("tags", out["Tags"], map[string]string{"a": "1", "ü": "<2>"})
		}
	}},
	{action: "AddPermission", do: func(f *fixture) (params, check) {
		url := f.queue("")
		return params{"QueueUrl": url, "Label": "share", "AWSAccountIds": []string{"111122223333"}, "Actions": []string{"SendMessage", "ReceiveMessage"}}, func(map[string]any) {
			var policy struct {
				Statement []struct {
					Sid    string
					Action []string
				}
			}
			if err := json.Unmarshal([]byte(f.attribute(url, "Policy")), &policy); err != nil || len(policy.Statement) != 1 || policy.Statement[0].Sid != "share" || len(policy.Statement[0].Action) != 2 {
				f.Errorf("policy %v, %v", policy, err)
			}
		}
	}},
	fails("AddPermission", "OverLimit", "eight actions", func(f *fixture) params {
		return params{"QueueUrl": f.queue(""), "Label": "l", "AWSAccountIds": []string{"111122223333"}, "Actions": []string{
			"SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes", "GetQueueUrl", "PurgeQueue", "ListDeadLetterSourceQueues",
		}}
	}),
	fails("AddPermission", "InvalidParameterValue", "a label that is taken", func(f *fixture) params {
		p := queueActions["AddPermission"](f.queue(""))
		if _, err := f.sdk.AddPermission(f.Context(), &sqs.AddPermissionInput{QueueUrl: ptr(p["QueueUrl"].(string)), Label: ptr("l"), AWSAccountIds: []string{"111122223333"}, Actions: []string{"*"}}); err != nil {
			f.Fatal(err)
		}
		return p
	}),
	{action: "RemovePermission", do: func(f *fixture) (params, check) {
		url := f.queue("")
		if _, err := f.sdk.AddPermission(f.Context(), &sqs.AddPermissionInput{QueueUrl: &url, Label: ptr("l"), AWSAccountIds: []string{"111122223333"}, Actions: []string{"*"}}); err != nil {
			f.Fatal(err)
		}
		return params{"QueueUrl": url, "Label": "l"}, func(map[string]any) {
			if policy := f.attribute(url, "Policy"); strings.Contains(policy, "111122223333") {
				f.Errorf("policy %s", policy)
			}
		}
	}},
	fails("RemovePermission", "InvalidParameterValue", "a label that is not there", func(f *fixture) params {
		return params{"QueueUrl": f.queue(""), "Label": "none"}
	}),
	{action: "ListDeadLetterSourceQueues", do: func(f *fixture) (params, check) {
		url, dead := f.deadLetters(0)
		return params{"QueueUrl": dead}, func(out map[string]any) {
			sources := out["queueUrls"]
			if sources == nil { // aws-sdk-go-v2 spells its field large
				sources = out["QueueUrls"]
			}
			f.equal("sources", sources, []string{url})
		}
	}},
	fails("ListDeadLetterSourceQueues", "InvalidParameterValue", "1001 results", func(f *fixture) params {
		return params{"QueueUrl": f.queue(""), "MaxResults": 1001}
	}),
}
