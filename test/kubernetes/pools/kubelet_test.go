package pools

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// kubelet runs the pods of a namespace as processes, each at an address of its
// own in 127.0.0.0/8.
type kubelet struct {
	t         *testing.T
	client    kubernetes.Interface
	namespace string
	env       []string // of every pod, besides its own

	wg   sync.WaitGroup
	mu   sync.Mutex
	runs map[types.UID]*exec.Cmd
	told map[types.UID]bool // to end
}

func (k *kubelet) run(ctx context.Context) {
	for ctx.Err() == nil {
		w, err := k.client.CoreV1().Pods(k.namespace).Watch(ctx, metav1.ListOptions{})
		if err != nil {
			continue
		}
		for e := range w.ResultChan() {
			if pod, ok := e.Object.(*corev1.Pod); ok {
				k.expect(k.sync(ctx, pod, e.Type == watch.Deleted))
			}
		}
	}
	k.mu.Lock()
	for _, c := range k.runs {
		_ = c.Process.Kill()
	}
	k.mu.Unlock()
	k.wg.Wait()
}

func (k *kubelet) expect(err error) {
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && !errors.Is(err, context.Canceled) {
		k.t.Errorf("kubelet: %v", err)
	}
}

func (k *kubelet) sync(ctx context.Context, pod *corev1.Pod, gone bool) error {
	k.mu.Lock()
	c, n := k.runs[pod.UID], len(k.runs)
	k.mu.Unlock()
	pods := k.client.CoreV1().Pods(k.namespace)
	switch {
	case gone:
		return nil
	case pod.DeletionTimestamp != nil && c != nil:
		k.mu.Lock()
		defer k.mu.Unlock()
		if !k.told[pod.UID] {
			k.told[pod.UID] = true
			// No grace: a worker that agreed has nothing in hand. Its end takes the
			// pod away.
			_ = c.Process.Kill()
		}
		return nil
	case pod.DeletionTimestamp != nil:
		return pods.Delete(ctx, pod.Name, *metav1.NewDeleteOptions(0))
	case c != nil:
		return nil
	}
	address := fmt.Sprintf("127.78.%d.%d", n/250, n%250+1)
	if err := k.start(ctx, pod, address); err != nil {
		return err
	}
	err := pods.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, UID: pod.UID}, Target: corev1.ObjectReference{Kind: "Node", Name: "node1"}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	now := metav1.Now()
	pod = pod.DeepCopy()
	pod.ResourceVersion = ""
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}}, StartTime: &now,
		Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "main", Image: "i", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}}},
	}
	_, err = pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	return err
}

// start runs the container's command line as it is, but for what a container's
// own network and file system would make of it.
func (k *kubelet) start(ctx context.Context, pod *corev1.Pod, address string) error {
	main := &pod.Spec.Containers[0]
	if main.Command[0] != "/queuemill/queuemill" || pod.Spec.InitContainers[0].Image != image {
		return fmt.Errorf("the pod runs %q, its program comes from %s", main.Command, pod.Spec.InitContainers[0].Image)
	}
	var args []string
	for _, arg := range main.Args {
		arg = strings.ReplaceAll(arg, "$$", "$")
		arg = strings.ReplaceAll(arg, "/run/queuemill", os.TempDir())
		if strings.HasSuffix(arg, ":9484") {
			arg = strings.Replace(arg, ":9484", address+":9484", 1)
		}
		args = append(args, arg)
	}
	command := exec.Command(binary, args...)
	command.Env = append([]string{"PATH=" + os.Getenv("PATH")}, k.env...)
	for _, e := range main.Env {
		value := e.Value
		switch from := e.ValueFrom; {
		case from == nil:
		case from.FieldRef != nil:
			value = string(pod.UID)
		case from.SecretKeyRef != nil:
			s, err := k.client.CoreV1().Secrets(k.namespace).Get(ctx, from.SecretKeyRef.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			value = string(s.Data[from.SecretKeyRef.Key])
		}
		command.Env = append(command.Env, e.Name+"="+value)
	}
	command.Stdout, command.Stderr = k.t.Output(), k.t.Output()
	if err := command.Start(); err != nil {
		return err
	}
	k.mu.Lock()
	k.runs[pod.UID] = command
	k.mu.Unlock()
	k.wg.Go(func() {
		_ = command.Wait()
		uid := pod.UID
		k.expect(k.client.CoreV1().Pods(k.namespace).Delete(context.WithoutCancel(ctx), pod.Name,
			metav1.DeleteOptions{GracePeriodSeconds: new(int64), Preconditions: &metav1.Preconditions{UID: &uid}}))
	})
	return nil
}
