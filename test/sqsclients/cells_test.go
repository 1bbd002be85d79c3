package sqsclients

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// params are an action's parameters under the API's names.
type params = map[string]any

// check looks at what a client returned, and at the queue.
type check func(out map[string]any)

// cell is one row of the table: what is asked and what must come of it.
type cell struct {
	action  string
	title   string // says which success, or what is wrong with the call
	outcome string // empty: success; else the error's name in the API reference
	do      func(f *fixture) (params, check)
	signing signing
}

// signing is how a call is signed.
type signing int

const (
	anybody     signing = iota // the server without credentials
	signed                     // the server with credentials, and the right ones
	unsigned                   // none
	unknownKey                 // an access key that the server does not know
	wrongSecret                // the right key and another secret
)

func names(all ...string) (out []types.QueueAttributeName) {
	for _, n := range all {
		out = append(out, types.QueueAttributeName(n))
	}
	return out
}

// fails is a cell whose call only needs parameters.
func fails(action, outcome, title string, do func(f *fixture) params) cell {
	return cell{action: action, outcome: outcome, title: title, do: func(f *fixture) (params, check) { return do(f), nil }}
}

// queueActions are the actions about one queue, with parameters that are right
// but for the queue.
var queueActions = map[string]func(url string) params{
	"AddPermission": func(url string) params {
		return params{"QueueUrl": url, "Label": "l", "AWSAccountIds": []string{"123456789012"}, "Actions": []string{"SendMessage"}}
	},
	"ChangeMessageVisibility": func(url string) params {
		return params{"QueueUrl": url, "ReceiptHandle": "r", "VisibilityTimeout": 1}
	},
	"ChangeMessageVisibilityBatch": func(url string) params {
		return params{"QueueUrl": url, "Entries": []map[string]any{{"Id": "a", "ReceiptHandle": "r", "VisibilityTimeout": 1}}}
	},
	"DeleteMessage": func(url string) params { return params{"QueueUrl": url, "ReceiptHandle": "r"} },
	"DeleteMessageBatch": func(url string) params {
		return params{"QueueUrl": url, "Entries": []map[string]any{{"Id": "a", "ReceiptHandle": "r"}}}
	},
	"DeleteQueue":                func(url string) params { return params{"QueueUrl": url} },
	"GetQueueAttributes":         func(url string) params { return params{"QueueUrl": url, "AttributeNames": []string{"All"}} },
	"ListDeadLetterSourceQueues": func(url string) params { return params{"QueueUrl": url} },
	"ListQueueTags":              func(url string) params { return params{"QueueUrl": url} },
	"PurgeQueue":                 func(url string) params { return params{"QueueUrl": url} },
	"ReceiveMessage":             func(url string) params { return params{"QueueUrl": url} },
	"RemovePermission":           func(url string) params { return params{"QueueUrl": url, "Label": "l"} },
	"SendMessage":                func(url string) params { return params{"QueueUrl": url, "MessageBody": "b"} },
	"SendMessageBatch": func(url string) params {
		return params{"QueueUrl": url, "Entries": []map[string]any{{"Id": "a", "MessageBody": "b"}}}
	},
	"SetQueueAttributes": func(url string) params {
		return params{"QueueUrl": url, "Attributes": map[string]string{"DelaySeconds": "1"}}
	},
	"TagQueue":   func(url string) params { return params{"QueueUrl": url, "Tags": map[string]string{"k": "v"}} },
	"UntagQueue": func(url string) params { return params{"QueueUrl": url, "TagKeys": []string{"k"}} },
}

// everyQueueCells are the errors that all of queueActions share.
func everyQueueCells() (all []cell) {
	for action, with := range queueActions {
		all = append(all,
			fails(action, "QueueDoesNotExist", "no such queue", func(f *fixture) params { return with(f.missing()) }),
			fails(action, "InvalidAddress", "the address is no queue's", func(f *fixture) params { return with(f.open + "/a/b/c/d") }),
		)
	}
	return all
}

// batchCells are the errors that the three batch actions share.
func batchCells() (all []cell) {
	entry := map[string]func(id string, i int) map[string]any{
		"SendMessageBatch": func(id string, i int) map[string]any {
			return map[string]any{"Id": id, "MessageBody": fmt.Sprint("b", i)}
		},
		"DeleteMessageBatch": func(id string, i int) map[string]any {
			return map[string]any{"Id": id, "ReceiptHandle": fmt.Sprint("r", i)}
		},
		"ChangeMessageVisibilityBatch": func(id string, i int) map[string]any {
			return map[string]any{"Id": id, "ReceiptHandle": fmt.Sprint("r", i), "VisibilityTimeout": 1}
		},
	}
	for action, entry := range entry {
		batch := func(ids ...string) func(f *fixture) params {
			return func(f *fixture) params {
				entries := []map[string]any{}
				for i, id := range ids {
					entries = append(entries, entry(id, i))
				}
				return params{"QueueUrl": f.queue(""), "Entries": entries}
			}
		}
		all = append(all,
			fails(action, "TooManyEntriesInBatchRequest", "eleven entries", batch("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k")),
			fails(action, "EmptyBatchRequest", "no entries", batch()),
			fails(action, "BatchEntryIdsNotDistinct", "an ID twice", batch("a", "b", "a")),
			fails(action, "InvalidBatchEntryId", "an ID with a space", batch("a", "b c")),
			fails(action, "InvalidBatchEntryId", "an ID of 81 characters", batch(strings.Repeat("i", 81))),
		)
	}
	return all
}

// anyActionCells are the errors of signatures, which come before the action.
func anyActionCells() (all []cell) {
	for _, c := range []struct {
		outcome, title string
		signing        signing
	}{
		{"", "signed, and verified", signed},
		{"MissingAuthenticationToken", "not signed", unsigned},
		{"InvalidClientTokenId", "unknown access key", unknownKey},
		{"SignatureDoesNotMatch", "wrong secret key", wrongSecret},
	} {
		all = append(all, cell{action: "ListQueues", outcome: c.outcome, title: c.title, signing: c.signing, do: func(f *fixture) (params, check) {
			return params{"QueueNamePrefix": f.id}, nil
		}})
	}
	return all
}
