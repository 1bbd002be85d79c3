package v1alpha1

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// withCommand is a QueueJob whose messages set TARGET and COUNT.
func withCommand(command ...string) *QueueJob {
	q := &QueueJob{
		ObjectMeta: metav1.ObjectMeta{Name: "ping"},
		Spec: QueueJobSpec{
			Queue:   QueueSource{SQS: &SQSSource{Name: "ping"}},
			Message: MessageSpec{Env: []FieldEnv{{Name: "TARGET", FieldPath: "target"}, {Name: "COUNT", FieldPath: "count"}}},
			Process: &ProcessTemplate{Command: command},
		},
	}
	q.SetDefaults()
	return q
}

func TestWarningsOfArguments(t *testing.T) {
	const option = " with no -- before it: a message that begins with - would be taken for an option"
	script := func(name string) string {
		return "$(" + name + ") stands in a shell's script: the shell would run what the message says; write \"$" + name + "\" in double quotes there"
	}
	for _, tc := range []struct {
		command []string
		where   string
		want    string // "" for none
	}{
		{[]string{"ping", "-w", "$(COUNT)", "--", "$(TARGET)"}, "", ""}, // the design's own
		{[]string{"ping", "--", "$(TARGET)"}, "", ""},
		{[]string{"ping", "--target=$(TARGET)"}, "", ""},
		{[]string{"ping", "https://$(TARGET)/"}, "", ""},
		{[]string{"ping", "$(OTHER)"}, "", ""},
		{[]string{"ping", "$$(TARGET)"}, "", ""},
		{[]string{"ping", "$(TARGET)"}, "[1]", "$(TARGET)" + option},
		{[]string{"ping", "$(TARGET)/x", "--"}, "[1]", "$(TARGET)" + option},
		{[]string{"rm", "-rf", "$(TARGET)"}, "[2]", "$(TARGET)" + option},
		{[]string{"cat", "$(QUEUEMILL_ATTR_FILE)"}, "[1]", "$(QUEUEMILL_ATTR_FILE)" + option},
		{[]string{"cat", "$(QUEUEMILL_MESSAGE_FILE)"}, "", ""},
		{[]string{"sh", "-c", "ping $(TARGET)"}, "[2]", script("TARGET")},
		{[]string{"/bin/bash", "-euo", "pipefail", "-c", "ping $(TARGET)"}, "[4]", script("TARGET")},
		{[]string{"bash", "-o", "pipefail", "-ec", "ping $(TARGET)"}, "[4]", script("TARGET")},
		{[]string{"busybox", "ash", "-c", "ping $(COUNT)$(TARGET)"}, "[3]", script("COUNT")},
		{[]string{"sh", "-c", "ping $$(TARGET)"}, "", ""},
		{[]string{"sh", "-c", `ping "$TARGET"; date=$(date)`}, "", ""},
		{[]string{"sh", "-c", `ping -- "$1"`, "sh", "$(TARGET)"}, "", ""},
	} {
		q := withCommand(tc.command...)
		if errs := q.Validate(); len(errs) > 0 {
			t.Fatalf("%q: %v", tc.command, errs)
		}
		var want []Warning
		if tc.want != "" {
			want = []Warning{{"spec.process.command" + tc.where, tc.want}}
		}
		if diff := cmp.Diff(want, q.Warnings()); diff != "" {
			t.Errorf("%q: %s", tc.command, diff)
		}
	}
}

func TestATemplatesOwnVariablesWin(t *testing.T) {
	q := withCommand("ping", "$(TARGET)")
	q.Spec.Process.Env = []EnvVar{{Name: "TARGET", Value: "example.com"}}
	if got := q.Warnings(); got != nil {
		t.Errorf("a fixed value is warned of: %v", got)
	}
	q.Spec.Process.Env = []EnvVar{{Name: "HOST", Value: "www.$(TARGET)"}, {Name: "TARGET", Value: "example.com"}}
	q.Spec.Process.Command[1] = "$(HOST)"
	if got := q.Warnings(); len(got) != 1 {
		t.Errorf("a variable that holds the message's: %v", got)
	}
}

func TestOtherWarnings(t *testing.T) {
	q := withCommand("./run.sh")
	q.Spec.Ack = AckOnSuccess
	q.Spec.Message.Env = []FieldEnv{{Name: "BASH_ENV", FieldPath: "a"}}
	var got []string
	for _, w := range q.Warnings() {
		got = append(got, w.Field)
	}
	want := []string{"spec.message.env[0].name", "spec.process.command[0]", "spec.process.timeout"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	q = withCommand("./run.sh")
	q.Spec.Process.WorkingDir = "/srv"
	if got := q.Warnings(); got != nil {
		t.Errorf("with a working directory: %v", got)
	}
}

func TestContainersAreLookedAtToo(t *testing.T) {
	q := withCommand()
	q.Spec.Process = nil
	q.Spec.Message = MessageSpec{Format: []MessageFormat{FormatS3Event}}
	q.Spec.Kubernetes = &KubernetesTemplate{JobTemplate: runtime.RawExtension{Raw: []byte(`{"spec": {"template": {"spec": {"restartPolicy": "Never",
		"initContainers": [{"name": "i", "command": ["sh", "-c"], "args": ["aws s3 cp $(S3_KEY) ."]}],
		"containers": [{"name": "a", "args": ["$(S3_BUCKET)"]}, {"name": "b", "command": ["b"], "args": ["--", "$(S3_KEY)"]}]
	}}}}`)}}
	if errs := q.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	var got []string
	for _, w := range q.Warnings() {
		got = append(got, w.Field)
	}
	const pod = "spec.kubernetes.jobTemplate.spec.template.spec."
	if diff := cmp.Diff([]string{pod + "initContainers[0].args[0]", pod + "containers[0].args[0]"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestOnSuccessHoldsAMessageAtMostElevenAndAHalfHours(t *testing.T) {
	for _, tc := range []struct {
		timeout time.Duration
		retries int
		ok      bool
	}{
		{11*time.Hour + 30*time.Minute, 0, true},
		{11*time.Hour + 30*time.Minute + 1, 0, false},
		{5*time.Hour + 44*time.Minute, 1, true},
		{5*time.Hour + 45*time.Minute, 1, false}, // the wait between and the grace count
		{time.Second, 1000, false},               // the waits alone
		{8760 * time.Hour, 1000, false},
		{0, 1000, true}, // no timeout is warned of
	} {
		q := withCommand("sleep")
		q.Spec.Ack = AckOnSuccess
		q.Spec.Process.Retries = tc.retries
		if tc.timeout > 0 {
			q.Spec.Process.Timeout = &metav1.Duration{Duration: tc.timeout}
		}
		errs := q.Validate()
		if (len(errs) == 0) != tc.ok || !tc.ok && errs[0].Field != "spec.process.timeout" {
			t.Errorf("%s with %d retries: %v", tc.timeout, tc.retries, errs)
		}
		q.Spec.Ack = AckOnCreate
		if errs := q.Validate(); len(errs) > 0 {
			t.Errorf("%s with %d retries, OnCreate: %v", tc.timeout, tc.retries, errs)
		}
	}
}

func TestHumanDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 5 * time.Minute: "5m", time.Hour: "1h", 90 * time.Minute: "1h30m", time.Hour + time.Second: "1h0m1s", 10 * time.Second: "10s", 1500 * time.Millisecond: "1.5s", 20 * time.Hour: "20h",
	} {
		if got := Human(d); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestFieldPaths(t *testing.T) {
	for path, want := range map[string][]PathStep{
		"a":               {{Key: "a"}},
		"a.b-c[0][12].d":  {{Key: "a"}, {Key: "b-c"}, {Index: 0}, {Index: 12}, {Key: "d"}},
		"[1].x":           {{Index: 1}, {Key: "x"}},
		`["a.b"].c`:       {{Key: "a.b"}, {Key: "c"}},
		`a["] odd"]["é"]`: {{Key: "a"}, {Key: "] odd"}, {Key: "é"}},
		"naïve":           {{Key: "naïve"}},
	} {
		got, err := ParseFieldPath(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
	for _, path := range []string{"", ".", "a.", ".a", "a..b", "a[", "a[]", "a[-1]", "a[+1]", "a[1", "a[x]", `a[""]`, `a["b`, "a b", "$.a", "a[1]b", "a]", "a[*]", "a[99999999999999999999]"} {
		if got, err := ParseFieldPath(path); err == nil {
			t.Errorf("%q is read as %+v", path, got)
		}
	}
}

func TestDefaultsAreSetOnce(t *testing.T) {
	q := withCommand("cat")
	q.Spec.Breaker = &Breaker{}
	q.SetDefaults()
	before := TemplateHash(&q.Spec)
	q.SetDefaults()
	if got := q.Spec.Message.Format; len(got) != 1 || got[0] != FormatJSON {
		t.Errorf("format %v, want [json]", got)
	}
	if b := q.Spec.Breaker; b.Failures != 20 || b.Within.Duration != 5*time.Minute || b.Pause.Duration != time.Minute {
		t.Errorf("breaker %+v", b)
	}
	if TemplateHash(&q.Spec) != before {
		t.Error("the second time changes the template's hash")
	}
}

func TestTheTemplateHashIsStable(t *testing.T) {
	q := withCommand("cat")
	if got, want := TemplateHash(&q.Spec), "5ac137dfffd93aa5"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	q.Spec.MaxActive = 77
	q.Spec.Process = nil
	hash := func(template string) string {
		q.Spec.Kubernetes = &KubernetesTemplate{JobTemplate: runtime.RawExtension{Raw: []byte(template)}}
		return TemplateHash(&q.Spec)
	}
	if hash(`{"a": 1.50, "b": {"c": 1, "d": 2}}`) != hash(`{"b":{"d":2,"c":1},"a":1.50}`) {
		t.Error("the order of keys counts")
	}
	if hash(`{"a": 1}`) == hash(`{"a": 2}`) {
		t.Error("a value does not count")
	}
}
