package install

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/queuemill/queuemill/test/mill"
)

func TestEachAlertHasItsPage(t *testing.T) {
	t.Parallel()
	all := alerts()
	if len(all) != 10 {
		t.Errorf("%d alerts", len(all))
	}
	for _, a := range all {
		text, err := os.ReadFile(filepath.Join("../../docs/runbooks", a.page+".md"))
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.HasPrefix(string(text), "# "+a.name+"\n") {
			t.Errorf("%s.md is not about %s", a.page, a.name)
		}
		// Who reads the page sees the rule as it is.
		if want := "\n```\n" + strings.TrimPrefix(a.expr, "\n") + "\n```\n"; !strings.Contains(string(text), want) {
			t.Errorf("%s.md does not show the expression:%s", a.page, want)
		}
		if _, err := model.ParseDuration(a.lasting); err != nil {
			t.Errorf("%s: %v", a.name, err)
		}
		for open, shut := range map[string]string{"(": ")", "{{": "}}"} {
			if text := a.expr + a.summary + a.description; strings.Count(text, open) != strings.Count(text, shut) {
				t.Errorf("%s: %s without %s", a.name, open, shut)
			}
		}
	}
}

var (
	selector = regexp.MustCompile(`\b(queuemill_[a-z_]+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)(=~?)"([^"]*)"`)
	grouping = regexp.MustCompile(`by \(([^)]*)\)`)
)

// TestAlertsReadMetricsThatAreThere takes every selector of every expression to
// the metrics that a running controller shows.
func TestAlertsReadMetricsThatAreThere(t *testing.T) {
	t.Parallel()
	binary, err := mill.Build(t.TempDir(), "./cmd/queuemill", false)
	if err != nil {
		t.Fatal(err)
	}
	options := mill.Options{Binary: binary, Data: t.TempDir(), Dir: t.TempDir(), Listen: mill.FreeAddress(t), SQSListen: mill.FreeAddress(t)}
	up := mill.Start(t, options)
	up.WaitReady(t)
	sqs(t, up.SQSURL, "CreateQueue", `{"QueueName": "ping-dlq"}`)
	sqs(t, up.SQSURL, "CreateQueue", `{"QueueName": "ping", "Attributes": {
		"RedrivePolicy": "{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:ping-dlq\",\"maxReceiveCount\":3}"}}`)
	up.Stop(t)
	options.Args = []string{
		"-f", filepath.Join(mill.Root(), "examples/ping/queuemill.yaml"), "-f", filepath.Join(mill.Root(), "examples/thumbnails/pool.yaml"),
	}
	up = mill.Start(t, options)
	up.WaitReady(t)

	var missing []string
	err = mill.Poll(t.Context(), 30*time.Second, func() (bool, error) {
		resp, err := http.Get(up.URL + "/metrics")
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(resp.Body)
		if err != nil {
			return false, err
		}
		missing = nil
		for _, a := range alerts() {
			missing = append(missing, lacks(a.expr, families)...)
		}
		return len(missing) == 0, nil
	})
	if err != nil {
		t.Errorf("%v; there are no such metrics: %q", err, missing)
	}
	if got := lacks(`x(queuemill_queuejob_jobs{state="Gone"}) by (namespace, pod)`, nil); len(got) != 1 {
		t.Errorf("this test sees nothing: %q", got)
	}
}

// lacks are the selectors of expr that no series of families meets, or whose
// labels expr groups by and they have not.
func lacks(expr string, families map[string]*dto.MetricFamily) (missing []string) {
	groups := strings.Split(grouping.FindStringSubmatch(expr)[1], ", ")
	for _, found := range selector.FindAllStringSubmatch(expr, -1) {
		met := false
		for _, series := range families[found[1]].GetMetric() {
			met = met || meets(series, matcher.FindAllStringSubmatch(found[2], -1), groups)
		}
		if !met {
			missing = append(missing, found[0])
		}
	}
	return missing
}

func meets(series *dto.Metric, matchers [][]string, groups []string) bool {
	labels := map[string]string{}
	for _, label := range series.GetLabel() {
		labels[label.GetName()] = label.GetValue()
	}
	for _, group := range groups {
		if _, ok := labels[group]; !ok && group != "namespace" { // empty on a laptop
			return false
		}
	}
	for _, m := range matchers {
		want := regexp.QuoteMeta(m[3])
		if m[2] == "=~" {
			want = m[3]
		}
		if !regexp.MustCompile("^(?:" + want + ")$").MatchString(labels[m[1]]) {
			return false
		}
	}
	return true
}

func sqs(t *testing.T, url, action, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "AmazonSQS."+action)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s", action, resp.Status, answer)
	}
}
