package cli

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/internal/httpapi"
)

// suspended runs the command line against a controller that has the QueueJobs
// both and ping and the WorkerPools both and thumbs; it refuses to list the kinds
// that are hidden.
func suspended(t *testing.T, hidden string, args ...string) (asked []string, out, said string, code int) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
		w.Header().Set("Content-Type", "application/json")
		kind, action, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
		name, _, _ := strings.Cut(action, "/")
		switch {
		case strings.Contains(hidden, kind):
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusForbidden)
			answer(httpapi.NewProblem(http.StatusForbidden, "user x may not list "+kind, "somebody gives it"))
			return
		case r.URL.Path == "/v1/queuejobs":
			answer(httpapi.QueueJobList{QueueJobs: []httpapi.QueueJob{{Name: "both"}, {Name: "ping"}}})
		case r.URL.Path == "/v1/workerpools":
			answer(httpapi.WorkerPoolList{WorkerPools: []httpapi.WorkerPool{{Name: "both"}, {Name: "thumbs"}}})
		case kind == "queuejobs":
			answer(httpapi.QueueJob{Name: name, Suspended: true})
		default:
			answer(httpapi.WorkerPool{Name: name, Suspended: true})
		}
		if name != "" {
			asked = append(asked, kind+"/"+name)
		}
	}))
	defer s.Close()
	var stdout, stderr bytes.Buffer
	if args[0] != "__complete" {
		args = append([]string{"suspend", "--server", s.URL}, args...)
	} else {
		t.Setenv("QUEUEMILL_SERVER", s.URL)
	}
	code = Main(args, Env{Stdout: &stdout, Stderr: &stderr})
	return asked, stdout.String(), stderr.String(), code
}

func TestSuspendFindsTheKindThatIsMeant(t *testing.T) {
	for args, want := range map[string]string{
		"ping": "queuejobs/ping", "thumbs": "workerpools/thumbs", "thumbs ping": "workerpools/thumbs queuejobs/ping",
		"queuejob/both": "queuejobs/both", "workerpool/both": "workerpools/both", "wp/both qj/both": "workerpools/both queuejobs/both",
		"WorkerPools/new": "workerpools/new",
	} {
		asked, out, said, code := suspended(t, "", strings.Fields(args)...)
		if got := strings.Join(asked, " "); got != want || code != 0 || strings.Count(out, "suspended\n") != len(strings.Fields(args)) {
			t.Errorf("suspend %s: %q, code %d, %q %q", args, got, code, out, said)
		}
	}
	if _, out, _, _ := suspended(t, "", "thumbs", "-o", "json"); !strings.Contains(out, `"workerPools"`) {
		t.Error(out)
	}
}

// Nothing is suspended when one of the names means nothing, or two things.
func TestSuspendSaysWhatANameCouldMean(t *testing.T) {
	for args, c := range map[string]struct {
		code int
		says string
	}{
		"ping both":       {exitUsage, "hint: write queuejob/both or workerpool/both"},
		"ping nobody":     {exitNotFound, `there is no QueueJob and no WorkerPool "nobody"`},
		"thums":           {exitNotFound, "did you mean thumbs?"},
		"deployment/ping": {exitUsage, "hint: write queuejob/NAME or workerpool/NAME"},
		"workerpool/":     {exitUsage, "hint: write queuejob/NAME or workerpool/NAME"},
	} {
		if asked, _, said, code := suspended(t, "", strings.Fields(args)...); code != c.code || !strings.Contains(said, c.says) || asked != nil {
			t.Errorf("suspend %s: code %d, %q, asked %q", args, code, said, asked)
		}
	}
}

// A kind that can't be seen is in nobody's way who names one of the other, and is
// what is told who may mean one of it.
func TestSuspendWhereOneKindCantBeSeen(t *testing.T) {
	if asked, _, said, code := suspended(t, "queuejobs", "thumbs"); code != 0 || len(asked) != 1 {
		t.Errorf("code %d, %q, asked %q", code, said, asked)
	}
	for hidden, name := range map[string]string{"queuejobs": "ping", "workerpools": "thumbs"} {
		if _, _, said, code := suspended(t, hidden, name); code != exitError || !strings.Contains(said, "may not list "+hidden) {
			t.Errorf("%s: code %d, %q", hidden, code, said)
		}
	}
}

func TestCompletionSaysTheKindWhereANameHasTwo(t *testing.T) {
	for typed, want := range map[string]string{
		"":            "queuejob/both\nping\nworkerpool/both\tWorkerPool\nthumbs\tWorkerPool\n:4\n",
		"w":           "workerpool/both\tWorkerPool\n:4\n",
		"wo":          "workerpool/both\tWorkerPool\n:4\n",
		"workerpool/": "workerpool/both\tWorkerPool\nworkerpool/thumbs\tWorkerPool\n:4\n",
	} {
		if _, out, said, _ := suspended(t, "", "__complete", "suspend", typed); out != want {
			t.Errorf("%q: %q, want %q; %s", typed, out, want, said)
		}
	}
	if _, out, _, _ := suspended(t, "workerpools", "__complete", "suspend", ""); out != "both\nping\n:4\n" {
		t.Errorf("without a right to see pools: %q", out)
	}
}
