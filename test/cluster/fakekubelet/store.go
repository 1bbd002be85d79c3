package fakekubelet

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// store is how the kubelet is told by its reflector (cache.ReflectorStore).
type store kubelet

// Add takes a pod that is new.
func (s *store) Add(obj any) error { return s.Update(obj) }

// Update takes a pod that has changed.
func (s *store) Update(obj any) error {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return fmt.Errorf("watch of pods: got a %T", obj)
	}
	(*kubelet)(s).see(pod)
	return nil
}

// Delete takes a pod that is gone.
func (s *store) Delete(obj any) error {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return fmt.Errorf("watch of pods: got a %T", obj)
	}
	k := (*kubelet)(s)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gone(pod, k.pods[pod.UID])
	delete(k.pods, pod.UID)
	return nil
}

// Replace takes a new list, after the watch broke off: what is not in it is
// gone, and was before what it brings started.
func (s *store) Replace(list []any, _ string) error {
	k := (*kubelet)(s)
	there := map[types.UID]bool{}
	for _, obj := range list {
		if pod, ok := obj.(*corev1.Pod); ok {
			there[pod.UID] = true
		}
	}
	k.mu.Lock()
	for uid, r := range k.pods {
		if !there[uid] {
			k.gone(r.pod, r)
			delete(k.pods, uid)
		}
	}
	k.mu.Unlock()
	for _, obj := range list {
		if err := s.Update(obj); err != nil {
			return err
		}
	}
	return nil
}

// Resync is not needed: nothing is derived from the store.
func (s *store) Resync() error { return nil }
