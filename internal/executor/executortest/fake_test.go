package executortest_test

import (
	"testing"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor/executortest"
)

func TestFakeConforms(t *testing.T) {
	executortest.Run(t, func(*testing.T) executortest.Rig {
		fake := executortest.NewFake()
		return executortest.Rig{
			Executor: fake,
			Spec:     &v1alpha1.QueueJobSpec{Process: &v1alpha1.ProcessTemplate{Command: []string{"true"}}},
			Finish: func(_ *testing.T, name string, _, code int, output string) {
				fake.Output(name, output)
				fake.Exit(name, code)
			},
		}
	})
}
