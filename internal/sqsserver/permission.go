package sqsserver

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

// policy is an access policy as SQS keeps it for AddPermission. It is stored and
// returned; nothing here is decided by it. Statements that a user wrote with
// SetQueueAttributes stay as they are.
type policy struct {
	Version   string            `json:"Version"`
	ID        string            `json:"Id,omitempty"`
	Statement []json.RawMessage `json:"Statement"`
}

// statement is what AddPermission adds: one value stands alone, several in a list.
type statement struct {
	Sid       string         `json:"Sid"`
	Effect    string         `json:"Effect"`
	Principal map[string]any `json:"Principal"`
	Action    any            `json:"Action"`
	Resource  string         `json:"Resource"`
}

// Limits of AddPermission (API reference).
const maxPermissionActions = 7

// grantable are the actions that an owner may let others do (developer guide,
// "Limitations of custom policies" and the policy's list of actions).
var grantable = []string{
	"*", "ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "GetQueueUrl",
	"ListDeadLetterSourceQueues", "PurgeQueue", "ReceiveMessage", "SendMessage",
}

// ownerOnly are the actions that cannot be granted to others.
var ownerOnly = []string{
	"AddPermission", "CancelMessageMoveTask", "CreateQueue", "DeleteQueue", "ListMessageMoveTasks",
	"ListQueues", "ListQueueTags", "RemovePermission", "SetQueueAttributes", "StartMessageMoveTask",
	"TagQueue", "UntagQueue",
}

// permission are the parameters of AddPermission and RemovePermission.
type permission struct {
	label             string
	accounts, actions []string
}

func (p *permission) read(member string, v value) error {
	switch member {
	case "Label":
		return stringInto(&p.label, v)
	case "AWSAccountIds":
		return stringsInto(&p.accounts, v)
	case "Actions":
		return stringsInto(&p.actions, v)
	}
	return nil
}

func (p *permission) check(c *call) error {
	switch {
	case p.label == "":
		return missing("Label")
	case !validLabel(p.label):
		return failf(codeInvalidParameter, "Value %.100s for parameter Label is invalid. Reason: Must be at most 80 characters, alphanumeric, hyphen or underscore.", p.label)
	case len(p.accounts) == 0:
		return missing(c.either("AWSAccountIds", "AWSAccountId"))
	case len(p.actions) == 0:
		return missing(c.either("Actions", "ActionName"))
	case len(p.actions) > maxPermissionActions:
		return failf("OverLimit", "%d Actions were found, maximum allowed is %d.", len(p.actions), maxPermissionActions)
	}
	for _, id := range p.accounts {
		if len(id) != 12 || strings.Trim(id, "0123456789") != "" {
			return failf(codeInvalidParameter, "Value %.100s for parameter PrincipalId is invalid. Reason: Unable to verify.", id)
		}
	}
	for _, name := range p.actions {
		if slices.Contains(grantable, name) {
			continue
		}
		if slices.Contains(ownerOnly, name) {
			return failf(codeInvalidParameter, "Value SQS:%s for parameter ActionName is invalid. Reason: Only the queue owner is allowed to invoke this action.", name)
		}
		return failf(codeInvalidParameter, "Value SQS:%.100s for parameter ActionName is invalid. Reason: Please refer to the appropriate WSDL for a list of valid actions.", name)
	}
	return nil
}

func (p *permission) statement(q *embedded.Queue) statement {
	s := statement{Sid: p.label, Effect: "Allow", Resource: q.ARN()}
	who := make([]string, len(p.accounts))
	for i, id := range p.accounts {
		who[i] = "arn:aws:iam::" + id + ":root"
	}
	what := make([]string, len(p.actions))
	for i, name := range p.actions {
		what[i] = "SQS:" + name
	}
	s.Principal = map[string]any{"AWS": oneOrAll(who)}
	s.Action = oneOrAll(what)
	return s
}

func oneOrAll(ss []string) any {
	if len(ss) == 1 {
		return ss[0]
	}
	return ss
}

// policyOf is a queue's policy, a new one where it has none.
func policyOf(q *embedded.Queue) (policy, error) {
	p := policy{Version: "2008-10-17", ID: q.ARN() + "/SQSDefaultPolicy"}
	text := q.Attributes()["Policy"]
	if text == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return p, failf("InvalidAttributeValue", "Invalid value for the parameter Policy.")
	}
	return p, nil
}

// find is the index of the statement with that label, or -1.
func (p *policy) find(label string) int {
	return slices.IndexFunc(p.Statement, func(raw json.RawMessage) bool {
		var s struct{ Sid string }
		return json.Unmarshal(raw, &s) == nil && s.Sid == label
	})
}

// save stores p; a policy that says nothing is none.
func (p *policy) save(q *embedded.Queue) error {
	if len(p.Statement) == 0 {
		return q.SetAttributes(map[string]string{"Policy": ""})
	}
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("write policy of queue %s: %w", q.Name(), err)
	}
	return q.SetAttributes(map[string]string{"Policy": string(text)})
}

func addPermission(c *call) error {
	var p permission
	if err := c.read(p.read); err != nil {
		return err
	}
	q, err := c.queue()
	if err != nil {
		return err
	}
	if err := p.check(c); err != nil {
		return err
	}
	c.srv.policies.Lock() // what is read is what is changed
	defer c.srv.policies.Unlock()
	pol, err := policyOf(q)
	if err != nil {
		return err
	}
	if pol.find(p.label) >= 0 {
		return failf(codeInvalidParameter, "Value %s for parameter Label is invalid. Reason: Already exists.", p.label)
	}
	raw, err := json.Marshal(p.statement(q))
	if err != nil {
		return fmt.Errorf("write statement %s: %w", p.label, err)
	}
	pol.Statement = append(pol.Statement, raw)
	return pol.save(q)
}

func removePermission(c *call) error {
	var p permission
	if err := c.read(p.read); err != nil {
		return err
	}
	q, err := c.queue()
	if err != nil {
		return err
	}
	if p.label == "" {
		return missing("Label")
	}
	c.srv.policies.Lock()
	defer c.srv.policies.Unlock()
	pol, err := policyOf(q)
	if err != nil {
		return err
	}
	i := pol.find(p.label)
	if i < 0 {
		return failf(codeInvalidParameter, "Value %.100s for parameter Label is invalid. Reason: can't find label.", p.label)
	}
	pol.Statement = slices.Delete(pol.Statement, i, i+1)
	return pol.save(q)
}
