package sqsserver

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

func TestMetricsCountWhatWasAnswered(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := New(newBroker(t, embedded.Options{}), Options{Registerer: reg})
	do(s, jsonCall("ListQueues", "{}"))
	do(s, jsonCall("ListQueues", "[]"))
	do(s, queryCall("/", "Action=Nonsense"))
	if n := testutil.CollectAndCount(s.metrics.requests); n != (len(actions)+1)*2*3 {
		t.Errorf("%d series, want one for each action, protocol and result", n)
	}
	for _, c := range []struct{ action, protocol, result string }{
		{"ListQueues", "json", resultOK}, {"ListQueues", "json", resultClient}, {otherAction, "query", resultClient},
	} {
		if got := testutil.ToFloat64(s.metrics.requests.WithLabelValues(c.action, c.protocol, c.result)); got != 1 {
			t.Errorf("%v: %v, want 1", c, got)
		}
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "queuemill_sqs_") {
			t.Errorf("metric %s", f.GetName())
		}
	}
}
