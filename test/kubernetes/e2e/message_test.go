package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/record"
)

// messages of every size a queue takes, and of every kind that a file, a YAML
// document, a shell or Kubernetes' own expansion could spoil.
func hostileBodies() map[string]string {
	return map[string]string{
		"plain":       `{"value": "hello"}`,
		"expansion":   `{"value": "$(DB_PASSWORD) $$(DB_PASSWORD) $HOME ${HOME} $$"}`,
		"lines":       "{\"value\": \"one\\ntwo\\r\\n\\tthree \\n\\n\"}\n\n",
		"yaml":        `{"value": "a: b\n- c: {d}\n--- # & * ! | > ' \""}`,
		"quotes":      `{"value": "'; rm -rf / #\" \\ ` + "`id`" + `"}`,
		"unicode":     `{"value": "žluťoučký kůň 🐎 \u2028"}`,
		"empty value": `{"value": ""}`,
		"just small":  sized(4 << 10),
		"just large":  sized(4<<10 + 1),
		"large":       sized(250 << 10),
	}
}

// sized is a body of n bytes, whose value is small.
func sized(n int) string {
	const head, tail = `{"value": "x", "rest": "`, `"}`
	return head + strings.Repeat("r", n-len(head)-len(tail)) + tail
}

// Each container copies what it was given to a folder of the machine.
func messagesReachTheContainerByteForByte(t *testing.T, s *system) {
	for _, mode := range []string{"plain", "confidential"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			confidential := mode == "confidential"
			seen := t.TempDir()
			name := "bytes-" + mode
			queue := s.apply(t, name, fmt.Sprintf(`
  maxActive: 20
  message: {format: [json], confidential: %v, env: [{name: VALUE, fieldPath: value}]}
  kubernetes:
    jobTemplate:
      spec:
        backoffLimit: 0
        template:
          spec:
            restartPolicy: Never
            volumes: [{name: seen, hostPath: {path: %q}}]
            containers:
            - name: main
              image: BUSYBOX
              env: [{name: DB_PASSWORD, value: sesame}]
              args: ["$(VALUE)"]
              command: [sh, -c, 'cat "$QUEUEMILL_MESSAGE_FILE" >"/seen/$QUEUEMILL_MESSAGE_ID.file" && printf %%s "$VALUE" >"/seen/$QUEUEMILL_MESSAGE_ID.env" && printf %%s "$1" >"/seen/$QUEUEMILL_MESSAGE_ID.arg"', "--"]
              volumeMounts: [{name: seen, mountPath: /seen}]`, confidential, seen))
			ids := map[string]string{}
			for what, body := range hostileBodies() {
				ids[what] = s.Send(t, queue, body)
			}
			for what, body := range hostileBodies() {
				id := ids[what]
				s.await(t, id, what+" to succeed", func(j httpapi.Job) bool { return j.State == record.Succeeded })
				var value struct{ Value string }
				decode(t, body, &value)
				for kind, want := range map[string]string{"file": body, "env": value.Value, "arg": value.Value} {
					got, err := os.ReadFile(filepath.Join(seen, id+"."+kind))
					if err != nil {
						t.Fatal(err)
					}
					if string(got) != want {
						t.Errorf("%s: the %s has %s, want %s", what, kind, abridged(string(got)), abridged(want))
					}
				}
			}
			if confidential {
				s.keepsSecret(t, name)
			}
		})
	}
}

// keepsSecret looks for the messages in all that lists, and for the Secrets
// that hold them.
func (s *system) keepsSecret(t *testing.T, queueJob string) {
	t.Helper()
	listed := s.Kubectl(t, "", "get", "queuejobs,jobs,pods,events", "-n", ns, "-o", "json", "-l", "queuemill.dev/queuejob="+queueJob)
	if !strings.Contains(listed, queueJob) {
		t.Fatal("the list of Jobs is empty")
	}
	for what, body := range hostileBodies() {
		for _, form := range []string{body, base64.StdEncoding.EncodeToString([]byte(body)), strings.Trim(asJSON(body), `"`)} {
			if strings.Contains(listed, form) {
				t.Errorf("%s: the body can be read where Jobs and pods are listed", what)
			}
		}
	}
}

func abridged(s string) string {
	if len(s) < 200 {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q… (%d bytes, SHA-256 %x)", s[:60], len(s), sha256.Sum256([]byte(s)))
}

// Every attempt's output can be read as long as its pod is there, by its number.
func eachAttemptHasItsLog(t *testing.T, s *system) {
	queue := s.apply(t, "attempts", `
  kubernetes: {jobTemplate: {spec: {backoffLimit: 0, template: {spec: {restartPolicy: Never,
    containers: [{name: main, image: BUSYBOX, command: [sh, -c, 'echo "this is attempt $QUEUEMILL_ATTEMPT"; [ "$QUEUEMILL_ATTEMPT" = 3 ]']}]}}}}}`)
	id := s.Send(t, queue, "again and again")
	for attempt := 1; attempt <= 3; attempt++ {
		want := record.Failed
		if attempt == 3 {
			want = record.Succeeded
		}
		j := s.await(t, id, fmt.Sprintf("the end of attempt %d", attempt), func(j httpapi.Job) bool { return j.State == want && j.LastAttempt() == attempt })
		for n := 1; n <= attempt; n++ {
			if got, want := s.Mill(t, 0, "logs", j.Name, "--attempt", fmt.Sprint(n)), fmt.Sprintf("this is attempt %d\n", n); got != want {
				t.Errorf("logs --attempt %d: %q, want %q", n, got, want)
			}
		}
		if attempt < 3 {
			s.Mill(t, 0, "retry", j.Name)
		}
	}
}
