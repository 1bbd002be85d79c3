package sqsserver

// queryNames are the members that the Query protocol calls otherwise: its lists
// and maps are flattened and named for one element. No two actions disagree.
// Source: locationName in the Query edition of AWS's service model.
var queryNames = map[string]string{
	"ActionName":      "Actions",
	"Attribute":       "Attributes",
	"AttributeName":   "AttributeNames",
	"AWSAccountId":    "AWSAccountIds",
	"BinaryListValue": "BinaryListValues",
	"ChangeMessageVisibilityBatchRequestEntry": "Entries",
	"DeleteMessageBatchRequestEntry":           "Entries",
	"MessageAttribute":                         "MessageAttributes",
	"MessageAttributeName":                     "MessageAttributeNames",
	"MessageSystemAttribute":                   "MessageSystemAttributes",
	"MessageSystemAttributeName":               "MessageSystemAttributeNames",
	"SendMessageBatchRequestEntry":             "Entries",
	"StringListValue":                          "StringListValues",
	"Tag":                                      "Tags",
	"TagKey":                                   "TagKeys",
}

// memberNames are all members of requests, so that reading one costs no copy.
var memberNames = func() map[string]string {
	m := map[string]string{}
	for _, s := range []string{
		"AWSAccountIds", "Actions", "AttributeNames", "Attributes", "BinaryListValues", "BinaryValue",
		"DataType", "DelaySeconds", "DestinationArn", "Entries", "Id", "Label", "MaxNumberOfMessages",
		"MaxNumberOfMessagesPerSecond", "MaxResults", "MessageAttributeNames", "MessageAttributes",
		"MessageBody", "MessageDeduplicationId", "MessageGroupId", "MessageSystemAttributeNames",
		"MessageSystemAttributes", "NextToken", "QueueName", "QueueNamePrefix", "QueueOwnerAWSAccountId",
		"QueueUrl", "ReceiptHandle", "ReceiveRequestAttemptId", "SourceArn", "StringListValues",
		"StringValue", "TagKeys", "Tags", "TaskHandle", "VisibilityTimeout", "WaitTimeSeconds", "tags",
	} {
		m[s] = s
	}
	return m
}()
