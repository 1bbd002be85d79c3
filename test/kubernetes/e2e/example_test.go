package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/record"
	"github.com/queuemill/queuemill/test/mill"
)

// lines are a file's, without empty ones.
func lines(t *testing.T, path ...string) (found []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" {
			found = append(found, line)
		}
	}
	return found
}

// byState counts the records of a QueueJob.
func (s *system) byState(t *testing.T, queueJob string) map[record.State]int {
	t.Helper()
	counts := map[record.State]int{}
	for _, j := range s.jobs(t, queueJob) {
		counts[j.State]++
	}
	return counts
}

// awaitStates waits until the QueueJob's records are in exactly these states.
func (s *system) awaitStates(t *testing.T, queueJob string, want map[record.State]int) {
	t.Helper()
	var got map[record.State]int
	s.Eventually(t, fmt.Sprintf("%s to have %v", queueJob, want), func() bool {
		got = s.byState(t, queueJob)
		return fmt.Sprint(got) == fmt.Sprint(want)
	}, func() string { return fmt.Sprint(got) })
}

// The messages of examples/ping against containers: those whose target can't be
// reached fail, are mended (the address is given to the machine, on its bridge's
// side), and run again with one command.
func failingPingsAreMendedAndRetried(t *testing.T, s *system) {
	hosts := t.TempDir()
	host := s.Cluster.HostAddress()
	known := filepath.Join(hosts, "hosts")
	write(t, known, fmt.Sprintf("%[1]s web-1\n%[1]s web-2\n%[1]s web-3\n%[1]s db-1\n%[1]s cache-1\n", host))
	queue := s.apply(t, "ping", fmt.Sprintf(`
  maxActive: 6
  message:
    env:
    - {name: TARGET, fieldPath: target}
    - {name: DURATION, fieldPath: duration, default: "10"}
    schema: {type: object, required: [target], properties: {target: {type: string, minLength: 1}, duration: {type: string, pattern: "^[1-9][0-9]?$"}}}
  kubernetes:
    jobTemplate:
      spec:
        backoffLimit: 0
        template:
          spec:
            restartPolicy: Never
            volumes: [{name: hosts, hostPath: {path: %q}}]
            containers:
            - name: ping
              image: BUSYBOX
              volumeMounts: [{name: hosts, mountPath: /hosts}]
              command: [sh, -c, 'address=$(awk -v name="$1" "\$2 == name {print \$1; exit}" /hosts/hosts); [ -n "$address" ] || { echo "$1 is unknown"; exit 2; }; exec ping -c "$2" -- "$address"', "--"]
              args: [$(TARGET), $(DURATION)]`, hosts))
	for _, message := range lines(t, mill.Root(), "examples", "ping", "tasks.ndjson") {
		s.Send(t, queue, message)
	}
	// 127.0.0.1 and web..example.com are names that no hosts file has here.
	s.awaitStates(t, "ping", map[record.State]int{record.Succeeded: 7, record.Failed: 4, record.Invalid: 1})
	failed := s.Mill(t, 0, "jobs", "ping", "--state", "failed", "-o", "name")
	for name := range strings.FieldsSeq(failed) {
		if text := s.Mill(t, 0, "logs", name); !strings.Contains(text, "is unknown") {
			t.Errorf("logs of %s: %q, want why it failed", name, text)
		}
	}

	write(t, known, strings.Join(lines(t, known), "\n")+fmt.Sprintf("\n%[1]s db-2\n%[1]s printer\n%[1]s 127.0.0.1\n%[1]s web..example.com\n", host))
	s.Mill(t, 0, "retry", "--all", "--queuejob", "ping", "--state", "failed")
	s.awaitStates(t, "ping", map[record.State]int{record.Succeeded: 11, record.Invalid: 1})
	for _, j := range s.jobs(t, "ping", "--state", "succeeded") {
		want := 1
		if strings.Contains(failed, j.Name) {
			want = 2
		}
		if j.LastAttempt() != want {
			t.Errorf("%s succeeded in attempt %d, want %d", j.Name, j.LastAttempt(), want)
		}
	}
	if n := s.Depth(t, queue); n != 0 {
		t.Errorf("the queue holds %d messages, want none", n)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// examples/csv's files on a volume that jobs on both nodes share; a folder of
// the machine stands in for EFS.
func jobsShareAVolume(t *testing.T, s *system) {
	shared := t.TempDir()
	s.Kubectl(t, fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: shared}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteMany], storageClassName: "", hostPath: {path: %q}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: shared, namespace: %s}
spec: {accessModes: [ReadWriteMany], storageClassName: "", volumeName: shared, resources: {requests: {storage: 1Gi}}}
`, shared, ns), "apply", "-f", "-")
	write(t, filepath.Join(shared, "a.csv"), "name,n\nx,1\ny,2\n")
	queue := s.apply(t, "csv", `
  maxActive: 4
  message: {deduplicationField: output, env: [{name: INPUT, fieldPath: input}, {name: OUTPUT, fieldPath: output}]}
  kubernetes:
    jobTemplate:
      spec:
        backoffLimit: 0
        template:
          spec:
            restartPolicy: Never
            volumes: [{name: shared, persistentVolumeClaim: {claimName: shared}}]
            topologySpreadConstraints:
            - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: csv}}}
            containers:
            - name: csv
              image: BUSYBOX
              workingDir: /data
              volumeMounts: [{name: shared, mountPath: /data}]
              command: [sh, -c, 'until [ -f "$1" ]; do sleep 0.1; done; awk -F, "{print \$2\",\"\$1}" "$1" >"$2.part" && mv "$2.part" "$2"', "--"]
              args: [$(INPUT), $(OUTPUT)]
          metadata: {labels: {app: csv}}`)
	// Each but the first waits for what the one before it writes.
	var ids []string
	for i, name := range []string{"a", "b", "c"} {
		ids = append(ids, s.Send(t, queue, fmt.Sprintf(`{"input": "%s.csv", "output": "%c.csv"}`, name, 'b'+i)))
	}
	for _, id := range ids {
		s.await(t, id, "the job to succeed", func(j httpapi.Job) bool { return j.State == record.Succeeded })
	}
	if got := strings.Join(lines(t, shared, "d.csv"), " "); got != "n,name 1,x 2,y" {
		t.Errorf("d.csv is %q, want the columns swapped three times", got)
	}
	nodes := s.Kubectl(t, "", "get", "pods", "-n", ns, "-l", "app=csv", "-o", "jsonpath={.items[*].spec.nodeName}")
	if !strings.Contains(nodes, "node1") || !strings.Contains(nodes, "node2") {
		t.Errorf("the jobs ran on %s, want both nodes", nodes)
	}
}
