package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/test/cluster"
)

func TestMain(m *testing.M) {
	cluster.Main(m, cluster.Options{})
}

// kubectl runs it as an administrator, or with --as in args as somebody else.
func kubectl(t *testing.T, c *cluster.Cluster, stdin string, args ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), c.Bin("kubectl"), append([]string{"--kubeconfig", c.Kubeconfig()}, args...)...)
	command.Env = append(os.Environ(), "HOME="+t.TempDir())
	command.Stdin = strings.NewReader(stdin)
	out, err := command.CombinedOutput()
	return string(out), err
}

func mustKubectl(t *testing.T, c *cluster.Cluster, stdin string, args ...string) string {
	t.Helper()
	out, err := kubectl(t, c, stdin, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func clientAs(t *testing.T, c *cluster.Cluster, user string) *kubernetes.Clientset {
	t.Helper()
	config := rest.CopyConfig(c.Config())
	if user != "" {
		config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// bind gives a user of the test's own a ClusterRole in a namespace.
func bind(t *testing.T, c *cluster.Cluster, namespace, clusterRole string) (user string) {
	t.Helper()
	user = clusterRole + "-of-" + namespace
	mustKubectl(t, c, "", "create", "rolebinding", user, "-n", namespace, "--clusterrole", clusterRole, "--user", user)
	return user
}

// installed applies install.yaml. The shared cluster is left with it.
func installed(t *testing.T) *cluster.Cluster {
	t.Helper()
	c := cluster.Shared(t)
	mustKubectl(t, c, "", "apply", "--validate=strict", "-f", filepath.Join(folder, "install.yaml"))
	return c
}

func TestInstallIsOneApplyAndApplyingItAgainChangesNothing(t *testing.T) {
	c := installed(t)
	versions := []string{"get", "-f", filepath.Join(folder, "install.yaml"), "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.generation}{"\n"}{end}`}
	before := mustKubectl(t, c, "", versions...)
	again := mustKubectl(t, c, "", "apply", "--validate=strict", "-f", filepath.Join(folder, "install.yaml"))
	if strings.Contains(again, "Warning") {
		t.Errorf("apply warns:\n%s", again)
	}
	if diff := cmp.Diff(before, mustKubectl(t, c, "", versions...)); diff != "" {
		t.Errorf("applying again changes (-before +after):\n%s", diff)
	}
	// Server-side apply, as Argo CD and Flux do it, is strict by itself.
	if out := mustKubectl(t, c, "", "apply", "--server-side", "--field-manager=gitops", "--dry-run=server", "--force-conflicts", "-f", filepath.Join(folder, "install.yaml")); strings.Contains(out, "Warning") {
		t.Errorf("server-side apply warns:\n%s", out)
	}
}

// TestPodsFitTheRestrictedStandard asks the admission of Pod Security, which
// refuses pods and only warns of Deployments.
func TestPodsFitTheRestrictedStandard(t *testing.T) {
	c := installed(t)
	for _, p := range clusterWide(DefaultImage) {
		if d, ok := p.object.(*appsv1.Deployment); ok {
			pod := &corev1.Pod{ObjectMeta: d.Spec.Template.ObjectMeta, Spec: d.Spec.Template.Spec}
			pod.Name = "sample"
			pods := clientAs(t, c, "").CoreV1().Pods(Namespace)
			if _, err := pods.Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
				t.Error(err)
			}
			pod.Spec.Containers[0].SecurityContext = nil
			if _, err := pods.Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); !apierrors.IsForbidden(err) {
				t.Errorf("a pod without security context: %v; the namespace does not enforce its standard", err)
			}
			return
		}
	}
	t.Error("no Deployment")
}

func TestRightsOfTheController(t *testing.T) {
	c := installed(t)
	account := "system:serviceaccount:" + Namespace + ":" + Name
	elsewhere := cluster.Namespace(t, c)
	for _, rule := range ControllerRules() {
		for _, verb := range rule.Verbs {
			if !may(t, c, account, elsewhere, rule.APIGroups[0], rule.Resources[0], "any", verb) {
				t.Errorf("may not %s %s in another namespace", verb, rule.Resources[0])
			}
		}
	}
	for _, verb := range []string{"get", "update"} {
		if !may(t, c, account, Namespace, "coordination.k8s.io", "leases", Name, verb) {
			t.Errorf("may not %s its lease", verb)
		}
		if may(t, c, account, Namespace, "coordination.k8s.io", "leases", "another", verb) {
			t.Errorf("may %s another's lease", verb)
		}
	}
	for _, no := range []struct{ group, resource, verb string }{
		{"", "secrets", "list"},
		{"", "secrets", "watch"},
		{"", "configmaps", "get"},
		{"", "pods", "update"},
		{"", "pods/exec", "create"},
		{Group, "queuejobs", "delete"},
		{"coordination.k8s.io", "leases", "create"},
		{"rbac.authorization.k8s.io", "roles", "get"},
	} {
		if may(t, c, account, elsewhere, no.group, no.resource, "", no.verb) {
			t.Errorf("may %s %s", no.verb, no.resource)
		}
	}
}

func may(t *testing.T, c *cluster.Cluster, user, namespace, group, resource, name, verb string) bool {
	t.Helper()
	resource, subresource, _ := strings.Cut(resource, "/")
	review, err := clientAs(t, c, "").AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user, Groups: []string{"system:serviceaccounts", "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: namespace, Verb: verb, Group: group, Resource: resource, Subresource: subresource, Name: name,
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

func TestViewEditAndAdminReachQueueJobs(t *testing.T) {
	c := installed(t)
	namespace := cluster.Namespace(t, c)
	for role, can := range map[string]map[string]bool{
		"view":  {"get": true, "list": true, "watch": true, "create": false, "patch": false, "delete": false, VerbRun: false},
		"edit":  {"get": true, "list": true, "watch": true, "create": true, "patch": true, "delete": true, VerbRun: false},
		"admin": {"get": true, "list": true, "watch": true, "create": true, "patch": true, "delete": true},
	} {
		user := bind(t, c, namespace, role)
		// The aggregation is a controller's work.
		eventually(t, role+" reaches queuejobs", func() error {
			for verb, want := range can {
				if got := may(t, c, user, namespace, Group, "queuejobs", "", verb); got != want {
					return fmt.Errorf("%s may %s: %v", role, verb, got)
				}
			}
			return nil
		})
	}
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		last = check()
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%s: %v: %v", what, err, last)
	}
}

func sampleJob(namespace, name string) *batchv1.Job {
	return &batchv1.Job{
		// Without labels of its own it would be given its pods'.
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": "mine"}},
		Spec: batchv1.JobSpec{Suspend: new(true), Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "main", Image: "none"}},
		}}},
	}
}

func TestOnlyWhoMayRunQueueJobsWritesTheKeysOfARecord(t *testing.T) {
	c := installed(t)
	namespace := cluster.Namespace(t, c)
	editor := clientAs(t, c, bind(t, c, namespace, "edit")).BatchV1().Jobs(namespace)
	controller := clientAs(t, c, "system:serviceaccount:"+Namespace+":"+Name).BatchV1().Jobs(namespace)

	wrong := map[string]func(*batchv1.Job){
		"label":             func(j *batchv1.Job) { j.Labels["queuemill.dev/queuejob"] = "ping" },
		"annotation":        func(j *batchv1.Job) { j.Annotations = map[string]string{"queuemill.dev/task": "{}"} },
		"label of the pods": func(j *batchv1.Job) { j.Spec.Template.Labels = map[string]string{"queuemill.dev/queuejob": "ping"} },
		"annotation of the pods": func(j *batchv1.Job) {
			j.Spec.Template.Annotations = map[string]string{"queuemill.dev/task": "{}"}
		},
	}
	refused := func(err error) error {
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "only the Queuemill controller writes queuemill.dev/") {
			return errors.Join(errors.New("not refused as it should be"), err)
		}
		return nil
	}
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	eventually(t, "the policy is in force", func() error {
		job := sampleJob(namespace, "forged")
		wrong["label"](job)
		_, err := editor.Create(t.Context(), job, dry)
		return refused(err)
	})
	for what, forge := range wrong {
		job := sampleJob(namespace, "forged")
		forge(job)
		if _, err := editor.Create(t.Context(), job, dry); refused(err) != nil {
			t.Errorf("create with %s: %v", what, refused(err))
		}
	}

	plain := sampleJob(namespace, "plain")
	plain.Annotations = map[string]string{"queuemill.dev/retry": "true"} // open, also where it means nothing
	if _, err := editor.Create(t.Context(), plain, metav1.CreateOptions{}); err != nil {
		t.Fatalf("create a Job that is not ours: %v", err)
	}
	ours := sampleJob(namespace, "ours")
	for _, key := range wrong {
		key(ours)
	}
	if _, err := controller.Create(t.Context(), ours, metav1.CreateOptions{}); err != nil {
		t.Fatalf("the controller creates a record: %v", err)
	}

	for what, step := range map[string]struct {
		patch   string
		refused bool
	}{
		"retry":                   {`{"metadata":{"annotations":{"queuemill.dev/retry":"true"}}}`, false},
		"prune":                   {`{"metadata":{"annotations":{"queuemill.dev/prune":"true"}}}`, false},
		"another's key":           {`{"metadata":{"labels":{"team":"a"},"annotations":{"team":"a"}}}`, false},
		"suspend":                 {`{"spec":{"suspend":true}}`, false},
		"a changed task":          {`{"metadata":{"annotations":{"queuemill.dev/task":"[]"}}}`, true},
		"a removed task":          {`{"metadata":{"annotations":{"queuemill.dev/task":null}}}`, true},
		"a removed label":         {`{"metadata":{"labels":{"queuemill.dev/queuejob":null}}}`, true},
		"a new label":             {`{"metadata":{"labels":{"queuemill.dev/state":"failed"}}}`, true},
		"a key that says retry-x": {`{"metadata":{"annotations":{"queuemill.dev/retry-x":"true"}}}`, true},
		"a changed pod label":     {`{"spec":{"template":{"metadata":{"labels":{"queuemill.dev/queuejob":"other"}}}}}`, true},
	} {
		_, err := editor.Patch(t.Context(), "ours", types.MergePatchType, []byte(step.patch), metav1.PatchOptions{})
		switch {
		case !step.refused && err != nil:
			t.Errorf("%s: %v", what, err)
		case step.refused && refused(err) != nil:
			t.Errorf("%s: %v", what, refused(err))
		}
		if _, err := controller.Patch(t.Context(), "ours", types.MergePatchType, []byte(step.patch), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
			t.Errorf("%s, by the controller: %v", what, err)
		}
	}
}

func TestOnlyWhoMayRunWorkerPoolsMakesAWorkersPod(t *testing.T) {
	c := installed(t)
	namespace := cluster.Namespace(t, c)
	editor := clientAs(t, c, bind(t, c, namespace, "edit")).CoreV1().Pods(namespace)
	controller := clientAs(t, c, "system:serviceaccount:"+Namespace+":"+Name).CoreV1().Pods(namespace)
	sample := func(name string, labels map[string]string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}},
		}
	}
	ours := map[string]string{workerLabel: "ping", "queuemill.dev/template-hash": "x"}
	refused := func(err error) error {
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "only the Queuemill controller writes the labels") {
			return errors.Join(errors.New("not refused as it should be"), err)
		}
		return nil
	}
	eventually(t, "a forged worker is refused", func() error {
		_, err := editor.Create(t.Context(), sample("forged", ours), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return refused(err)
	})
	if _, err := editor.Create(t.Context(), sample("plain", map[string]string{"app": "mine"}), metav1.CreateOptions{}); err != nil {
		t.Fatalf("a pod that is not ours: %v", err)
	}
	if _, err := controller.Create(t.Context(), sample("ours", ours), metav1.CreateOptions{}); err != nil {
		t.Fatalf("the controller makes a worker: %v", err)
	}
	for _, step := range []struct {
		pod, patch string
		refused    bool
	}{
		{"plain", `{"metadata":{"labels":{"queuemill.dev/workerpool":"ping"}}}`, true},
		{"ours", `{"metadata":{"labels":{"queuemill.dev/workerpool":null}}}`, true},
		{"ours", `{"metadata":{"labels":{"queuemill.dev/workerpool":"other"}}}`, true},
		{"ours", `{"metadata":{"labels":{"queuemill.dev/template-hash":"y"}}}`, true},
		{"ours", `{"metadata":{"annotations":{"queuemill.dev/term":"0"}}}`, true},
		{"ours", `{"metadata":{"labels":{"queuemill.dev/template-hash":null},"annotations":{"queuemill.dev/template-hash":"x"}}}`, true},
		{"ours", `{"metadata":{"labels":{"team":"a"},"annotations":{"team":"a"}}}`, false},
		{"plain", `{"metadata":{"labels":{"team":"a"}}}`, false},
	} {
		_, err := editor.Patch(t.Context(), step.pod, types.MergePatchType, []byte(step.patch), metav1.PatchOptions{})
		switch {
		case !step.refused && err != nil:
			t.Errorf("%s %s: %v", step.pod, step.patch, err)
		case step.refused && refused(err) != nil:
			t.Errorf("%s %s: %v", step.pod, step.patch, refused(err))
		}
	}
}

// TestOwnerOfANamespaceInstallsThere applies cluster-scoped.yaml as an
// administrator and the rest as nothing more than admin of one namespace.
func TestOwnerOfANamespaceInstallsThere(t *testing.T) {
	c := cluster.Shared(t)
	mustKubectl(t, c, "", "apply", "--validate=strict", "-f", filepath.Join(folder, "cluster-scoped.yaml"))
	namespace := cluster.Namespace(t, c)
	owner := bind(t, c, namespace, "admin")

	// The one line of the file's head, with the test's own words.
	text, err := os.ReadFile(filepath.Join(folder, "install-namespaced.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(text), "#     sed 's/")
	from, rest, ok := strings.Cut(line, "$/")
	if !ok || !strings.HasPrefix(rest, "namespace: team-a/' install-namespaced.yaml | kubectl apply -f -\n") {
		t.Fatalf("the head of the file has no such line: %q", line)
	}
	manifest := strings.ReplaceAll(string(text), from+"\n", "namespace: "+namespace+"\n")
	if manifest == string(text) {
		t.Fatal("nothing was replaced")
	}
	apply := []string{"apply", "--validate=strict", "-f", "-", "--as", owner, "--as-group", "system:authenticated"}
	var out string
	eventually(t, "the owner has the aggregated rights", func() (err error) {
		out, err = kubectl(t, c, manifest, apply...)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	if strings.Contains(out, "Warning") {
		t.Errorf("apply warns:\n%s", out)
	}
	// Nothing has gone elsewhere.
	found, err := clientAs(t, c, owner).AppsV1().Deployments(namespace).Get(t.Context(), Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if found.Spec.Template.Spec.Volumes != nil {
		t.Error("a single namespace needs no allow-list")
	}

	account := "system:serviceaccount:" + namespace + ":" + Name
	for _, rule := range ControllerRules() {
		for _, verb := range rule.Verbs {
			if !may(t, c, account, namespace, rule.APIGroups[0], rule.Resources[0], "any", verb) {
				t.Errorf("may not %s %s", verb, rule.Resources[0])
			}
			if may(t, c, account, "default", rule.APIGroups[0], rule.Resources[0], "any", verb) {
				t.Errorf("may %s %s in another namespace", verb, rule.Resources[0])
			}
		}
	}
	job := sampleJob(namespace, "ours")
	job.Labels["queuemill.dev/queuejob"] = "ping"
	if _, err := clientAs(t, c, account).BatchV1().Jobs(namespace).Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
		t.Errorf("its controller creates a record: %v", err)
	}
}

// TestExamplesAreAccepted sends the manifests of the examples to the API server
// as they are, and the Jobs that their templates make.
func TestExamplesAreAccepted(t *testing.T) {
	c := installed(t)
	mustKubectl(t, c, "", "wait", "--for=condition=Established", "crd/queuejobs."+Group, "--timeout=30s")
	namespace := cluster.Namespace(t, c)
	for _, file := range []string{"ping/kubernetes.yaml", "csv/kubernetes.yaml", "csv/volume-efs.yaml", "csv/volume-hostpath.yaml", "csv/files.yaml"} {
		path := filepath.Join("../../examples", file)
		if out := mustKubectl(t, c, "", "apply", "--validate=strict", "--dry-run=server", "-n", namespace, "-f", path); strings.Contains(out, "Warning") {
			t.Errorf("%s: %s", file, out)
		}
		if filepath.Base(file) != "kubernetes.yaml" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var qj struct {
			Spec struct {
				Kubernetes struct{ JobTemplate batchv1.JobTemplateSpec }
			}
		}
		if err := yaml.Unmarshal(text, &qj); err != nil {
			t.Fatal(err)
		}
		job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "sample"}, Spec: qj.Spec.Kubernetes.JobTemplate.Spec}
		options := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict}
		if _, err := clientAs(t, c, "").BatchV1().Jobs(namespace).Create(t.Context(), job, options); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
