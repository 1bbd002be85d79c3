package cluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func client(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestAJobGetsAPodFromTheControllerManager(t *testing.T) {
	c := Shared(t)
	ns := Namespace(t, c)
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	api := client(t, config)
	pods, err := api.CoreV1().Pods(ns).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer pods.Stop()
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "one"}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{
		Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "one", Image: "none"}}},
	}}}
	if _, err := api.BatchV1().Jobs(ns).Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	select {
	case event := <-pods.ResultChan():
		if pod, ok := event.Object.(*corev1.Pod); !ok || event.Type != watch.Added || pod.Labels[batchv1.JobNameLabel] != "one" {
			t.Errorf("the first event is %s of %v, want the Job's pod", event.Type, event.Object)
		}
	case <-time.After(3 * time.Minute):
		t.Fatal("no pod after three minutes")
	}
}

func TestAServiceAccountMayWhatRBACSaysAndNoMore(t *testing.T) {
	c := Shared(t)
	ns := Namespace(t, c)
	admin := client(t, c.Config())
	for _, err := range []error{
		create(admin.CoreV1().ServiceAccounts(ns).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "reader"}}, metav1.CreateOptions{})),
		create(admin.RbacV1().Roles(ns).Create(t.Context(), &rbacv1.Role{
			ObjectMeta: metav1.ObjectMeta{Name: "reader"},
			Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}}},
		}, metav1.CreateOptions{})),
		create(admin.RbacV1().RoleBindings(ns).Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "reader"},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "reader", Namespace: ns}},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		}, metav1.CreateOptions{})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	config, err := c.ConfigFor(t.Context(), ns, "reader")
	if err != nil {
		t.Fatal(err)
	}
	path, err := c.KubeconfigFor(t.Context(), ns, "reader")
	if err != nil {
		t.Fatal(err)
	}
	fromFile, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]*rest.Config{"ConfigFor": config, "KubeconfigFor": fromFile} {
		reader := client(t, config)
		if _, err := reader.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Errorf("%s: list pods: %v, want what the Role allows", name, err)
		}
		if _, err := reader.CoreV1().Secrets(ns).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("%s: list secrets: %v, want Forbidden", name, err)
		}
	}
	if !audited(t, c, "system:serviceaccount:"+ns+":reader", "secrets", 403) {
		t.Error("the audit log has no line of the refused request")
	}
}

func create[T any](_ T, err error) error { return err }

// audited tells whether the audit log has a request of user for a resource that
// was answered so.
func audited(t *testing.T, c *Cluster, user, resource string, code int) bool {
	t.Helper()
	log, err := os.Open(c.AuditLog())
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct {
			User           struct{ Username string }
			ObjectRef      struct{ Resource string }
			ResponseStatus struct{ Code int }
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			t.Fatalf("%v in %s", err, lines.Bytes())
		}
		if event.User.Username == user && event.ObjectRef.Resource == resource && event.ResponseStatus.Code == code {
			return true
		}
	}
	return false
}

func TestARestartedAPIServerHasItsAddressAndItsObjects(t *testing.T) {
	c := Shared(t)
	ns := Namespace(t, c)
	api := client(t, c.Config())
	before := c.process("kube-apiserver").cmd.Process.Pid
	if err := c.RestartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := c.process("kube-apiserver").cmd.Process.Pid; after == before {
		t.Error("it is the same process")
	}
	if _, err := api.CoreV1().Namespaces().Get(t.Context(), ns, metav1.GetOptions{}); err != nil {
		t.Errorf("the client made before: %v", err)
	}
}

func TestNothingIsLeftAfterStop(t *testing.T) {
	c, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	pids := runningPIDs(t, c.dir)
	if len(pids) != 3 {
		t.Errorf("%d processes, want etcd, the API server and the controller manager", len(pids))
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if !gone(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
	if _, err := os.Stat(c.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder: %v, want it gone", err)
	}
	if err := c.Stop(); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
}

func TestNothingIsLeftOfAKilledProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	cmd := ownerCommand(t, dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != filepath.Join(dir, "kubeconfig") {
		t.Fatalf("the process with the cluster says %q (%v)", line, err)
	}
	pids := runningPIDs(t, dir)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	until(t, "its processes and its folder are gone", func() bool {
		for _, pid := range pids {
			if !gone(pid) {
				return false
			}
		}
		_, err := os.Stat(dir)
		return len(pids) == 3 && errors.Is(err, fs.ErrNotExist)
	})
}

func TestAFolderThatIsNotEmptyIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "mine")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("Start: %v, want an error that says so", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestAPartThatEndsAtOnceIsAnErrorWithItsLog(t *testing.T) {
	c := &Cluster{dir: t.TempDir()}
	for _, sub := range []string{"log", "run"} {
		if err := os.Mkdir(c.path(sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p, err := c.launchAs("part", exec.Command("/bin/sh", "-c", "echo no such flag >&2; exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	err = p.await(t.Context(), func(context.Context) error { return errors.New("not yet") })
	if err == nil || !strings.Contains(err.Error(), "no such flag") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("await: %v, want the status and the log", err)
	}
}

// runningPIDs are the processes of the cluster in dir.
func runningPIDs(t *testing.T, dir string) []int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "run", "*.pid"))
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(string(bytes.TrimSpace(b)))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// gone tells whether a process has ended. One that nobody has waited for yet
// has ended too.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && bytes.Contains(stat, []byte(") Z "))
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(3 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after three minutes not yet: %s", what)
		}
	}
}
