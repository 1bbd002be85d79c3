package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/internal/httpapi"
)

// numbers is a file of n lines with their numbers.
func numbers(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, i+1)
	}
	path := filepath.Join(t.TempDir(), "numbers")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sink takes messages; refuse says why one is refused, and after so many
// requests the connection breaks off (0: never).
func sink(t *testing.T, breakAfter int, refuse func(body string) *httpapi.Problem) (*httptest.Server, *[]string) {
	t.Helper()
	var bodies []string
	requests := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests++; breakAfter > 0 && requests > breakAfter {
			panic(http.ErrAbortHandler)
		}
		var answer httpapi.SendResults
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			var m httpapi.OutgoingMessage
			var body string
			if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
				t.Error(err)
			}
			if err := json.Unmarshal(m.Body, &body); err != nil {
				t.Error(err)
			}
			if p := refuse(body); p != nil {
				answer.Results = append(answer.Results, httpapi.SendResult{Error: p})
				continue
			}
			bodies = append(bodies, body)
			answer.Results = append(answer.Results, httpapi.SendResult{ID: "id-" + body})
		}
		w.WriteHeader(http.StatusAccepted)
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return s, &bodies
}

func TestSendThatBreaksOffSaysHowToGoOn(t *testing.T) {
	takeAll := func(string) *httpapi.Problem { return nil }
	refuse700 := func(body string) *httpapi.Problem {
		if body == "700" {
			return httpapi.NewProblem(400, "700 is unlucky", "")
		}
		return nil
	}
	for name, c := range map[string]struct {
		breakAfter int
		refuse     func(string) *httpapi.Problem
		flags      string
		code, sent int
		says       []string
	}{
		"all is well":        {0, takeAll, "", 0, 1200, nil},
		"from a line on":     {0, takeAll, "--from-line 1001", 0, 200, nil},
		"nothing arrived":    {0, func(string) *httpapi.Problem { return httpapi.NewProblem(503, "full", "") }, "", 1, 0, []string{"full"}},
		"the server is gone": {2, takeAll, "", 1, 1000, []string{"1,000 messages were sent before; go on with --from-line 1001; lines 1001 to 1200 may be in the queue nevertheless"}},
		"gone in the second run": {1, takeAll, "--from-line 501", 1, 500, []string{
			"500 messages were sent before; go on with --from-line 1001; lines 1001 to 1200",
		}},
		"a line is refused": {0, refuse700, "", 1, 999, []string{
			"line 700: 1 message was refused by the queue: 700 is unlucky",
			"the other lines up to 1000 were sent; mend line 700 and send it apart, then go on with --from-line 1001",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s, bodies := sink(t, c.breakAfter, c.refuse)
			var stdout, stderr bytes.Buffer
			args := append([]string{"send", "q", "--server", s.URL, "--file", numbers(t, 1200)}, strings.Fields(c.flags)...)
			code := Main(args, Env{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr})
			if code != c.code || len(*bodies) != c.sent {
				t.Errorf("code %d, %d sent; want %d, %d: %s", code, len(*bodies), c.code, c.sent, &stderr)
			}
			for _, says := range c.says {
				if !strings.Contains(stderr.String(), says) {
					t.Errorf("stderr %q, want %q in it", stderr.String(), says)
				}
			}
		})
	}
}
