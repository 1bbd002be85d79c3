package v1alpha1

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func poolTemplate() *WorkerPoolSpec {
	return &WorkerPoolSpec{
		Queue:   QueueSource{SQS: &SQSSource{Name: "q"}},
		Message: MessageSpec{Schema: &runtime.RawExtension{Raw: []byte(`{"a":1,"b":{"c":2,"d":3}}`)}},
		Process: &WorkerProcess{Command: []string{"true"}},
	}
}

func TestWhatMakesAWorkerAnotherOne(t *testing.T) {
	before := WorkerTemplateHash(poolTemplate())
	for what, change := range map[string]func(*WorkerPoolSpec){
		"queue":   func(s *WorkerPoolSpec) { s.Queue.SQS.Name = "r" },
		"worker":  func(s *WorkerPoolSpec) { s.Worker.Concurrency = 2 },
		"message": func(s *WorkerPoolSpec) { s.Message.Format = []MessageFormat{FormatJSON} },
		"schema":  func(s *WorkerPoolSpec) { s.Message.Schema.Raw = []byte(`{"a":1,"b":{"c":2,"d":4}}`) },
		"process": func(s *WorkerPoolSpec) { s.Process.Args = []string{"x"} },
		"kubernetes": func(s *WorkerPoolSpec) {
			s.Kubernetes = &WorkerKubernetes{Template: runtime.RawExtension{Raw: []byte(`{}`)}}
		},
	} {
		s := poolTemplate()
		if change(s); WorkerTemplateHash(s) == before {
			t.Errorf("another %s is the same worker", what)
		}
	}
	for what, change := range map[string]func(*WorkerPoolSpec){
		"number":  func(s *WorkerPoolSpec) { s.MinWorkers, s.MaxWorkers, s.Suspend = 3, 7, true },
		"scaling": func(s *WorkerPoolSpec) { s.Scaling.ScaleInCooldown = &metav1.Duration{Duration: time.Hour} },
		"order":   func(s *WorkerPoolSpec) { s.Message.Schema.Raw = []byte(`{"b": {"d":3,"c":2}, "a":1}`) },
	} {
		s := poolTemplate()
		if change(s); WorkerTemplateHash(s) != before {
			t.Errorf("another %s makes another worker", what)
		}
	}
}

func TestTheHashOfWorkersIsStable(t *testing.T) {
	if got, want := WorkerTemplateHash(poolTemplate()), "936a9ef11e5eb5ee"; got != want {
		t.Errorf("%s, want %s: an upgrade would replace all workers", got, want)
	}
}
