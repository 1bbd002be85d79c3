package sqsserver

import (
	"encoding/base64"
	"strings"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

// maxResults is the largest page of queues, and the size of the only one where
// MaxResults is not given (API reference, ListQueues).
const maxResults = 1000

// paging is what a caller says about pages.
type paging struct {
	max   *int
	token string
}

func (p *paging) read(member string, v value) error {
	switch member {
	case "MaxResults":
		return intInto(&p.max, v)
	case "NextToken":
		return stringInto(&p.token, v)
	}
	return nil
}

const tokenPrefix = "after:"

// cut returns the page of queues, which are sorted by name, and the token for
// the next. A token names the last queue of its page, so queues that come or go
// between two calls neither shift nor double the others. As in SQS, who asks
// without MaxResults gets no token.
func (p *paging) cut(queues []*embedded.Queue) (page []*embedded.Queue, next string, err error) {
	limit := maxResults
	if p.max != nil {
		if limit = *p.max; limit < 1 || limit > maxResults {
			return nil, "", failf(codeInvalidParameter,
				"Value %d for parameter MaxResults is invalid. Reason: Must be an integer between 1 and %d, if provided.", limit, maxResults)
		}
	}
	if p.token != "" {
		b, err := base64.RawURLEncoding.DecodeString(p.token)
		after, ok := strings.CutPrefix(string(b), tokenPrefix)
		if err != nil || !ok {
			return nil, "", failf(codeInvalidParameter, "Invalid or expired next token.")
		}
		for len(queues) > 0 && queues[0].Name() <= after {
			queues = queues[1:]
		}
	}
	if len(queues) <= limit {
		return queues, "", nil
	}
	if p.max != nil {
		next = base64.RawURLEncoding.EncodeToString([]byte(tokenPrefix + queues[limit-1].Name()))
	}
	return queues[:limit], next, nil
}
