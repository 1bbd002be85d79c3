package embedded

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

func invalidValue(value, parameter, format string, args ...any) error {
	return errorf(CodeInvalidParameterValue, "Value %s for parameter %s is invalid. Reason: %s", value, parameter, fmt.Sprintf(format, args...))
}

// parseRedrive reads a RedrivePolicy; maxReceiveCount comes as a number or as a string.
func parseRedrive(v string) (arn string, maxReceive int, err error) {
	var p struct {
		Target string `json:"deadLetterTargetArn"`
		Max    any    `json:"maxReceiveCount"`
	}
	if json.Unmarshal([]byte(v), &p) != nil {
		return "", 0, invalidValue(v, attrRedrive, "Redrive policy is not a valid JSON map.")
	}
	if p.Target == "" {
		return "", 0, invalidValue(v, attrRedrive, "Redrive policy does not contain mandatory attribute: deadLetterTargetArn.")
	}
	if p.Max == nil {
		return "", 0, invalidValue(v, attrRedrive, "Redrive policy does not contain mandatory attribute: maxReceiveCount.")
	}
	n, err := strconv.Atoi(fmt.Sprint(p.Max))
	if err != nil || n < 1 || n > 1000 {
		return "", 0, invalidValue(v, attrRedrive, "Invalid value for maxReceiveCount: %v, valid values are from 1 to 1000 both inclusive.", p.Max)
	}
	return p.Target, n, nil
}

// checkRedrive: the target is there, of the same kind, in the same region, and
// allows it.
func (b *Broker) checkRedrive(n queueName, v string) error {
	arn, _, err := parseRedrive(v)
	if err != nil {
		return err
	}
	target, err := b.QueueByARN(arn)
	switch {
	case err != nil:
		return invalidValue(v, attrRedrive, "Dead letter target does not exist.")
	case target.region != n.region:
		return invalidValue(v, attrRedrive, "Dead-letter target must be in the same region as the source.")
	case target.fifo != isFIFOName(n.name):
		return invalidValue(v, attrRedrive, "Dead-letter queue must be same type of queue as the source.")
	case target.name == n.name:
		return invalidValue(v, attrRedrive, "A queue can't be its own dead-letter queue.")
	}
	target.mu.Lock()
	defer target.mu.Unlock()
	if !target.set.allow.allows(b.arn(n)) {
		return invalidValue(v, attrRedrive, "Dead-letter target does not allow this queue to use it as a dead-letter queue (RedriveAllowPolicy).")
	}
	return nil
}

// redriveAllow is a RedriveAllowPolicy. The zero value allows all.
type redriveAllow struct {
	deny    bool     // all but sources
	sources []string // ARNs
}

func (a redriveAllow) allows(arn string) bool { return !a.deny || slices.Contains(a.sources, arn) }

func parseRedriveAllow(v string) (redriveAllow, error) {
	var p struct {
		Permission string   `json:"redrivePermission"`
		Sources    []string `json:"sourceQueueArns"`
	}
	if json.Unmarshal([]byte(v), &p) != nil {
		return redriveAllow{}, invalidValue(v, attrRedriveAllow, "Redrive allow policy is not a valid JSON map.")
	}
	switch p.Permission {
	case "allowAll", "denyAll":
		if len(p.Sources) > 0 {
			return redriveAllow{}, invalidValue(v, attrRedriveAllow, "sourceQueueArns can be given only when redrivePermission is byQueue.")
		}
		return redriveAllow{deny: p.Permission == "denyAll"}, nil
	case "byQueue":
		if len(p.Sources) < 1 || len(p.Sources) > 10 {
			return redriveAllow{}, invalidValue(v, attrRedriveAllow, "sourceQueueArns must have 1 to 10 ARNs when redrivePermission is byQueue.")
		}
		return redriveAllow{deny: true, sources: p.Sources}, nil
	}
	return redriveAllow{}, invalidValue(v, attrRedriveAllow, "redrivePermission must be allowAll, denyAll or byQueue.")
}
