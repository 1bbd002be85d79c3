package cluster

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// startJob makes a Job of one pod on a node, with a ServiceAccount's token and
// its own image.
func startJob(t *testing.T, api kubernetes.Interface, node, image string, command ...string) {
	t.Helper()
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: node}, Spec: batchv1.JobSpec{
		BackoffLimit: new(int32),
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			NodeSelector:  map[string]string{corev1.LabelHostname: node},
			Containers:    []corev1.Container{{Name: "main", Image: image, Command: command}},
		}},
	}}
	if _, err := api.BatchV1().Jobs("default").Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// pod is the Job's pod once it is in that phase.
func pod(t *testing.T, api kubernetes.Interface, job string, phase corev1.PodPhase) *corev1.Pod {
	t.Helper()
	var found *corev1.Pod
	until(t, fmt.Sprintf("the pod of Job %s is %s", job, phase), func() bool {
		pods, err := api.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
		if err != nil {
			t.Fatal(err)
		}
		if len(pods.Items) == 1 {
			found = &pods.Items[0]
			if p := found.Status.Phase; p != phase && (p == corev1.PodFailed || p == corev1.PodSucceeded) {
				t.Fatalf("the pod of Job %s is %s: %+v\n%s", job, p, found.Status, podLog(t, api, found))
			}
		}
		return found != nil && found.Status.Phase == phase
	})
	return found
}

func podLog(t *testing.T, api kubernetes.Interface, p *corev1.Pod) string {
	t.Helper()
	log, err := api.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{}).DoRaw(t.Context())
	if err != nil {
		return err.Error()
	}
	return string(log)
}

// leftovers are what a cluster at that seat has on the machine outside its
// folder, and whatever names the folder among mounts.
func leftovers(t *testing.T, n int, dir string) []string {
	t.Helper()
	s := &seat{n: n}
	var found []string
	if _, err := net.InterfaceByName(s.bridge()); err == nil {
		found = append(found, "bridge "+s.bridge())
	}
	for _, root := range cgroupRoots() {
		if _, err := os.Stat(filepath.Join(root, s.cgroup())); err == nil {
			found = append(found, "cgroup "+filepath.Join(root, s.cgroup()))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			found = append(found, "mount "+line)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		found = append(found, "folder "+dir)
	}
	// Every process of a cluster has its folder in its command line or below its
	// cgroup, which went only with the last of them.
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lines {
		if line, err := os.ReadFile(path); err == nil && strings.Contains(string(line), dir) {
			found = append(found, path+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

func TestNodesRunContainersAndLeaveNothing(t *testing.T) {
	settings := kernelState(t)
	c, err := Start(t.Context(), Options{Nodes: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop() })
	api := client(t, c.Config())
	hello := filepath.Join(t.TempDir(), "hello.tar")
	image, err := BusyboxImage("queuemill.test/hello:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := image.WriteTo(hello); err != nil {
		t.Fatal(err)
	}
	if err := c.LoadImage(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	queue, err := net.Listen("tcp", net.JoinHostPort(c.HostAddress(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	go answer(queue)

	// The pod reaches this process, and the API server by the variables that
	// every pod has.
	script := fmt.Sprintf(`nc -w 5 %s %d </dev/null; printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 5 "$KUBERNETES_SERVICE_HOST" "$KUBERNETES_SERVICE_PORT"`,
		c.HostAddress(), queue.Addr().(*net.TCPAddr).Port)
	for _, node := range []string{"node1", "node2"} {
		startJob(t, api, node, "queuemill.test/hello:1", "sh", "-c", script)
	}
	for _, node := range []string{"node1", "node2"} {
		p := pod(t, api, node, corev1.PodSucceeded)
		if log := podLog(t, api, p); p.Spec.NodeName != node || !strings.Contains(log, "hello from outside") || !strings.Contains(log, "an HTTP request to an HTTPS server") {
			t.Errorf("on %s: %q, want this process' and the API server's answers on %s", p.Spec.NodeName, log, node)
		}
	}

	seat, dir := c.nodes.seat.n, c.dir
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, seat, dir); len(left) > 0 {
		t.Errorf("left after Stop:\n%s", strings.Join(left, "\n"))
	}
	if now := kernelState(t); now != settings {
		t.Errorf("the machine's settings are\n%s\nand were\n%s", now, settings)
	}
}

func answer(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "hello from outside\n")
		conn.Close()
	}
}

// kernelState is what of the machine a kubelet or a CNI plugin may change.
func kernelState(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for setting := range kernelSettings {
		kernelSetting(t, &b, setting)
	}
	kernelSetting(t, &b, "net/ipv4/ip_forward")
	lines := strings.Split(b.String(), "\n")
	rules, err := exec.CommandContext(t.Context(), "iptables-save").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(rules)) {
		if strings.Contains(line, "KUBE-") || strings.Contains(line, "CNI-") {
			lines = append(lines, line)
		}
	}
	for _, path := range []string{"/run/containerd", "/var/lib/kubelet", "/var/log/pods", "/opt/containerd", "/run/netns"} {
		if _, err := os.Stat(path); err == nil {
			lines = append(lines, path)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func kernelSetting(t *testing.T, b *strings.Builder, setting string) {
	t.Helper()
	value, err := os.ReadFile("/proc/sys/" + setting)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(b, "%s = %s", setting, value)
}

// Whoever is killed with nodes leaves no process: the kernel sees to that. The
// rest goes at the latest when the next takes a seat.
func TestNodesOfAKilledProcessAreGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	cmd := ownerCommand(t, dir)
	cmd.Env = append(cmd.Env, ownerNodesVariable+"=1")
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
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(dir, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	api := client(t, config)
	startJob(t, api, "node1", Busybox, "sleep", "3600")
	pod(t, api, "node1", corev1.PodRunning)
	seat := seatOf(t, dir)
	containers := inCgroup(t, seat)
	if len(containers) < 2 {
		t.Fatalf("the pod's processes are %v, want its container and its pause container", containers)
	}

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	until(t, "its containers and its folder are gone", func() bool {
		for _, pid := range containers {
			if !gone(pid) {
				return false
			}
		}
		_, err := os.Stat(dir)
		return err != nil
	})
	next, err := takeSeat(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer next.leave()
	if left := leftovers(t, seat, dir); len(left) > 0 {
		t.Errorf("left after the next one took a seat:\n%s", strings.Join(left, "\n"))
	}
}

// seatOf is the number of the seat of the cluster in dir.
func seatOf(t *testing.T, dir string) int {
	t.Helper()
	for n := range maxSeats {
		owned, err := os.ReadFile(filepath.Join(os.TempDir(), "queuemill-cluster-seats", fmt.Sprint(n)))
		if err == nil && string(owned) == filepath.Join(dir, "nodes") {
			return n
		}
	}
	t.Fatalf("no seat is that of the cluster in %s", dir)
	return 0
}

// inCgroup are the processes in the seat's groups.
func inCgroup(t *testing.T, n int) (pids []int) {
	t.Helper()
	root := filepath.Join(cgroupRoots()[0], (&seat{n: n}).cgroup())
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err == nil && filepath.Base(path) == "cgroup.procs" {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for line := range strings.FieldsSeq(string(text)) {
				var pid int
				if _, err := fmt.Sscan(line, &pid); err != nil {
					return err
				}
				pids = append(pids, pid)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pids
}

func TestOnlyRootGetsNodes(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	// Another user can't reach into a test's folder.
	bin := filepath.Join(os.TempDir(), fmt.Sprintf("cluster-test-%d", os.Getpid()))
	t.Cleanup(func() { os.Remove(bin) })
	if err := os.WriteFile(bin, program, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), ownerVariable+"=/nonexistent/cluster", ownerNodesVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, _ := cmd.Output()
	if !strings.Contains(string(out), "needs root") {
		t.Errorf("as nobody: %q, want a word that nodes need root", out)
	}
}
