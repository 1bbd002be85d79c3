package sqsserver

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

// call is one request on its way through the server.
type call struct {
	srv    *Server
	w      http.ResponseWriter
	r      *http.Request
	id     string // request ID, a UUID
	xml    bool   // Query protocol
	region string
	name   string  // of the action, "" until it is known
	action *action // nil until it is known
	began  time.Time
	held   int64 // bytes taken from the store for large bodies
	status int   // answered

	in       func(f func(member string, v value) error) error
	queueURL string // the parameter, or where it is missing the URL called
	out      answer
}

// dispatch finds the action and does it.
func (c *call) dispatch(body []byte) error {
	atQueue, err := c.locate()
	if err != nil {
		return err
	}
	if err := c.decode(body); err != nil {
		return err
	}
	a, ok := actions[c.name]
	switch {
	case !ok && (c.name == "" || !c.xml):
		return failf(codeUnknownOperation, "The operation %.100q is unknown.", c.name)
	case !ok, atQueue && a.accountOnly:
		name := c.name
		c.name = ""
		return failf(codeInvalidAction, "The action %.100s is not valid for this endpoint.", name)
	}
	c.action = a
	c.begin()
	return a.do(c)
}

// locate looks at the path: the account's endpoint, or a queue's own URL.
func (c *call) locate() (atQueue bool, err error) {
	path := c.r.URL.Path
	if path == "/" || path == "" {
		return false, nil
	}
	if _, _, ok := splitQueueURL(path); !ok {
		return false, failf(codeInvalidAddress, "The address %.200s is not valid for this endpoint.", path)
	}
	c.queueURL = path
	return true, nil
}

// decode finds out what is asked and prepares reading the parameters.
func (c *call) decode(body []byte) error {
	if !c.xml {
		target := c.r.Header["X-Amz-Target"][0]
		name, ok := strings.CutPrefix(target, "AmazonSQS.")
		if !ok {
			return failf(codeUnknownOperation, "The target %.100q is unknown.", target)
		}
		c.name = name
		c.in = (&jsonReader{b: body}).request
		return nil
	}
	root, err := parseQuery(c.r.URL.RawQuery, string(body))
	if err != nil {
		return err
	}
	c.name = root.get("Action")
	c.in = root.object
	return nil
}

// read hands the parameters to f, which may be nil; QueueUrl is kept in c.
func (c *call) read(f func(member string, v value) error) error {
	return c.in(func(member string, v value) error {
		if member == "QueueUrl" {
			return stringInto(&c.queueURL, v)
		}
		if f == nil {
			return nil
		}
		return f(member, v)
	})
}

// queue is the queue the call is about.
func (c *call) queue() (*embedded.Queue, error) {
	if c.queueURL == "" {
		return nil, missing("QueueUrl")
	}
	account, name, ok := splitQueueURL(c.queueURL)
	if !ok {
		return nil, failf(codeInvalidAddress, "The address %.200s is not valid for this endpoint.", c.queueURL)
	}
	if account != c.srv.broker.Account() {
		return nil, noSuchQueue()
	}
	return c.srv.broker.Queue(c.region, name)
}

func noSuchQueue() error {
	return failf(codeQueueDoesNotExist, "The specified queue does not exist.")
}

// urlOf is a queue's URL as this client reaches it.
func (c *call) urlOf(q *embedded.Queue) string {
	return baseURL(c.r) + "/" + c.srv.broker.Account() + "/" + url.PathEscape(q.Name())
}

// lasting is the context for what must be done even if the client leaves: a
// send that is under way is on disk or it is not, whoever still listens.
func (c *call) lasting() context.Context { return context.WithoutCancel(c.r.Context()) }

// hangUp has the connection closed after the answer: there may be a body on it
// that nobody is going to read.
func (c *call) hangUp() { c.w.Header()["Connection"] = connectionClose }

const xmlNamespace = "http://queue.amazonaws.com/doc/2012-11-05/"

// Header values, made once: net/http keeps the slices as they are.
var (
	typeJSON        = []string{"application/x-amz-json-1.0"}
	typeXML         = []string{"text/xml"}
	connectionClose = []string{"close"}
)

// begin writes what stands before an action's own answer.
func (c *call) begin() {
	if !c.xml {
		c.out.raw("{")
		return
	}
	c.out.raw(`<?xml version="1.0"?><`)
	c.out.raw(c.name)
	c.out.raw(`Response xmlns="` + xmlNamespace + `">`)
	if c.action.result {
		c.out.raw("<" + c.name + "Result>")
	}
}

// succeed ends the answer and sends it.
func (c *call) succeed() {
	if !c.xml {
		c.out.raw("}")
		c.send(http.StatusOK)
		return
	}
	if c.action.result {
		c.out.raw("</" + c.name + "Result>")
	}
	c.out.raw("<ResponseMetadata><RequestId>")
	c.out.raw(c.id)
	c.out.raw("</RequestId></ResponseMetadata></")
	c.out.raw(c.name)
	c.out.raw("Response>")
	c.send(http.StatusOK)
}

// fail throws away what was written and sends the error.
func (c *call) fail(err error) {
	e := wireError(err)
	name := nameOf(string(e.Code))
	if name.status >= http.StatusInternalServerError {
		c.srv.log.Error("request failed", "action", c.name, "error", err)
	}
	c.out.b = c.out.b[:0]
	if c.xml {
		c.failXML(e, name)
	} else {
		c.failJSON(e, name)
	}
	c.send(name.status)
}

func (n wireName) side() string {
	if n.fault {
		return "Receiver"
	}
	return "Sender"
}

func (c *call) failJSON(e *embedded.Error, name wireName) {
	c.w.Header()["X-Amzn-Query-Error"] = []string{name.query + ";" + name.side()}
	space := "com.amazonaws.sqs#"
	if name.common {
		space = "com.amazon.coral.service#"
	}
	c.out.body(func() {
		c.out.text("__type", space+name.json)
		c.out.text("message", textIn(false, e))
	})
}

func (c *call) failXML(e *embedded.Error, name wireName) {
	c.out.raw(`<?xml version="1.0"?>`)
	if e.Code == codeUnknownOperation {
		c.out.raw("<UnknownOperationException/>")
		return
	}
	c.out.raw(`<ErrorResponse xmlns="` + xmlNamespace + `"><Error>`)
	c.out.text("Type", name.side())
	c.out.text("Code", name.query)
	c.out.text("Message", textIn(true, e))
	c.out.raw("<Detail/></Error>")
	c.out.text("RequestId", c.id)
	c.out.raw("</ErrorResponse>")
}

func (c *call) send(status int) {
	c.status = status
	h := c.w.Header()
	h["Content-Type"] = typeJSON
	if c.xml {
		h["Content-Type"] = typeXML
	}
	h["X-Amzn-Requestid"] = []string{c.id}
	if len(c.out.b) > 2<<10 { // net/http finds shorter lengths itself
		h["Content-Length"] = []string{strconv.Itoa(len(c.out.b))}
	}
	c.w.WriteHeader(status)
	if _, err := c.w.Write(c.out.b); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		c.srv.log.Debug("answer not sent", "action", c.name, "error", err)
	}
}

// newRequestID is a random UUID (version 4). It names a request in logs and
// guards nothing, so it need not come from the kernel.
func newRequestID() string {
	const hex = "0123456789abcdef"
	hi := rand.Uint64()&^0xf000 | 0x4000
	lo := rand.Uint64()&^(3<<62) | 1<<63
	var b [36]byte
	at := 0
	for i := range 32 {
		word := hi
		if i >= 16 {
			word = lo
		}
		if i == 8 || i == 12 || i == 16 || i == 20 {
			b[at] = '-'
			at++
		}
		b[at] = hex[word>>(60-4*(i%16))&15]
		at++
	}
	return string(b[:])
}
