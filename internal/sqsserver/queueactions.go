package sqsserver

import (
	"maps"
	"slices"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

func createQueue(c *call) error {
	var name string
	var attributes, tags map[string]string
	err := c.read(func(member string, v value) error {
		switch member {
		case "QueueName":
			return stringInto(&name, v)
		case "Attributes":
			return mapInto(&attributes, v)
		case "tags", "Tags": // the JSON model spells it small here, and only here
			return mapInto(&tags, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if name == "" {
		return missing("QueueName")
	}
	q, err := c.srv.broker.CreateQueue(c.region, name, attributes, tags)
	if err != nil {
		return err
	}
	c.out.text("QueueUrl", c.urlOf(q))
	return nil
}

func deleteQueue(c *call) error {
	if err := c.read(nil); err != nil {
		return err
	}
	q, err := c.queue()
	if err != nil {
		return err
	}
	return c.srv.broker.DeleteQueue(c.region, q.Name())
}

func getQueueURL(c *call) error {
	var name, owner string
	err := c.read(func(member string, v value) error {
		switch member {
		case "QueueName":
			return stringInto(&name, v)
		case "QueueOwnerAWSAccountId":
			return stringInto(&owner, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if name == "" {
		return missing("QueueName")
	}
	if owner != "" && owner != c.srv.broker.Account() {
		return noSuchQueue()
	}
	q, err := c.srv.broker.Queue(c.region, name)
	if err != nil {
		return err
	}
	c.out.text("QueueUrl", c.urlOf(q))
	return nil
}

func listQueues(c *call) error {
	var prefix string
	var page paging
	err := c.read(func(member string, v value) error {
		if member == "QueueNamePrefix" {
			return stringInto(&prefix, v)
		}
		return page.read(member, v)
	})
	if err != nil {
		return err
	}
	return c.page("QueueUrls", c.srv.broker.Queues(c.region, prefix), page)
}

func listDeadLetterSourceQueues(c *call) error {
	var page paging
	if err := c.read(page.read); err != nil {
		return err
	}
	q, err := c.queue()
	if err != nil {
		return err
	}
	return c.page("queueUrls", q.DeadLetterSources(), page)
}

// page answers the URLs of one page of queues, which are sorted by name.
func (c *call) page(list string, queues []*embedded.Queue, p paging) error {
	some, next, err := p.cut(queues)
	if err != nil {
		return err
	}
	urls := make([]string, len(some))
	for i, q := range some {
		urls[i] = c.urlOf(q)
	}
	c.out.texts(list, "QueueUrl", urls)
	c.out.some("NextToken", next)
	return nil
}

// attributeNames are all queue attributes there are (API reference,
// GetQueueAttributes); one that does not apply to a queue is left out of answers.
var attributeNames = func() map[string]bool {
	m := map[string]bool{}
	for _, s := range []string{
		"All", "Policy", "VisibilityTimeout", "MaximumMessageSize", "MessageRetentionPeriod",
		"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "CreatedTimestamp",
		"LastModifiedTimestamp", "QueueArn", "ApproximateNumberOfMessagesDelayed", "DelaySeconds",
		"ReceiveMessageWaitTimeSeconds", "RedrivePolicy", "FifoQueue", "ContentBasedDeduplication",
		"KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "DeduplicationScope", "FifoThroughputLimit",
		"RedriveAllowPolicy", "SqsManagedSseEnabled",
	} {
		m[s] = true
	}
	return m
}()

func getQueueAttributes(c *call) error {
	var names []string
	err := c.read(func(member string, v value) error {
		if member == "AttributeNames" {
			return stringsInto(&names, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	q, err := c.queue()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !attributeNames[name] {
			return failf(codeInvalidAttribute, "Unknown Attribute %.100s.", name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	attributes := q.Attributes()
	if !slices.Contains(names, "All") {
		maps.DeleteFunc(attributes, func(name, _ string) bool { return !slices.Contains(names, name) })
	}
	c.out.dictionary("Attributes", "Attribute", "Name", attributes)
	return nil
}

func setQueueAttributes(c *call) error {
	var attributes map[string]string
	err := c.read(func(member string, v value) error {
		if member == "Attributes" {
			return mapInto(&attributes, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	q, err := c.queue()
	if err != nil {
		return err
	}
	if len(attributes) == 0 {
		return missing(c.either("Attributes", "Attribute.Name"))
	}
	return q.SetAttributes(attributes)
}

// either is a parameter's name in the protocol of the call.
func (c *call) either(json, query string) string {
	if c.xml {
		return query
	}
	return json
}

func purgeQueue(c *call) error {
	if err := c.read(nil); err != nil {
		return err
	}
	q, err := c.queue()
	if err != nil {
		return err
	}
	return q.Purge(c.lasting())
}

func tagQueue(c *call) error {
	var tags map[string]string
	err := c.read(func(member string, v value) error {
		if member == "Tags" {
			return mapInto(&tags, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	q, err := c.queue()
	if err != nil {
		return err
	}
	if len(tags) == 0 {
		return missing("Tags")
	}
	return q.Tag(tags)
}

func untagQueue(c *call) error {
	var keys []string
	err := c.read(func(member string, v value) error {
		if member == "TagKeys" {
			return stringsInto(&keys, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	q, err := c.queue()
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return missing("TagKeys")
	}
	return q.Untag(keys)
}

func listQueueTags(c *call) error {
	if err := c.read(nil); err != nil {
		return err
	}
	q, err := c.queue()
	if err != nil {
		return err
	}
	c.out.dictionary("Tags", "Tag", "Key", q.Tags())
	return nil
}
