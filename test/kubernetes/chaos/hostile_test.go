package chaos

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/queue"
)

// hostileSpec has fields that name what the container has, or what Kubernetes
// gives every container.
const hostileSpec = `
ack: OnCreate
maxActive: 100
message:
  format: [json]
  deduplicationField: key
  env:
  - {name: TARGET, fieldPath: target}
  - {name: OWN, fieldPath: own, default: none}
  - {name: DB_PASSWORD, fieldPath: password, default: none}
  - {name: KUBERNETES_SERVICE_HOST, fieldPath: host, default: none}
  - {name: HOSTNAME, fieldPath: host, default: none}
kubernetes:
  jobTemplate:
    spec:
      backoffLimit: 0
      template:
        spec:
          restartPolicy: Never
          containers:
          - name: job
            image: job
            command: [job, "$(TARGET)", "$$(TARGET)", "--own=$(OWN)"]
            env:
            - {name: OWN, value: the template's}
            - {name: DB_PASSWORD, valueFrom: {secretKeyRef: {name: database, key: password}}}
`

// hostile are values that a field may have. Each has to arrive as it is.
var hostile = map[string]string{
	"another variable":     "$(DB_PASSWORD)",
	"itself":               "$(TARGET)",
	"escaped":              "$$(X)",
	"escaped twice":        "$$$$(DB_PASSWORD)$$",
	"half a reference":     "$( $ $) $(",
	"a shell":              "; rm -rf / #`id` && $(id) | cat 'x' \"y\" \\",
	"a template":           "{{ .Values.secret }} {{ env \"HOME\" }} <% x %>",
	"YAML":                 "x\"\n  image: evil\n- name: other\n--- \n!!binary |\n  aGk=",
	"JSON":                 `"}],"image":"evil","x":[{"y":"`,
	"lines":                "\n\r\none\r\ttwo\n \n",
	"edges":                "  \t kept \t  ",
	"empty":                "",
	"not ASCII":            "é ü 漢字 🙂 \u2028 \ufeff \u202e gnirts",
	"control":              "\x01\x02\x1b[31mred\x07\x7f",
	"a path":               "../../../../etc/passwd",
	"an option":            "--kubeconfig=/dev/null",
	"a label":              "queuemill.dev/identity=0000",
	"long":                 strings.Repeat("0123456789abcdef", 3000),
	"a name for a boolean": "true",
	"a number":             "-1e400",
}

// TestHostileMessagesStayData sends what a stranger might, to a real API server:
// it reaches the container byte for byte, or the message is Invalid and says why.
func TestHostileMessagesStayData(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.sqs.queue(t, "hostile", 0)
	w.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "database", Namespace: w.namespace},
		StringData: map[string]string{"password": "s3cret"},
	})
	w.create(w.queueJob(strings.Repeat("n", 40), "hostile", hostileSpec))
	w.controller("--leader-elect=false")

	attribute := queue.Attribute{DataType: "String", StringValue: "$(DB_PASSWORD)\n: {}"}
	ids := map[string]string{}
	bodies := map[string]string{}
	for what, value := range hostile {
		text, err := json.Marshal(map[string]string{
			"target": value, "own": value, "password": value, "host": value,
			"key": what + " " + value, // its identity, too
		})
		if err != nil {
			t.Fatal(err)
		}
		bodies[what] = string(text)
		ids[what] = w.sqs.send(t, "hostile", queue.Outgoing{
			Body: string(text), GroupID: "g!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~",
			Attributes: map[string]queue.Attribute{"kubernetes.io_" + strings.Repeat("x", 200): attribute},
		})[0]
	}
	for what, value := range hostile {
		job := w.jobs(ids[what], "Complete")[0]
		d := w.delivered(job.Job)
		for name, want := range map[string]string{
			"TARGET": value, "KUBERNETES_SERVICE_HOST": value, "HOSTNAME": value,
			"OWN": "the template's", "DB_PASSWORD": "s3cret",
			"QUEUEMILL_MESSAGE_ID": ids[what],
		} {
			if got := d.env[name]; got != want {
				t.Errorf("%s: %s is %.200q, want %.200q", what, name, got, want)
			}
		}
		if want := []string{"job", value, "$(TARGET)", "--own=the template's"}; strings.Join(d.args, "\x00") != strings.Join(want, "\x00") {
			t.Errorf("%s: the command is %.300q, want %.300q", what, d.args, want)
		}
		if got := d.files[d.env["QUEUEMILL_MESSAGE_FILE"]]; got != bodies[what] {
			t.Errorf("%s: the message's file is %.200q, want %.200q", what, got, bodies[what])
		}
		var attributes map[string]any
		if err := json.Unmarshal([]byte(d.files[d.env["QUEUEMILL_ATTRIBUTES_FILE"]]), &attributes); err != nil || len(attributes) != 1 {
			t.Errorf("%s: the attributes' file has %d attributes, want 1: %v", what, len(attributes), err)
		}
		if len(job.Name) > 63 || len(job.Spec.Template.Spec.Containers) != 1 || job.Spec.Template.Spec.Containers[0].Image != "job" {
			t.Errorf("%s: Job %s has %d containers, want the template's one", what, job.Name, len(job.Spec.Template.Spec.Containers))
		}
	}
}

// TestUnusableMessagesAreInvalid: what can't become a job is a record with the
// reason, which no controller runs, and the queue goes on.
func TestUnusableMessagesAreInvalid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.sqs.queue(t, "hostile", 0)
	w.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "database", Namespace: w.namespace},
		StringData: map[string]string{"password": "s3cret"},
	})
	w.create(w.queueJob("hostile", "hostile", hostileSpec))
	w.controller("--leader-elect=false")

	cases := map[string]struct{ body, reason, detail string }{
		"NUL":        {`{"target":"a\u0000b","key":"nul"}`, "UnusableValue", "TARGET"},
		"no field":   {`{"key":"none"}`, "FieldMissing", "target"},
		"not JSON":   {"{not json", "NotJSON", ""},
		"empty":      {"-", "NotJSON", ""},
		"long value": {`{"target":"` + strings.Repeat("x", 70_000) + `","key":"long"}`, "UnusableValue", "64 KiB"},
		"deep":       {strings.Repeat("[", 100_000), "NotJSON", ""},
	}
	ids := map[string]string{}
	for what, c := range cases {
		ids[what] = w.sqs.send(t, "hostile", body(c.body))[0]
	}
	good := w.sqs.send(t, "hostile", body(`{"target":"x","key":"good"}`))[0]
	w.jobs(good, "Complete")
	for what, c := range cases {
		job := w.jobs(ids[what], "unfinished")[0]
		if job.Spec.ManagedBy == nil || *job.Spec.ManagedBy != "queuemill.dev/invalid" {
			t.Errorf("%s: the record's Job is managed by %v, want queuemill.dev/invalid", what, job.Spec.ManagedBy)
		}
		why := job.Annotations["queuemill.dev/reason"]
		if !strings.Contains(why, `"`+c.reason+`"`) || !strings.Contains(why, c.detail) {
			t.Errorf("%s: the reason is %s, want %s with %q", what, why, c.reason, c.detail)
		}
		if n := len(w.seen.runsOf(ids[what])); n > 0 {
			t.Errorf("%s: %d pods ran", what, n)
		}
	}
	w.within(patience, func() string {
		if w.sqs.get(t, "hostile").Depth().Total() > 0 {
			return "the queue holds " + w.sqs.depth(t, "hostile")
		}
		return ""
	})
}

// TestLargeAndConfidentialMessagesArriveWhole: over 4 KiB, and all that is
// confidential, by way of a Secret.
func TestLargeAndConfidentialMessagesArriveWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.sqs.queue(t, "large", 0)
	w.sqs.queue(t, "confidential", 0)
	w.create(w.queueJob("large", "large", "message: {format: [text]}\n"+jobTemplate))
	w.create(w.queueJob("confidential", "confidential",
		"message: {format: [json], confidential: true, env: [{name: PIN, fieldPath: pin}]}\n"+jobTemplate))
	w.controller("--leader-elect=false")

	for what, text := range map[string]string{
		"lines": "$(HOME) \n" + strings.Repeat("größer als vier KiB\r\n", 30_000) + " ",
		"a MiB": strings.Repeat("$", 1<<20), // all that SQS takes
	} {
		id := w.sqs.send(t, "large", body(text))[0]
		d := w.delivered(w.jobs(id, "Complete")[0].Job)
		if got := d.files[d.env["QUEUEMILL_MESSAGE_FILE"]]; got != text {
			t.Errorf("%s: the message's file has %d bytes, want the %d that were sent", what, len(got), len(text))
		}
	}
	secret := `{"pin":"$(HOME) 4711"}`
	id := w.sqs.send(t, "confidential", body(secret))[0]
	job := w.jobs(id, "Complete")[0]
	d := w.delivered(job.Job)
	if d.env["PIN"] != "$(HOME) 4711" || d.files[d.env["QUEUEMILL_MESSAGE_FILE"]] != secret {
		t.Errorf("PIN is %q and the message's file %q, want what was sent", d.env["PIN"], d.files[d.env["QUEUEMILL_MESSAGE_FILE"]])
	}
	text, err := json.Marshal(job.Job)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "4711") {
		t.Errorf("the Job shows what is confidential: %s", text)
	}
	if name, _ := message.RecordName(w.namespace, "confidential", id); job.Name != name {
		t.Errorf("the Job is %s, want %s", job.Name, name)
	}
}
