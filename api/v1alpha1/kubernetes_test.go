package v1alpha1

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden file anew")

// TestKubernetesTemplates holds each template of testdata/kubernetes.txt, between
// lines of ---, against what Validate and Warnings say of it, written below it as
// "# error: …" and "# warning: …". Its first line says what it is about and, with
// OnSuccess in it, under which ack.
func TestKubernetesTemplates(t *testing.T) {
	file := filepath.Join("testdata", "kubernetes.txt")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, doc := range strings.Split(string(data), "\n---\n") {
		var lines []string
		for line := range strings.SplitSeq(strings.TrimSpace(doc), "\n") {
			if !strings.HasPrefix(line, "# error:") && !strings.HasPrefix(line, "# warning:") {
				lines = append(lines, line)
			}
		}
		template := strings.Join(lines, "\n")
		got = append(got, template+judged(t, lines[0], template))
	}
	text := strings.Join(got, "\n---\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(data), text); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", file, diff)
	}
}

// judged is what is said of one template.
func judged(t *testing.T, title, template string) string {
	raw, err := yaml.YAMLToJSON([]byte(template))
	if err != nil {
		t.Fatalf("%s: %v", title, err)
	}
	q := &QueueJob{
		ObjectMeta: metav1.ObjectMeta{Name: "ping"},
		Spec: QueueJobSpec{
			Queue:      QueueSource{SQS: &SQSSource{Name: "ping"}},
			Message:    MessageSpec{Env: []FieldEnv{{Name: "TARGET", FieldPath: "target"}}},
			Kubernetes: &KubernetesTemplate{JobTemplate: runtime.RawExtension{Raw: raw}},
		},
	}
	if strings.Contains(title, "OnSuccess") {
		q.Spec.Ack = AckOnSuccess
	}
	q.SetDefaults()
	var out strings.Builder
	errs := q.Validate()
	for _, err := range errs {
		fmt.Fprintf(&out, "\n# error: %v", err)
	}
	if len(errs) == 0 {
		for _, w := range q.Warnings() {
			fmt.Fprintf(&out, "\n# warning: %s: %s", w.Field, w.Text)
		}
	}
	return strings.ReplaceAll(out.String(), "spec.kubernetes.jobTemplate", "…")
}
