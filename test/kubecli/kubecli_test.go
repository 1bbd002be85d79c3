// Package kubecli_test runs the command line against a real Kubernetes API as a
// person does, under the rights that the shipped roles give: testscript files in
// testdata, each in a namespace of its own.
package kubecli_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/cli"
	"github.com/queuemill/queuemill/internal/executor"
	kubernetesjobs "github.com/queuemill/queuemill/internal/executor/kubernetes"
	"github.com/queuemill/queuemill/internal/executor/process"
	"github.com/queuemill/queuemill/internal/install"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
	"github.com/queuemill/queuemill/test/cluster"
	"github.com/queuemill/queuemill/test/cluster/fakekubelet"
	"github.com/queuemill/queuemill/test/mill"
)

func TestMain(m *testing.M) {
	process.SupervisorMain()
	testscript.Main(withCluster{m}, map[string]func(){
		"queuemill": queuemill, "kubectl-queuemill": queuemill, "kubectl_complete-queuemill": queuemill,
	})
}

// queuemill is cmd/queuemill's main.
func queuemill() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(cli.Main(os.Args[1:], cli.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Signals: signals, Version: "test", Name: os.Args[0],
	}))
}

// theCluster is that of all tests.
var theCluster *cluster.Cluster

// withCluster runs tests beside a control plane.
type withCluster struct{ m *testing.M }

func (w withCluster) Run() int {
	var err error
	if theCluster, err = cluster.Start(context.Background(), cluster.Options{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	kubelet := make(chan error, 1)
	go func() { kubelet <- fakekubelet.Run(ctx, fakekubelet.Options{Config: theCluster.Config(), Plan: plan}) }()
	code := w.m.Run()
	cancel()
	if err := <-kubelet; err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	if err := theCluster.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

// plan runs a pod as its message says: "exit N", or "hold" for one that finds no
// node; anything else succeeds.
func plan(pod *corev1.Pod) fakekubelet.Plan {
	message := pod.Annotations[kubernetesjobs.AnnotationPayload]
	if message == "hold" {
		return fakekubelet.Plan{Hold: true}
	}
	if code, ok := strings.CutPrefix(message, "exit "); ok {
		n, _ := strconv.ParseInt(code, 10, 32)
		return fakekubelet.Plan{ExitCode: int32(n)}
	}
	return fakekubelet.Plan{}
}

// TestWithoutAnInstall comes first: it finds no QueueJobs in the cluster.
func TestWithoutAnInstall(t *testing.T) { run(t, "testdata/before") }

func TestScripts(t *testing.T) {
	kubectl(t, "apply", "--server-side", "-f", filepath.Join(mill.Root(), "deploy", "kubernetes", "cluster-scoped.yaml"))
	kubectl(t, "wait", "--for=condition=Established", "crd/queuejobs.queuemill.dev", "--timeout=60s")
	run(t, "testdata")
}

func kubectl(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(theCluster.Bin("kubectl"), append([]string{"--kubeconfig", theCluster.Kubeconfig()}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func run(t *testing.T, dir string) {
	client, err := kubernetes.NewForConfig(theCluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(e *testscript.Env) error {
			namespace := cluster.Namespace(e.T().(testing.TB), theCluster)
			e.Values[namespaceKey{}] = namespace
			e.Values[backgroundKey{}] = background{}
			e.Setenv("NAMESPACE", namespace)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("TZ", "UTC")
			e.Setenv("PATH", filepath.Dir(theCluster.Bin("kubectl"))+string(filepath.ListSeparator)+e.Getenv("PATH"))
			e.Setenv("KUBECONFIG", filepath.Join(e.WorkDir, "admin.kubeconfig"))
			e.Setenv("SERVER", theCluster.Config().Host)
			return inNamespace(theCluster.Kubeconfig(), e.Getenv("KUBECONFIG"), namespace)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"run":   mill.RunCode,
			"start": start, "finish": finish, "waitfor": mill.WaitFor, "grab": grab,
			"lease": func(ts *testscript.TestScript, _ bool, args []string) { lease(ts, client, args) },
			"job":   makeJob,
			"as":    func(ts *testscript.TestScript, _ bool, args []string) { as(ts, client, args) },
		},
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
	})
}

type namespaceKey struct{}

// inNamespace copies a kubeconfig with a namespace in its context.
func inNamespace(from, to, namespace string) error {
	config, err := clientcmd.LoadFromFile(from)
	if err != nil {
		return err
	}
	config.Contexts[config.CurrentContext].Namespace = namespace
	return clientcmd.WriteToFile(*config, to)
}

// as ROLE… makes a ServiceAccount that has these ClusterRoles in the script's
// namespace, and sets KUBECONFIG to its own. Without roles it has no rights.
func as(ts *testscript.TestScript, client kubernetes.Interface, roles []string) {
	namespace := ts.Value(namespaceKey{}).(string)
	name := "person-" + strings.Join(roles, "-")
	name = strings.Trim(name, "-")
	ctx := context.Background()
	_, err := client.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	ts.Check(err)
	for _, role := range roles {
		_, err := client.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name + "-" + role},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: namespace}},
		}, metav1.CreateOptions{})
		ts.Check(err)
	}
	path, err := theCluster.KubeconfigFor(ctx, namespace, name)
	ts.Check(err)
	ts.Setenv("KUBECONFIG", path)
}

// lease HOLDER AGO makes the Lease of a leader that renewed it so long ago.
func lease(ts *testscript.TestScript, client kubernetes.Interface, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: lease HOLDER AGO")
	}
	ago, err := time.ParseDuration(args[1])
	ts.Check(err)
	renewed := metav1.NewMicroTime(time.Now().Add(-ago))
	seconds := int32(4)
	leases := client.CoordinationV1().Leases(ts.Value(namespaceKey{}).(string))
	if err := leases.Delete(context.Background(), install.Name, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
		ts.Check(err)
	}
	_, err = leases.Create(context.Background(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: install.Name},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &args[0], LeaseDurationSeconds: &seconds, RenewTime: &renewed},
	}, metav1.CreateOptions{})
	ts.Check(err)
}

// job VAR QUEUEJOB ID BODY makes the job of a message, as the controller would,
// and sets VAR to its name. The body "invalid" makes an Invalid record; an ID
// that begins with secret- a confidential one.
func makeJob(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: job VAR QUEUEJOB ID BODY")
	}
	queueJob, id, body := args[1], args[2], args[3]
	namespace := ts.Value(namespaceKey{}).(string)
	opened, err := kubernetesjobs.Open(kubernetesjobs.Options{Config: theCluster.Config()})
	ts.Check(err)
	name, hash := message.RecordName(namespace, queueJob, id)
	job := executor.Job{
		Name: name, Attempt: 1, Namespace: namespace, QueueJob: queueJob, Identity: hash,
		IdempotencyKey: message.IdempotencyKey(namespace, queueJob, id),
		Message:        record.Message{ID: id, Body: body, Size: len(body), SentAt: time.Now(), Receipt: "receipt"},
		Payload:        body, Confidential: strings.HasPrefix(id, "secret-"),
		Spec: &v1alpha1.QueueJobSpec{Kubernetes: &v1alpha1.KubernetesTemplate{}},
	}
	job.Spec.Kubernetes.JobTemplate.Raw = []byte(`{"spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "main"}]}}}}`)
	if body == "invalid" {
		job.Invalid = &reason.Cause{Reason: reason.SchemaMismatch, Detail: "it says invalid"}
	}
	_, err = opened.Executor(namespace, nil).Create(context.Background(), job)
	ts.Check(err)
	ts.Setenv(args[0], name)
}
