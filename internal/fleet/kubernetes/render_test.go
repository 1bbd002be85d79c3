package kubernetes

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/worker/flags"
)

const (
	testImage = "queuemill/queuemill:test"
	testQueue = "https://sqs.eu-west-1.amazonaws.com/123456789012/thumbnails"
)

// poolOf is a pool with that template, which is YAML.
func poolOf(t *testing.T, template string) *v1alpha1.WorkerPool {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(template))
	if err != nil {
		t.Fatal(err)
	}
	return &v1alpha1.WorkerPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: "work", Name: "thumbnails", UID: "the-pools-uid"},
		Spec: v1alpha1.WorkerPoolSpec{
			Queue:      v1alpha1.QueueSource{SQS: &v1alpha1.SQSSource{URL: testQueue}},
			Kubernetes: &v1alpha1.WorkerKubernetes{Template: runtime.RawExtension{Raw: raw}},
		},
	}
}

const convert = `
metadata: {labels: {app: thumbs, queuemill.dev/workerpool: forged}}
spec:
  containers:
  - {name: proxy, image: proxy:1, ports: [{containerPort: 9484}]}
  - {name: main, image: imagemagick:7, command: [sh, -c, 'convert "$(QUEUEMILL_MESSAGE_FILE)" $$HOME'], args: ["$(TARGET)"], env: [{name: AWS_REGION, value: eu-west-1}]}
`

func TestTheWorkerStandsBeforeTheUsersCommand(t *testing.T) {
	pool := poolOf(t, convert)
	pool.Spec.Kubernetes.Container = "main"
	pod, err := Render(pool, testImage, testQueue)
	if err != nil {
		t.Fatal(err)
	}
	main := &pod.Spec.Containers[1]
	if !slices.Equal(main.Command, []string{"/queuemill/queuemill"}) || main.Args[0] != "worker" {
		t.Fatalf("command %q, args %q", main.Command, main.Args)
	}
	// What the kubelet makes of the arguments, the worker reads.
	var seen []string
	for _, arg := range main.Args {
		if strings.Contains(strings.ReplaceAll(arg, "$$", ""), "$") {
			t.Errorf("the kubelet would expand %q", arg)
		}
		seen = append(seen, strings.ReplaceAll(arg, "$$", "$"))
	}
	i := slices.Index(seen, "--")
	if want := []string{"sh", "-c", `convert "$(QUEUEMILL_MESSAGE_FILE)" $$HOME`, "$(TARGET)"}; i < 0 || !slices.Equal(seen[i+1:], want) {
		t.Errorf("the worker gets %q", seen)
	}
	if !slices.Contains(seen, "--queue="+testQueue) || !slices.Contains(seen, "--control=:9485") {
		t.Errorf("the worker gets %q", seen)
	}
	if portOf(pod) != 9485 || main.ReadinessProbe.HTTPGet.Port.IntValue() != 9485 {
		t.Errorf("port %d, probe at %v", portOf(pod), main.ReadinessProbe.HTTPGet.Port)
	}
	if pod.Labels[LabelPool] != "thumbnails" || pod.Labels["app"] != "thumbs" || pod.GenerateName != "thumbnails-" || !metav1.IsControlledBy(pod, pool) {
		t.Errorf("metadata %+v", pod.ObjectMeta)
	}
	for _, e := range main.Env {
		if e.Name == flags.TokenEnv && (e.Value != "" || e.ValueFrom.SecretKeyRef.Name != "thumbnails-workers") {
			t.Errorf("the token is given as %+v", e)
		}
	}
	if c := pod.Spec.Containers[0]; len(c.Command) != 0 || len(c.VolumeMounts) != 0 || len(c.Env) != 0 {
		t.Errorf("the other container was changed: %+v", c)
	}
}

func TestAWorkerDrainsBeforeItsPodIsKilled(t *testing.T) {
	drain := func(pod *corev1.Pod) string {
		for _, arg := range pod.Spec.Containers[0].Args {
			if value, ok := strings.CutPrefix(arg, "--drain-timeout="); ok {
				return value
			}
		}
		return flags.DefaultDrainTimeout.String()
	}
	for name, c := range map[string]struct {
		grace string
		drain time.Duration
		want  string
		ends  int64
		fails bool
	}{
		"nothing said":         {want: "25s", ends: 30},
		"the pod's time":       {grace: "terminationGracePeriodSeconds: 600,", want: "9m55s", ends: 600},
		"the worker's time":    {drain: time.Hour, want: "1h0m0s", ends: 3605},
		"both":                 {grace: "terminationGracePeriodSeconds: 600,", drain: time.Minute, want: "1m0s", ends: 600},
		"both, and impossible": {grace: "terminationGracePeriodSeconds: 60,", drain: time.Hour, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			pool := poolOf(t, "spec: {"+c.grace+" containers: [{name: main, image: x, command: [work]}]}")
			if c.drain > 0 {
				pool.Spec.Worker.DrainTimeout = &metav1.Duration{Duration: c.drain}
			}
			pod, err := Render(pool, testImage, testQueue)
			var wrong *TemplateError
			if c.fails {
				if !errors.As(err, &wrong) {
					t.Fatalf("rendered, %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := drain(pod); got != c.want || *pod.Spec.TerminationGracePeriodSeconds != c.ends {
				t.Errorf("drains for %s, ends after %d s; want %s, %d s", got, *pod.Spec.TerminationGracePeriodSeconds, c.want, c.ends)
			}
		})
	}
}

func TestTemplatesThatMakeNoPod(t *testing.T) {
	for template, want := range map[string]string{
		"spec: {containers: []}":                                               "is empty",
		"spec: {containers: [{name: a, image: x}]}":                            "command is missing",
		"spec: {containers: [{name: a, image: x, command: [y], colour: red}]}": "colour",
	} {
		_, err := Render(poolOf(t, template), testImage, testQueue)
		var wrong *TemplateError
		if !errors.As(err, &wrong) || !strings.Contains(wrong.Msg, want) {
			t.Errorf("%s: %v, want %q", template, err, want)
		}
	}
	pool := poolOf(t, "spec: {containers: [{name: a, image: x, command: [y]}]}")
	pool.Spec.Kubernetes.Container = "b"
	if _, err := Render(pool, testImage, testQueue); err == nil || !strings.Contains(err.Error(), `no container "b"`) {
		t.Errorf("an unknown container: %v", err)
	}
}

func TestTheInitContainerPassesWhereTheUsersDoes(t *testing.T) {
	pod, err := Render(poolOf(t, `spec: {containers: [{name: a, image: x, command: [y],
  securityContext: {privileged: true, runAsUser: 1000, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}, capabilities: {add: [NET_ADMIN]}}}]}`), testImage, testQueue)
	if err != nil {
		t.Fatal(err)
	}
	s := pod.Spec.InitContainers[0].SecurityContext
	if *s.RunAsUser != 1000 || !*s.RunAsNonRoot || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("what the user's container keeps to is lost: %+v", s)
	}
	if s.Privileged != nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || s.Capabilities.Add != nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("it may more than copy a file: %+v", s)
	}
	if u := pod.Spec.Containers[0].SecurityContext; !*u.Privileged || u.ReadOnlyRootFilesystem != nil {
		t.Errorf("the user's container was changed: %+v", u)
	}
}
