package embedded

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

// settings are a queue's attributes as the queue uses them.
type settings struct {
	delay, retention, visibility, wait time.Duration

	maxSize         int // bytes
	contentDedup    bool
	dedupPerGroup   bool
	deadLetterARN   string
	maxReceive      int // 0: no redrive policy
	redriveAllow    string
	redriveAllowARN []string
}

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
	fifo     bool // of FIFO queues only
	fixed    bool // set at creation only
	min, max int  // of a number; both 0: not a number
	oneOf    []string
	def      string // default; "": the attribute is not listed until set
}

var attributes = map[string]attribute{
	attrDelay:        {min: 0, max: 900, def: "0"},
	attrMaxSize:      {min: 1024, max: maxMessage, def: "1048576"},
	attrRetention:    {min: 60, max: 1_209_600, def: "345600"},
	attrWait:         {min: 0, max: 20, def: "0"},
	attrVisibility:   {min: 0, max: 43_200, def: "30"},
	attrPolicy:       {},
	attrRedrive:      {},
	attrRedriveAllow: {},
	attrKMSKey:       {},
	attrKMSReuse:     {min: 60, max: 86_400},
	attrSSE:          {oneOf: []string{"true", "false"}, def: "true"},
	attrFIFO:         {fifo: true, fixed: true, oneOf: []string{"true"}},
	attrContentDedup: {fifo: true, oneOf: []string{"true", "false"}, def: "false"},
	attrDedupScope:   {fifo: true, oneOf: []string{"queue", "messageGroup"}, def: "queue"},
	attrThroughput:   {fifo: true, oneOf: []string{"perQueue", "perMessageGroupId"}, def: "perQueue"},
}

func invalidAttribute(name string) error {
	return errorf(CodeInvalidAttributeValue, "Invalid value for the parameter %s.", name)
}

// checkAttribute validates one value; "" resets and is valid where it does.
func checkAttribute(name, value string, fifo bool) error {
	a, ok := attributes[name]
	if !ok || a.fifo && !fifo {
		return errorf(CodeInvalidAttributeName, "Unknown Attribute %s.", name)
	}
	switch {
	case a.max > 0:
		n, err := strconv.Atoi(value)
		if err != nil || n < a.min || n > a.max {
			return invalidAttribute(name)
		}
	case len(a.oneOf) > 0:
		for _, v := range a.oneOf {
			if strings.EqualFold(v, value) {
				return nil
			}
		}
		return invalidAttribute(name)
	}
	return nil
}

// readSettings reads attributes that are valid; what is missing is the default.
func readSettings(m map[string]string) (settings, error) {
	number := func(name string) int {
		n, err := strconv.Atoi(value(m, name))
		if err != nil {
			return 0
		}
		return n
	}
	seconds := func(name string) time.Duration { return time.Duration(number(name)) * time.Second }
	s := settings{
		delay: seconds(attrDelay), retention: seconds(attrRetention), visibility: seconds(attrVisibility), wait: seconds(attrWait),
		maxSize:       number(attrMaxSize),
		contentDedup:  value(m, attrContentDedup) == "true",
		dedupPerGroup: value(m, attrDedupScope) == "messageGroup",
	}
	if v := m[attrRedrive]; v != "" {
		var err error
		if s.deadLetterARN, s.maxReceive, err = parseRedrive(v); err != nil {
			return s, err
		}
	}
	return s, nil
}

func value(m map[string]string, name string) string {
	if v, ok := m[name]; ok && v != "" {
		return v
	}
	return attributes[name].def
}

// parseRedrive reads a RedrivePolicy; maxReceiveCount comes as a number or as a string.
func parseRedrive(v string) (arn string, maxReceive int, err error) {
	var p struct {
		Target string `json:"deadLetterTargetArn"`
		Max    any    `json:"maxReceiveCount"`
	}
	if json.Unmarshal([]byte(v), &p) != nil {
		return "", 0, errorf(CodeInvalidParameterValue, "Value %s for parameter RedrivePolicy is invalid. Reason: Redrive policy is not a valid JSON map.", v)
	}
	if p.Target == "" {
		return "", 0, errorf(CodeInvalidParameterValue, "Value %s for parameter RedrivePolicy is invalid. Reason: Redrive policy does not contain mandatory attribute: deadLetterTargetArn.", v)
	}
	if p.Max == nil {
		return "", 0, errorf(CodeInvalidParameterValue, "Value %s for parameter RedrivePolicy is invalid. Reason: Redrive policy does not contain mandatory attribute: maxReceiveCount.", v)
	}
	n, err := strconv.Atoi(fmt.Sprint(p.Max))
	if err != nil || n < 1 || n > 1000 {
		return "", 0, errorf(CodeInvalidParameterValue, "Value %s for parameter RedrivePolicy is invalid. Reason: Invalid value for maxReceiveCount: %v, valid values are from 1 to 1000 both inclusive.", v, p.Max)
	}
	return p.Target, n, nil
}

// Attributes are all that apply to the queue, with the counts of the moment.
func (q *Queue) Attributes() map[string]string {
	d := q.Depth()
	q.mu.Lock()
	defer q.mu.Unlock()
	m := make(map[string]string, 20)
	for name, a := range attributes {
		if a.def != "" && (!a.fifo || q.fifo) {
			m[name] = a.def
		}
	}
	maps.Copy(m, q.def.Attributes)
	if q.fifo {
		m[attrFIFO] = "true"
	}
	m["QueueArn"] = q.ARN()
	m["CreatedTimestamp"] = strconv.FormatInt(q.def.Created.Unix(), 10)
	m["LastModifiedTimestamp"] = strconv.FormatInt(q.def.Modified.Unix(), 10)
	m["ApproximateNumberOfMessages"] = strconv.Itoa(d.Visible)
	m["ApproximateNumberOfMessagesNotVisible"] = strconv.Itoa(d.InFlight)
	m["ApproximateNumberOfMessagesDelayed"] = strconv.Itoa(d.Delayed)
	return m
}
