package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatOnlyAClusterCanRunIsRefused(t *testing.T) {
	const head = "apiVersion: queuemill.dev/v1alpha1\nkind: QueueJob\n"
	file := filepath.Join(t.TempDir(), "m.yaml")
	text := head + `metadata: {name: a}
spec: {queue: {sqs: {name: a}}, process: {command: [cat]}}
---
` + head + `metadata: {name: a, namespace: other}
spec: {queue: {sqs: {name: b}}, process: {command: [cat]}}
---
` + head + `metadata: {name: k}
spec: {queue: {sqs: {name: k}}, kubernetes: {jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: k, image: k}]}}}}}}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	objects, _, err := loadManifests([]string{file})
	if err == nil || len(objects) > 0 {
		t.Fatalf("accepted: %+v", objects)
	}
	for _, want := range []string{
		file + ":6: metadata.name: there is a QueueJob a already, at " + file + ":1, and on one machine namespaces don't tell them apart",
		file + ":11: spec.kubernetes: needs a cluster; jobs on this machine are processes",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
}
