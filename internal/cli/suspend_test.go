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

// suspended runs the command line against a controller that has a QueueJob both
// and two WorkerPools, both and thumbs.
func suspended(t *testing.T, args ...string) (asked []string, out, said string, code int) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, name := strings.Split(r.URL.Path, "/")[2], strings.Split(r.URL.Path, "/")[3]
		answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
		w.Header().Set("Content-Type", "application/json")
		switch {
		case kind == "queuejobs" && name == "both":
			answer(httpapi.QueueJob{Name: name, Suspended: true})
		case kind == "workerpools" && (name == "both" || name == "thumbs"):
			answer(httpapi.WorkerPool{Name: name, Suspended: true})
		default:
			p := httpapi.NewProblem(http.StatusNotFound, "there is no "+kind+" "+name, "queuemill status lists them")
			if kind == "workerpools" && name == "thumb" {
				p.Hint = "did you mean thumbs?"
			}
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(p.Status)
			answer(p)
			return
		}
		asked = append(asked, kind+"/"+name)
	}))
	defer s.Close()
	var stdout, stderr bytes.Buffer
	code = Main(append([]string{"suspend", "--server", s.URL}, args...), Env{Stdout: &stdout, Stderr: &stderr})
	return asked, stdout.String(), stderr.String(), code
}

func TestSuspendFindsTheKindThatIsMeant(t *testing.T) {
	for args, want := range map[string]string{
		"both": "queuejobs/both", "queuejob/both": "queuejobs/both", "workerpool/both": "workerpools/both",
		"thumbs": "workerpools/thumbs", "both thumbs": "queuejobs/both workerpools/thumbs",
	} {
		asked, out, said, code := suspended(t, strings.Fields(args)...)
		if got := strings.Join(asked, " "); got != want || code != 0 || strings.Count(out, "suspended\n") != len(strings.Fields(args)) {
			t.Errorf("suspend %s: %q, code %d, %q %q", args, got, code, out, said)
		}
	}
	for name, want := range map[string]string{
		"nobody": "there is no queuejobs nobody", "workerpool/nobody": "there is no workerpools nobody", "queuejob/thumbs": "there is no queuejobs thumbs",
		"thumb": "did you mean thumbs?",
	} {
		if _, _, said, code := suspended(t, name); code != exitNotFound || !strings.Contains(said, want) {
			t.Errorf("suspend %s: code %d, %q", name, code, said)
		}
	}
	if _, out, _, _ := suspended(t, "thumbs", "-o", "json"); !strings.Contains(out, `"workerPools"`) {
		t.Error(out)
	}
}
