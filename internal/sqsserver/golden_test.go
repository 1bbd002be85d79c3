package sqsserver

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

var update = flag.Bool("update", false, "write the answers into testdata/golden")

// A golden file is a talk with one server: blocks of a request and its answer.
//
//	# a comment
//	> POST / SendMessage          method, path, and in the JSON protocol the action
//	{"QueueUrl": ...}             the body; in Query a parameter a line, encoded by the test
//	< 400 QueueAlreadyExists;Sender   status and the x-amzn-query-error header
//	{"__type": ...}               the body
//
// $receipt in a request is the last receipt handle that was answered, $receipt0
// the one before it, $task the last task handle. In answers, what differs from
// run to run is masked: <uuid>, <receipt>, <ms>, <seconds>, <sequence>.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("golden files: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			talk := &talk{s: New(newBroker(t, embedded.Options{}), Options{})}
			got := talk.replay(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("answers differ (-want +got):\n%s", diff)
			}
		})
	}
}

// talk is a golden file on its way through a server.
type talk struct {
	s        *Server
	receipts []string
	task     string
}

// replay sends the requests of a file and returns the file with the answers
// that came: comments, requests and answers, an empty line behind each answer.
func (k *talk) replay(t *testing.T, file string) string {
	var out, body strings.Builder
	request, old := "", false // old: in the answer that stood there
	flush := func() {
		if request != "" {
			out.WriteString("> " + request + "\n" + body.String() + k.answer(t, request, body.String()) + "\n")
		}
		request = ""
		body.Reset()
	}
	for line := range strings.SplitSeq(file, "\n") {
		switch {
		case strings.HasPrefix(line, "> "):
			flush()
			request, old = line[2:], false
		case strings.HasPrefix(line, "#"):
			flush()
			out.WriteString(line + "\n")
		case strings.HasPrefix(line, "< "):
			old = true
		case line != "" && !old:
			body.WriteString(line + "\n")
		}
	}
	flush()
	return out.String()
}

// answer does one request and renders what came.
func (k *talk) answer(t *testing.T, request, body string) string {
	t.Helper()
	w := do(k.s, k.request(t, request, body))
	text := w.Body.String()
	k.remember(text)
	status := fmt.Sprintf("< %d %s", w.Code, w.Header().Get("X-Amzn-Query-Error"))
	wantType := "application/x-amz-json-1.0"
	if strings.HasPrefix(text, "<") {
		wantType = "text/xml"
		text = strings.ReplaceAll(text, "><", ">\n<")
	}
	if got := w.Header().Get("Content-Type"); got != wantType {
		t.Errorf("%s: content type %q, want %q", request, got, wantType)
	}
	return strings.TrimSpace(status) + "\n" + mask(text) + "\n"
}

// controls are the characters that a golden file spells out.
var controls = strings.NewReplacer(`\u0000`, "\x00", `\u0001`, "\x01")

func (k *talk) request(t *testing.T, request, body string) *http.Request {
	t.Helper()
	fields := strings.Fields(request)
	body = k.fill(strings.TrimSuffix(body, "\n"))
	if len(fields) == 3 {
		r := jsonCall(fields[2], body)
		r.URL.Path = fields[1]
		return r
	}
	var form []string
	for line := range strings.SplitSeq(body, "\n") {
		name, val, _ := strings.Cut(controls.Replace(line), "=")
		if line != "" {
			form = append(form, url.QueryEscape(name)+"="+url.QueryEscape(val))
		}
	}
	if fields[0] == http.MethodGet {
		return httptest.NewRequest(http.MethodGet, fields[1]+"?"+strings.Join(form, "&"), nil)
	}
	r := queryCall(fields[1], strings.Join(form, "&"))
	r.Method = fields[0]
	return r
}

var (
	receiptPattern = regexp.MustCompile(`("ReceiptHandle":"|<ReceiptHandle>)([^"<]+)`)
	taskPattern    = regexp.MustCompile(`("TaskHandle":"|<TaskHandle>)([^"<]+)`)
	masks          = []struct {
		pattern *regexp.Regexp
		with    string
	}{
		{receiptPattern, "${1}<receipt>"},
		{regexp.MustCompile(`Value [^ ]{20,} for parameter ReceiptHandle`), "Value <receipt> for parameter ReceiptHandle"},
		{taskPattern, "${1}<task>"},
		{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "<uuid>"},
		{regexp.MustCompile(`\b[0-9]{20}\b`), "<sequence>"},
		{regexp.MustCompile(`\b1[0-9]{12}\b`), "<ms>"},
		{regexp.MustCompile(`\b1[0-9]{9}\b`), "<seconds>"},
	}
)

func mask(text string) string {
	for _, m := range masks {
		text = m.pattern.ReplaceAllString(text, m.with)
	}
	return text
}

func (k *talk) remember(text string) {
	for _, m := range receiptPattern.FindAllStringSubmatch(text, -1) {
		k.receipts = append(k.receipts, m[2])
	}
	for _, m := range taskPattern.FindAllStringSubmatch(text, -1) {
		k.task = m[2]
	}
}

func (k *talk) fill(body string) string {
	n := len(k.receipts)
	if n > 1 {
		body = strings.ReplaceAll(body, "$receipt0", k.receipts[n-2])
	}
	if n > 0 {
		body = strings.ReplaceAll(body, "$receipt", k.receipts[n-1])
	}
	return strings.ReplaceAll(body, "$task", k.task)
}
