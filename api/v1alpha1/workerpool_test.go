package v1alpha1

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const goodPool = `
metadata: {name: thumbnails}
spec:
  queue: {sqs: {name: thumbnails}}
  scaling: {backlogPerWorker: 5}
  kubernetes: {template: {spec: {containers: [{name: main, image: i, command: [thumb]}]}}}
`

func readPool(t *testing.T, text string) *WorkerPool {
	t.Helper()
	var p WorkerPool
	if err := yaml.UnmarshalStrict([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	p.SetDefaults()
	return &p
}

func TestPoolsDefaultsAreSetOnceAndStay(t *testing.T) {
	t.Parallel()
	p := readPool(t, goodPool)
	once, _ := yaml.Marshal(p)
	p.SetDefaults()
	if twice, _ := yaml.Marshal(p); string(twice) != string(once) {
		t.Errorf("set again they are\n%s\nfirst\n%s", twice, once)
	}
	if errs := p.Validate(); len(errs) > 0 {
		t.Error(errs)
	}
	if s := p.Spec; s.MaxWorkers != 10 || s.Worker.Concurrency != 1 || s.Scaling.Interval == nil || s.Worker.Visibility == nil || s.Worker.DrainTimeout != nil {
		t.Errorf("%+v", s)
	}
}

func TestWhatIsWrongWithAPoolIsSaidWhereItStands(t *testing.T) {
	t.Parallel()
	steps := "scaling: {steps: {steps: ["
	for name, c := range map[string]struct{ was, is, want string }{
		"no policy":           {"{backlogPerWorker: 5}", "{}", "spec.scaling: Required"},
		"two policies":        {"{backlogPerWorker: 5}", "{backlogPerWorker: 5, targetWait: 1m}", "spec.scaling.targetWait: Forbidden"},
		"negative":            {"{backlogPerWorker: 5}", "{backlogPerWorker: -5}", "spec.scaling.backlogPerWorker"},
		"min over max":        {"  scaling:", "  minWorkers: 11\n  scaling:", "spec.minWorkers: Invalid value: 11: is more than maxWorkers (10)"},
		"idle with min":       {"scaling: {", "minWorkers: 1\n  scaling: {idleAfter: 1m, ", "spec.scaling.idleAfter"},
		"interval":            {"scaling: {", "scaling: {interval: 1ms, ", "spec.scaling.interval"},
		"steps with a gap":    {"scaling: {backlogPerWorker: 5}", steps + "{upperBound: 1, adjustment: 0}, {lowerBound: 2, adjustment: 1}]}}", "spec.scaling.steps.steps[1].lowerBound"},
		"steps that fall":     {"scaling: {backlogPerWorker: 5}", steps + "{upperBound: 1, adjustment: 2}, {lowerBound: 1, adjustment: 1}]}}", "spec.scaling.steps.steps[1].adjustment"},
		"steps without end":   {"scaling: {backlogPerWorker: 5}", steps + "{adjustment: 0}, {lowerBound: 1, adjustment: 1}]}}", "spec.scaling.steps.steps[1].lowerBound"},
		"nowhere":             {"  kubernetes:", "  message: {}\n#", "spec: Required"},
		"in two places":       {"  kubernetes:", "  scaleTargetRef: {name: x}\n  kubernetes:", "spec.scaleTargetRef: Forbidden"},
		"no command":          {", command: [thumb]", "", "spec.kubernetes.template.spec.containers[0].command: Required"},
		"no such container":   {"kubernetes: {", "kubernetes: {container: other, ", "spec.kubernetes.container"},
		"another restart":     {"spec: {containers", "spec: {restartPolicy: Never, containers", "spec.kubernetes.template.spec.restartPolicy"},
		"our label":           {"template: {", "template: {metadata: {labels: {queuemill.dev/workerpool: x}}, ", "spec.kubernetes.template.metadata.labels[queuemill.dev/workerpool]"},
		"deduplication":       {"  scaling:", "  message: {deduplicationField: id}\n  scaling:", "spec.message.deduplicationField"},
		"a handler's address": {"  scaling:", "  worker: {http: {url: localhost}}\n  scaling:", "spec.worker.http.url"},
		"a short visibility":  {"  scaling:", "  worker: {visibility: 1s}\n  scaling:", "spec.worker.visibility"},
		"no name":             {"name: thumbnails}\nspec", "namespace: a}\nspec", "metadata.name: Required value: give the WorkerPool a name"},
		"a process's command": {"kubernetes: {template: {spec: {containers: [{name: main, image: i, command: [thumb]}]}}}", "process: {}", "spec.process.command: Required"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(goodPool, c.was, c.is, 1)
			if text == goodPool {
				t.Fatal("nothing was replaced")
			}
			errs := readPool(t, text).Validate()
			if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), c.want) {
				t.Errorf("want %s; got %v", c.want, errs)
			}
		})
	}
}
