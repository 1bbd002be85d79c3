package chaos

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	admission "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/test/cluster/fakekubelet"
)

// TestUnavailableKubernetesStopsReceivingAndKeepsWhatIsInHand takes away what
// Jobs need: nothing more is received, what is in hand is held and not given
// back, and when it is there again every message becomes one Job of its first
// receive.
func TestUnavailableKubernetesStopsReceivingAndKeepsWhatIsInHand(t *testing.T) {
	t.Run("quota", func(t *testing.T) {
		t.Parallel()
		unavailable(t, func(w *world) func() {
			full := &corev1.ResourceQuota{
				ObjectMeta: metav1.ObjectMeta{Name: "jobs", Namespace: w.namespace},
				Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/jobs.batch": resource.MustParse("1")}},
			}
			w.create(full)
			w.within(patience, func() string { // counted by the controller manager
				q, err := w.client.CoreV1().ResourceQuotas(w.namespace).Get(t.Context(), "jobs", metav1.GetOptions{})
				if err != nil || q.Status.Hard == nil || q.Status.Used["count/jobs.batch"] != resource.MustParse("1") {
					return fmt.Sprintf("the quota is not in force: %v, %v", err, q.Status)
				}
				return ""
			})
			return func() {
				if err := w.api.Delete(t.Context(), full); err != nil {
					t.Fatal(err)
				}
			}
		}, "exceeded quota")
	})
	t.Run("webhook", func(t *testing.T) {
		t.Parallel()
		unavailable(t, func(w *world) func() {
			hook := deadWebhook(w.namespace)
			w.create(hook)
			return func() {
				if err := w.api.Delete(t.Context(), hook); err != nil {
					t.Fatal(err)
				}
			}
		}, "webhook")
	})
	t.Run("API server", func(t *testing.T) {
		t.Parallel()
		// Away for the controller alone: the account goes on.
		var link *link
		unavailable(t, func(w *world) func() {
			link.cut()
			return link.mend
		}, "", func(w *world) []string {
			link = newLink(t, plane.Config().Host)
			return []string{"--kubeconfig", link.kubeconfig(w)}
		})
	})
}

// deadWebhook refuses every Job of a namespace, since nobody answers there.
func deadWebhook(namespace string) *admission.ValidatingWebhookConfiguration {
	nobody, fail, none, scope := "https://127.0.0.1:1/", admission.Fail, admission.SideEffectClassNone, admission.NamespacedScope
	seconds := int32(1)
	return &admission.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
		Webhooks: []admission.ValidatingWebhook{{
			Name:         "nobody.queuemill.test",
			ClientConfig: admission.WebhookClientConfig{URL: &nobody},
			Rules: []admission.RuleWithOperations{{
				Operations: []admission.OperationType{admission.Create},
				Rule:       admission.Rule{APIGroups: []string{"batch"}, APIVersions: []string{"v1"}, Resources: []string{"jobs"}, Scope: &scope},
			}},
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
			FailurePolicy:           &fail,
			SideEffects:             &none,
			TimeoutSeconds:          &seconds,
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}

// unavailable runs a QueueJob, takes away what take takes, sends messages, looks,
// gives it back and looks again. word stands in the condition; "" where nobody
// can write one.
func unavailable(t *testing.T, take func(*world) (back func()), word string, args ...func(*world) []string) {
	t.Helper()
	w := newWorld(t, nil)
	w.sqs.queue(t, "work", 0)
	w.create(w.queueJob("work", "work", "maxActive: 4\nsuccessfulJobsHistoryLimit: 1000\n"+jobTemplate))
	flags := []string{"--leader-elect=false"}
	for _, a := range args {
		flags = append(flags, a(w)...)
	}
	w.controller(flags...)
	first := w.sqs.send(t, "work", body("first"))[0]
	w.jobs(first, "Complete")
	w.condition("work", "Ready", "True")

	back := take(w)
	held := w.sqs.send(t, "work", body("held"))[0]
	w.within(patience, func() string {
		if w.sqs.of(held).receives == 0 {
			return "the message is not received"
		}
		return ""
	})
	if word != "" {
		if text := w.condition("work", "Ready", "False"); !strings.Contains(text, word) {
			t.Errorf("Ready is False since %q, want the word %q", text, word)
		}
	}
	// None for a while: between two receives there is none either.
	var quiet time.Time
	w.within(patience, func() (wrong string) {
		w.sqs.set(func(s *endpoint) {
			switch {
			case s.polls > 0:
				wrong, quiet = fmt.Sprintf("%d receives wait for messages", s.polls), time.Time{}
			case quiet.IsZero():
				quiet = time.Now()
				fallthrough
			case time.Since(quiet) < 3*time.Second:
				wrong = "receives have only just stopped"
			}
		})
		return wrong
	})
	const n = 40
	out := make([]queue.Outgoing, n)
	for i := range out {
		out[i] = body(fmt.Sprint("message ", i))
	}
	waiting := w.sqs.send(t, "work", out...)
	// Half of the minute for which a message is invisible under OnCreate.
	w.within(patience, func() string {
		if !slices.ContainsFunc(w.sqs.of(held).history, func(line string) bool { return strings.Contains(line, "to be visible") }) {
			return "the message in hand is not extended:\n" + w.history(held)
		}
		return ""
	})
	for _, id := range waiting {
		if w.sqs.of(id).receives > 0 {
			t.Errorf("a message was received while no Job could be made\n%s", w.history(id))
		}
	}

	back()
	for _, id := range append(waiting, held) {
		w.jobs(id, "Complete")
		if f := w.sqs.of(id); f.receives != 1 || strings.Contains(strings.Join(f.history, "\n"), "to be visible in 0 s") {
			t.Errorf("message %s was received %d times, want once and never given back\n%s", id, f.receives, w.history(id))
		}
	}
	w.condition("work", "Ready", "True")
}

// TestQueueAwayLeavesJobsAloneAndSaysSo: SourceHealthy is False with the cause,
// what runs runs on, and nothing starts twice afterwards.
func TestQueueAwayLeavesJobsAloneAndSaysSo(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	w := newWorld(t, func(*corev1.Pod) fakekubelet.Plan { return fakekubelet.Plan{Until: end} })
	w.sqs.queue(t, "work", 0)
	w.create(w.queueJob("work", "work", "ack: OnSuccess\n"+jobTemplate))
	w.controller("--leader-elect=false")
	id := w.sqs.send(t, "work", body("runs"))[0]
	w.jobs(id, "unfinished")
	w.condition("work", "SourceHealthy", "True")
	w.sqs.set(func(s *endpoint) { s.away = true })
	if text := w.condition("work", "SourceHealthy", "False"); !strings.Contains(text, "503") && !strings.Contains(text, "unreachable") {
		t.Errorf("SourceHealthy is False since %q, want the cause", text)
	}
	close(end) // its delete can't be told to the queue
	w.jobs(id, "Complete")
	w.sqs.set(func(s *endpoint) { s.away = false })
	w.condition("work", "SourceHealthy", "True")
	w.within(patience, func() string {
		if w.sqs.get(t, "work").Depth().Total() > 0 {
			return "the queue holds " + w.sqs.depth(t, "work")
		}
		return ""
	})
	w.jobs(id, "Complete")
	if runs := w.seen.runsOf(id); len(runs) != 1 {
		t.Errorf("the job ran %d times, want once: %v", len(runs), runs)
	}
}
