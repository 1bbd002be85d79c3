package operator_test

import (
	"strings"
	"testing"

	"github.com/queuemill/queuemill/test/cluster"
)

// wholePool is a manifest that the table below breaks, a line each.
const wholePool = `
apiVersion: queuemill.dev/v1alpha1
kind: WorkerPool
metadata: {name: thumbnails}
spec:
  queue: {sqs: {name: thumbnails}}
  minWorkers: 1
  maxWorkers: 5
  scaling: {backlogPerWorker: 5, scaleOutCooldown: 0s, scaleInCooldown: 5m, interval: 2s}
  worker: {concurrency: 2, timeout: 1m, drainTimeout: 30s, visibility: 1m}
  kubernetes: {template: {spec: {containers: [{name: main, image: i, command: [work]}]}}}
`

// TestAPIServerRefusesAPoolThatCanNotBeRead: what one tenant stores must not
// keep the controller from reading everybody's.
func TestAPIServerRefusesAPoolThatCanNotBeRead(t *testing.T) {
	c, _ := admin(t)
	ns := cluster.Namespace(t, cluster.Shared(t))
	for name, row := range map[string]struct{ old, wrong, want string }{
		"no duration":   {"interval: 2s", "interval: soon", "a duration looks like 30s, 5m or 1h30m"},
		"short":         {"interval: 2s", "interval: 1ms", "must be 10ms to 10m"},
		"cooldown":      {"scaleInCooldown: 5m", "scaleInCooldown: 99999999999h", "must be 0s to 24h"},
		"number":        {"timeout: 1m", "timeout: 60", "must be of type string"},
		"visibility":    {"visibility: 1m", "visibility: 1s", "must be 5s to 12h"},
		"huge":          {"maxWorkers: 5", "maxWorkers: 99999999999999999999", "must be of type integer"},
		"min over max":  {"minWorkers: 1", "minWorkers: 6", "minWorkers is over maxWorkers"},
		"two policies":  {"{backlogPerWorker: 5", "{backlogPerWorker: 5, targetWait: 1m", "exactly one of backlogPerWorker, steps and targetWait"},
		"no policy":     {"{backlogPerWorker: 5, ", "{", "exactly one of backlogPerWorker, steps and targetWait"},
		"nowhere":       {"  kubernetes: {template: {spec: {containers: [{name: main, image: i, command: [work]}]}}}\n", "", "exactly one of process, kubernetes and scaleTargetRef"},
		"two places":    {"  kubernetes:", "  scaleTargetRef: {name: x}\n  kubernetes:", "exactly one of process, kubernetes and scaleTargetRef"},
		"adjustment":    {"backlogPerWorker: 5", "steps: {steps: [{adjustment: 99999999999999999999}]}", "must be of type integer"},
		"unknown field": {"maxWorkers: 5", "maxworkers: 5", `unknown field "spec.maxworkers"`},
		"long name":     {"name: thumbnails}\nspec", "name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}\nspec", "at most 40 characters"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(wholePool, row.old, row.wrong, 1)
			if text == wholePool {
				t.Fatalf("there is no %q in the manifest", row.old)
			}
			if err := c.Create(t.Context(), object(t, ns, text), strictly); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v\nwant %s", err, row.want)
			}
		})
	}
	if err := c.Create(t.Context(), object(t, ns, wholePool), strictly); err != nil {
		t.Error(err)
	}
}
