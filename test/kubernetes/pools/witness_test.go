package pools

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/queuemill/queuemill/test/kubernetes/site"
)

// witness keeps what a pool's pods went through and said: they are gone when a
// test finds that something went wrong.
type witness struct {
	mu      sync.Mutex
	lives   map[string]*strings.Builder // by name
	follows map[types.UID]bool
	reading sync.WaitGroup
}

func (p *pool) watched(t *testing.T) *witness {
	t.Helper()
	w := &witness{lives: map[string]*strings.Builder{}, follows: map[types.UID]bool{}}
	t.Cleanup(w.reading.Wait)
	p.watchPods(t, func(pod *corev1.Pod) {
		ran := false
		state := string(pod.Status.Phase)
		for _, s := range pod.Status.ContainerStatuses {
			ran = ran || s.State.Running != nil
			state += fmt.Sprintf(" restarts %d %+v", s.RestartCount, s.State.Terminated)
		}
		if pod.DeletionTimestamp != nil {
			state += fmt.Sprintf(" deleted, grace %d s, %v", *pod.DeletionGracePeriodSeconds, pod.DeletionTimestamp)
		}
		w.note(pod.Name, state+"\n")
		if ran && !w.follows[pod.UID] {
			w.follows[pod.UID] = true
			w.reading.Go(func() { w.follow(t, p, pod.Name) })
		}
	})
	return w
}

func (w *witness) note(pod, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lives[pod] == nil {
		w.lives[pod] = &strings.Builder{}
	}
	w.lives[pod].WriteString(time.Now().UTC().Format("15:04:05.000 ") + text)
}

// follow reads what a pod says until it ends.
func (w *witness) follow(t *testing.T, p *pool, pod string) {
	logs, err := p.Client.CoreV1().Pods(site.Namespace).GetLogs(pod, &corev1.PodLogOptions{Container: "main", Follow: true}).Stream(t.Context())
	if err != nil {
		w.note(pod, err.Error()+"\n")
		return
	}
	defer logs.Close()
	text, err := io.ReadAll(logs)
	w.note(pod, fmt.Sprintf("its log (then %v):\n%s", err, text))
}

// of tells what is known of a pod.
func (w *witness) of(pod string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lives[pod] == nil {
		return pod + ": never seen\n"
	}
	return pod + ":\n" + w.lives[pod].String()
}
