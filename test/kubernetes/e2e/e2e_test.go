// Package e2e runs the shipped image under the shipped manifests on a real
// Kubernetes with two nodes, with messages of a real SQS endpoint and jobs in
// real containers, and looks at all of it as a person does: with kubectl and
// kubectl queuemill.
package e2e

import (
	"flag"
	"os"
	"testing"

	"github.com/queuemill/queuemill/test/kubernetes/site"
)

// TestMain lets all parts run side by side: they wait for pods, most of them,
// and two processors are no reason to wait one by one.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestEndToEnd shares one cluster between its parts. Those that take a node
// away come last and one by one.
func TestEndToEnd(t *testing.T) {
	s := &system{site.Start(t, 2)}
	t.Run("Features", func(t *testing.T) {
		for name, run := range map[string]func(*testing.T, *system){
			"FailingPingsAreMendedAndRetried":            failingPingsAreMendedAndRetried,
			"JobsShareAVolume":                           jobsShareAVolume,
			"MessagesReachTheContainerByteForByte":       messagesReachTheContainerByteForByte,
			"EachAttemptHasItsLog":                       eachAttemptHasItsLog,
			"DescribeSaysWhyAJobFailed":                  describeSaysWhyAJobFailed,
			"ADeletedJobComesBackFromTheQueueOrIsGone":   aDeletedJobComesBackOrIsGone,
			"InvalidRecordsAreRunByNobody":               invalidRecordsAreRunByNobody,
			"ASuspendedJobIsQueuedAndRunsWhenResumed":    aSuspendedJobIsQueued,
			"ASuspendedQueueJobReceivesNothing":          aSuspendedQueueJobReceivesNothing,
			"AnEditedTemplateLeavesRunningJobsAsTheyAre": anEditLeavesRunningJobsAsTheyAre,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				run(t, s)
			})
		}
	})
	t.Run("NoMessageRunsTwiceAtATime", func(t *testing.T) { noMessageRunsTwiceAtATime(t, s) })
	t.Run("ADrainedNodesJobsRunElsewhere", func(t *testing.T) { drainedJobsRunElsewhere(t, s) })
}
