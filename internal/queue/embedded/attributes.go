package embedded

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	attrDelay        = "DelaySeconds"
	attrMaxSize      = "MaximumMessageSize"
	attrRetention    = "MessageRetentionPeriod"
	attrWait         = "ReceiveMessageWaitTimeSeconds"
	attrVisibility   = "VisibilityTimeout"
	attrPolicy       = "Policy"
	attrRedrive      = "RedrivePolicy"
	attrRedriveAllow = "RedriveAllowPolicy"
	attrKMSKey       = "KmsMasterKeyId"
	attrKMSReuse     = "KmsDataKeyReusePeriodSeconds"
	attrSSE          = "SqsManagedSseEnabled"
	attrFIFO         = "FifoQueue"
	attrContentDedup = "ContentBasedDeduplication"
	attrDedupScope   = "DeduplicationScope"
	attrThroughput   = "FifoThroughputLimit"
)

// attribute is what may be said about an attribute. Source: CreateQueue and
// SetQueueAttributes in the API reference.
type attribute struct {
	fifo     bool     // of FIFO queues only
	min, max int      // of a number; max 0: not a number
	oneOf    []string // the values there are; lower case ones in any case
	resets   bool     // "" takes it away
	def      string   // default; "": not listed until set
}

var attributes = map[string]attribute{
	attrDelay:        {min: 0, max: 900, def: "0"},
	attrMaxSize:      {min: 1024, max: maxMessage, def: "1048576"},
	attrRetention:    {min: 60, max: 1_209_600, def: "345600"},
	attrWait:         {min: 0, max: 20, def: "0"},
	attrVisibility:   {min: 0, max: 43_200, def: "30"},
	attrPolicy:       {resets: true},
	attrRedrive:      {resets: true},
	attrRedriveAllow: {resets: true},
	attrKMSKey:       {resets: true},
	attrKMSReuse:     {min: 60, max: 86_400},
	attrSSE:          {oneOf: []string{"true", "false"}, def: "true"},
	attrFIFO:         {fifo: true, oneOf: []string{"true"}},
	attrContentDedup: {fifo: true, oneOf: []string{"true", "false"}, def: "false"},
	attrDedupScope:   {fifo: true, oneOf: []string{"queue", "messageGroup"}, def: "queue"},
	attrThroughput:   {fifo: true, oneOf: []string{"perQueue", "perMessageGroupId"}, def: "perQueue"},
}

// checkAttribute validates one value and returns it in its usual form.
func checkAttribute(name, value string, fifo bool) (string, error) {
	a, ok := attributes[name]
	if !ok || a.fifo && !fifo {
		return "", errorf(CodeInvalidAttributeName, "Unknown Attribute %s.", name)
	}
	switch {
	case a.max > 0:
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil || int(n) < a.min || int(n) > a.max {
			return "", invalidAttribute(name)
		}
		return strconv.FormatUint(n, 10), nil
	case len(a.oneOf) > 0:
		if slices.Contains(a.oneOf, value) {
			return value, nil
		}
		if lower := strings.ToLower(value); slices.Contains(a.oneOf, lower) {
			return lower, nil
		}
		return "", invalidAttribute(name)
	case name == attrPolicy && value != "" && !json.Valid([]byte(value)):
		return "", invalidAttribute(name)
	}
	return value, nil
}

func invalidAttribute(name string) error {
	return errorf(CodeInvalidAttributeValue, "Invalid value for the parameter %s.", name)
}

// mergeAttributes validates changes to a queue's attributes and returns present
// with the changes in it. It looks at other queues: the caller holds adminMu.
func (b *Broker) mergeAttributes(n queueName, present, changes map[string]string) (map[string]string, error) {
	fifo := isFIFOName(n.name)
	merged := maps.Clone(present)
	if merged == nil {
		merged = map[string]string{}
	}
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		v, err := checkAttribute(name, changes[name], fifo)
		if err != nil {
			return nil, err
		}
		if merged[name] = v; v == "" {
			delete(merged, name)
		}
	}
	if merged[attrThroughput] == "perMessageGroupId" && merged[attrDedupScope] != "messageGroup" {
		return nil, errorf(CodeInvalidAttributeValue, "Value perMessageGroupId for parameter FifoThroughputLimit is invalid. Reason: The value perMessageGroupId is allowed only when the value for DeduplicationScope is messageGroup.")
	}
	if err := encryption(merged, changes); err != nil {
		return nil, err
	}
	if changes[attrRedriveAllow] != "" {
		if _, err := parseRedriveAllow(changes[attrRedriveAllow]); err != nil {
			return nil, err
		}
	}
	if changes[attrRedrive] != "" {
		if err := b.checkRedrive(n, changes[attrRedrive]); err != nil {
			return nil, err
		}
	}
	return merged, nil
}

// encryption: one kind of server-side encryption at a time; the latest said wins.
func encryption(merged, changes map[string]string) error {
	kms, sse := changes[attrKMSKey] != "", strings.EqualFold(changes[attrSSE], "true")
	switch {
	case kms && sse:
		return errorf(CodeInvalidAttributeValue, "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.")
	case kms:
		merged[attrSSE] = "false"
	case sse:
		delete(merged, attrKMSKey)
	}
	return nil
}

// settings are a queue's attributes as the queue uses them.
type settings struct {
	delay, retention, visibility, wait time.Duration

	maxSize       int // of a message, bytes
	contentDedup  bool
	dedupPerGroup bool
	deadLetterARN string
	maxReceive    int // 0: no redrive policy
	allow         redriveAllow
}

// readSettings reads attributes that are valid; what is missing is the default.
func readSettings(m map[string]string) (settings, error) {
	var err error
	number := func(name string) int {
		n, nerr := strconv.Atoi(effective(m, name))
		if nerr != nil {
			err = invalidAttribute(name)
		}
		return n
	}
	seconds := func(name string) time.Duration { return time.Duration(number(name)) * time.Second }
	s := settings{
		delay: seconds(attrDelay), retention: seconds(attrRetention), visibility: seconds(attrVisibility), wait: seconds(attrWait),
		maxSize:       number(attrMaxSize),
		contentDedup:  effective(m, attrContentDedup) == "true",
		dedupPerGroup: effective(m, attrDedupScope) == "messageGroup",
	}
	if err != nil {
		return s, err
	}
	if v := m[attrRedrive]; v != "" {
		if s.deadLetterARN, s.maxReceive, err = parseRedrive(v); err != nil {
			return s, err
		}
	}
	if v := m[attrRedriveAllow]; v != "" {
		s.allow, err = parseRedriveAllow(v)
	}
	return s, err
}

// effective is the value of an attribute or its default.
func effective(m map[string]string, name string) string {
	if v := m[name]; v != "" {
		return v
	}
	return attributes[name].def
}

// Attributes are all that apply to the queue, with the counts of the moment.
func (q *Queue) Attributes() map[string]string {
	d := q.Depth()
	q.mu.Lock()
	defer q.mu.Unlock()
	m := make(map[string]string, 24)
	for name, a := range attributes {
		if a.def != "" && (!a.fifo || q.fifo) {
			m[name] = a.def
		}
	}
	maps.Copy(m, q.def.Attributes)
	if q.fifo {
		m[attrFIFO] = "true"
	}
	if m[attrKMSKey] != "" && m[attrKMSReuse] == "" {
		m[attrKMSReuse] = "300"
	}
	m["QueueArn"] = q.ARN()
	m["CreatedTimestamp"] = strconv.FormatInt(q.def.Created.Unix(), 10)
	m["LastModifiedTimestamp"] = strconv.FormatInt(q.def.Modified.Unix(), 10)
	m["ApproximateNumberOfMessages"] = strconv.Itoa(d.Visible)
	m["ApproximateNumberOfMessagesNotVisible"] = strconv.Itoa(d.InFlight)
	m["ApproximateNumberOfMessagesDelayed"] = strconv.Itoa(d.Delayed)
	return m
}

// sameAs: creating a queue again with other attributes is CodeQueueNameExists.
func (q *Queue) sameAs(wanted map[string]string) error {
	present := q.Attributes()
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if v := wanted[name]; v != present[name] && !sameJSON(v, present[name]) {
			return errorf(CodeQueueNameExists, "A queue already exists with the same name and a different value for attribute %s", name)
		}
	}
	return nil
}

// sameJSON compares two JSON texts by meaning.
func sameJSON(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	p, perr := json.Marshal(x)
	q, qerr := json.Marshal(y)
	return perr == nil && qerr == nil && string(p) == string(q)
}
