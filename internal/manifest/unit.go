package manifest

import (
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"
)

var (
	bareNumber  = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)
	numberUnit  = regexp.MustCompile(`^([0-9]+) ?([A-Za-z]+)$`)
	durationFor = map[string]string{
		"s": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
		"m": "m", "min": "m", "mins": "m", "minute": "m", "minutes": "m",
		"h": "h", "hr": "h", "hrs": "h", "hour": "h", "hours": "h",
		"ms": "ms", "msec": "ms", "millisecond": "ms", "milliseconds": "ms",
	}
	quantityFor = map[string]string{
		"k": "Ki", "kb": "Ki", "kib": "Ki", "ki": "Ki", "m": "Mi", "mb": "Mi", "mib": "Mi", "mi": "Mi",
		"g": "Gi", "gb": "Gi", "gib": "Gi", "gi": "Gi", "b": "", "bytes": "",
	}
)

// duration reads 30s, 5m, 1h30m.
func (c *checker) duration(path string, n *yaml.Node) (any, bool) {
	if n.Kind != yaml.ScalarNode {
		return c.wrong(path, n, "a duration such as 30s, 5m or 1h30m")
	}
	if d, err := time.ParseDuration(n.Value); err == nil && (d != 0 || n.Tag == "!!str") {
		return n.Value, true
	}
	hint := ""
	lower := strings.ToLower(n.Value)
	if match := numberUnit.FindStringSubmatch(lower); match != nil && durationFor[match[2]] != "" {
		hint = "write " + match[1] + durationFor[match[2]]
	} else if match != nil && (match[2] == "d" || strings.HasPrefix(match[2], "day")) {
		hint = "there is no unit for days, whose length depends on the place: write hours, 24h"
	}
	if bareNumber.MatchString(n.Value) {
		c.fail(n, path, "write "+n.Value+"s for seconds, "+n.Value+"m for minutes", "%s has no unit", n.Value)
		return nil, false
	}
	c.fail(n, path, hint, "%q is no duration; expected one such as 30s, 5m or 1h30m", n.Value)
	return nil, false
}

// quantity reads 512Ki, 10Mi, 1Gi, or a number of bytes.
func (c *checker) quantity(path string, n *yaml.Node) (any, bool) {
	if n.Kind != yaml.ScalarNode {
		return c.wrong(path, n, "a size such as 512Ki or 10Mi")
	}
	q, err := resource.ParseQuantity(n.Value)
	if err == nil && !strings.HasSuffix(n.Value, "m") { // milli: a tenth of nothing here
		return q.String(), true
	}
	hint := ""
	if match := numberUnit.FindStringSubmatch(strings.ToLower(n.Value)); match != nil {
		if unit, ok := quantityFor[match[2]]; ok {
			hint = "write " + match[1] + unit
		}
	}
	c.fail(n, path, hint, "%q is no size; expected one such as 512Ki or 10Mi", n.Value)
	return nil, false
}
