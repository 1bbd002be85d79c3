package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/internal/install"
	"github.com/queuemill/queuemill/test/cluster"
	"github.com/queuemill/queuemill/test/kubernetes/site"
	"github.com/queuemill/queuemill/test/mill"
)

// Under OnSuccess with failing jobs, controllers that are killed and nodes that
// are drained: each message succeeds once or is in the dead-letter queue, never
// both, and no two containers of one message run at the same time.
func noMessageRunsTwiceAtATime(t *testing.T, s *system) {
	const (
		messages = 24
		receives = 3
	)
	shared := t.TempDir()
	if err := os.Chmod(shared, 0o777); err != nil {
		t.Fatal(err)
	}
	image := s.lockerImage(t)
	dead := s.NewQueue(t, "once-dead", nil)
	queue := s.NewQueue(t, "once", map[string]string{
		"VisibilityTimeout": "10",
		"RedrivePolicy":     fmt.Sprintf(`{"deadLetterTargetArn": "arn:aws:sqs:%s:000000000000:once-dead", "maxReceiveCount": "%d"}`, site.Region, receives),
	})
	s.applyOn(t, "once", queue, fmt.Sprintf(`
  ack: OnSuccess
  maxActive: 8
  message: {env: [{name: FAILURES, fieldPath: failures}]}
  kubernetes:
    jobTemplate:
      spec:
        backoffLimit: 0
        template:
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: 1
            volumes: [{name: shared, hostPath: {path: %q}}]
            containers: [{name: main, image: %q, args: [/shared, $(FAILURES)], volumeMounts: [{name: shared, mountPath: /shared}]}]`, shared, image))
	failures := map[string]int{}
	for n := range messages {
		k := []int{0, 0, 0, 1, 0, 9}[n%6]
		failures[s.Send(t, queue, fmt.Sprintf(`{"n": %d, "failures": "%d"}`, n, k))] = k
	}

	ctx, stop := context.WithCancel(t.Context())
	killed := make(chan int)
	go func() { killed <- s.killControllers(ctx) }()
	// The controllers stay where they are: their disruption budget lets none go
	// while the other one is being killed.
	for i, node := range []string{"node1", "node2"} {
		s.Eventually(t, "some to succeed", func() bool { return s.Depth(t, queue) < messages-8*i }, s.queueText(t, queue))
		s.Drain(t, node, "batch.kubernetes.io/job-name")
	}
	stop()
	kills := <-killed
	s.Eventually(t, "the queue to be empty", func() bool { return s.Depth(t, queue) == 0 }, s.queueText(t, queue))

	if overlaps, err := os.ReadFile(filepath.Join(shared, "overlaps")); err == nil {
		t.Errorf("two containers of one message ran at the same time:\n%s", overlaps)
	}
	starts, successes := map[string]int{}, map[string]int{}
	for _, line := range lines(t, shared, "log") {
		f := strings.Fields(line)
		map[string]map[string]int{"start": starts, "success": successes}[f[0]][f[1]]++
	}
	deadLetters := 0
	for id, k := range failures {
		if n := successes[id]; n > 1 || n > 0 && k >= receives {
			t.Errorf("message %s with %d failures succeeded %d times; it was started %d times", id, k, n, starts[id])
		}
		if successes[id] == 0 { // a kill between a receive and its create costs the message a receive
			deadLetters++
		}
	}
	if n := s.Depth(t, dead); n != deadLetters {
		t.Errorf("the dead-letter queue holds %d messages, %d did not succeed", n, deadLetters)
	}
	if len(successes) < messages/2 {
		t.Errorf("%d of %d messages succeeded: this run shows nothing", len(successes), messages)
	}
	if kills == 0 {
		t.Error("no controller was killed: this run shows nothing")
	}
	t.Logf("%d messages, %d starts, %d kills of a controller, %d dead letters", messages, len(lines(t, shared, "log")), kills, deadLetters)
}

// lockerImage puts ./locker onto the nodes.
func (s *system) lockerImage(t *testing.T) (name string) {
	t.Helper()
	program, err := mill.Build(t.TempDir(), "./test/kubernetes/e2e/locker", false)
	if err != nil {
		t.Fatal(err)
	}
	image := cluster.Image{Name: "queuemill.test/locker:1", Files: map[string]string{"/locker": program}, Entrypoint: []string{"/locker"}}
	archive := filepath.Join(t.TempDir(), "image.tar")
	if err := image.WriteTo(archive); err != nil {
		t.Fatal(err)
	}
	if err := s.Cluster.LoadImage(t.Context(), archive); err != nil {
		t.Fatal(err)
	}
	return image.Name
}

func (s *system) queueText(t *testing.T, queue string) func() string {
	return func() string { return fmt.Sprintf("%d messages; %v", s.Depth(t, queue), s.byState(t, "once")) }
}

// maxKills is how often a controller is killed: the kubelet waits twice as long
// each time before it starts it again.
const maxKills = 6

// killControllers kills a controller's process every six seconds until ctx
// ends, by SIGKILL from outside its pod, and returns how many.
func (s *system) killControllers(ctx context.Context) (kills int) {
	tick := time.NewTicker(6 * time.Second)
	defer tick.Stop()
	for n := 0; kills < maxKills; n++ {
		select {
		case <-ctx.Done():
			return kills
		case <-tick.C:
		}
		pods, err := s.Client.CoreV1().Pods(install.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil || len(pods.Items) == 0 {
			continue
		}
		if site.Kill(&pods.Items[n%len(pods.Items)]) {
			kills++
		}
	}
	return kills
}
