package httpapi_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/record"
)

func init() {
	// What the document describes as text only.
	for _, mediaType := range []string{"application/x-ndjson", "text/plain"} {
		openapi3filter.RegisterBodyDecoder(mediaType, openapi3filter.RegisteredBodyDecoder("text/plain"))
	}
}

func loadDocument(t *testing.T, s http.Handler) (*openapi3.T, routers.Router) {
	t.Helper()
	res := request(t, s, http.MethodGet, "/openapi.json", "", "")
	document, err := openapi3.NewLoader().LoadFromData(res.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(document)
	if err != nil {
		t.Fatal(err)
	}
	return document, router
}

// request asks as a program on this machine does. contentType "" with a body
// is JSON.
func request(t *testing.T, s http.Handler, method, target, contentType, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:8080"+target, strings.NewReader(body))
	if contentType == "" && (body != "" || method != http.MethodGet) {
		contentType = "application/json"
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestDocumentDescribesEveryAnswer(t *testing.T) {
	b := newBackend()
	for name, state := range map[string]record.State{
		"ping-queued": record.Running, "ping-good": record.Succeeded, "ping-bad": record.Failed, "ping-invalid": record.Invalid,
	} {
		b.add(t, name, state, `{"target":"127.0.0.1"}`, false)
	}
	b.Output("ping-bad", "no route to host\n")
	close(b.idle)
	s := httpapi.New(b.server(), httpapi.Options{Metrics: prometheus.NewRegistry()})
	document, router := loadDocument(t, s)

	asked := map[string]bool{} // "GET /v1/jobs": answered with 2xx
	for _, c := range []struct {
		method, target, contentType, body string
		status                            int
	}{
		{"GET", "/v1/status", "", "", 200},
		{"GET", "/v1/events?untilIdle=true", "", "", 200},
		{"GET", "/v1/events?state=broken", "", "", 400},
		{"GET", "/v1/queuejobs", "", "", 200},
		{"GET", "/v1/queuejobs/ping", "", "", 200},
		{"GET", "/v1/queuejobs/none", "", "", 404},
		{"POST", "/v1/queuejobs/ping/suspend", "", "{}", 200},
		{"POST", "/v1/queuejobs/ping/resume", "", "", 200},
		{"POST", "/v1/queuejobs/none/resume", "", "", 404},
		{"GET", "/v1/workerpools", "", "", 200},
		{"GET", "/v1/workerpools/thumbs", "", "", 200},
		{"GET", "/v1/workerpools/thumb", "", "", 404},
		{"POST", "/v1/workerpools/thumbs/suspend", "", "{}", 200},
		{"POST", "/v1/workerpools/thumbs/resume", "", "", 200},
		{"POST", "/v1/workerpools/none/suspend", "", "", 404},
		{"GET", "/v1/jobs", "", "", 200},
		{"GET", "/v1/jobs?queuejob=ping&state=failed,invalid&reason=NonZeroExit&limit=1", "", "", 200},
		{"GET", "/v1/jobs?limit=-1", "", "", 400},
		{"GET", "/v1/jobs?cursor=x", "", "", 400},
		{"GET", "/v1/jobs?nothing=x", "", "", 400},
		{"POST", "/v1/jobs/retry", "", `{"queueJob":"ping","reasons":["nonzeroexit"],"limit":1,"dryRun":true}`, 202},
		{"POST", "/v1/jobs/retry", "", `{"names":["ping-bad","ping-none"]}`, 202},
		{"POST", "/v1/jobs/retry", "", `{"limit":-1}`, 400},
		{"POST", "/v1/jobs/prune", "", `{"states":["succeeded"],"dryRun":true}`, 200},
		{"POST", "/v1/jobs/prune", "", `{"states":["running"]}`, 400},
		{"POST", "/v1/jobs/prune", "", `{"queueJob":"none"}`, 404},
		{"GET", "/v1/jobs/ping-bad", "", "", 200},
		{"GET", "/v1/jobs/none", "", "", 404},
		{"GET", "/v1/jobs/ping-bad/logs", "", "", 200},
		{"GET", "/v1/jobs/ping-bad/logs?attempt=7", "", "", 404},
		{"GET", "/v1/jobs/none/logs", "", "", 404},
		{"POST", "/v1/jobs/ping-bad/retry", "", "", 202},
		{"POST", "/v1/jobs/none/retry", "", "", 404},
		{"DELETE", "/v1/jobs/ping-good", "", "", 204},
		{"DELETE", "/v1/jobs/ping-good", "", "", 404},
		{"GET", "/v1/queues", "", "", 200},
		{"GET", "/v1/queues/ping", "", "", 200},
		{"GET", "/v1/queues/none", "", "", 404},
		{"PUT", "/v1/queues/new", "", "", 200},
		{"PUT", "/v1/queues/bad!", "", "", 400},
		{"POST", "/v1/queues/ping/messages", "", `{"body":"{}","delaySeconds":3,"attributes":{"a":{"dataType":"Number","stringValue":"1"}}}`, 202},
		{"POST", "/v1/queues/ping/messages", "", `{"body":{"target":"x"}}`, 202},
		{"POST", "/v1/queues/ping/messages", "application/x-ndjson", `{"body":"1"}` + "\n\n" + `{"body":"2"}`, 202},
		{"POST", "/v1/queues/ping/messages", "application/x-ndjson", `{"body":"1"}` + "\n" + `{"body":`, 400},
		{"POST", "/v1/queues/ping/messages", "", `{}`, 400},
		{"POST", "/v1/queues/ping/messages", "", `{"body":""}`, 400},
		{"POST", "/v1/queues/ping/messages", "", `{"body":"x","delaySeconds":901}`, 400},
		{"GET", "/v1/queues/ping/messages?limit=2", "", "", 200},
		{"POST", "/v1/queues/ping-dlq/redrive", "", `{"limit":1}`, 202},
		{"POST", "/v1/queues/none/redrive", "", "", 404},
		{"POST", "/v1/queues/ping/purge", "", "", 200},
		{"GET", "/openapi.json", "", "", 200},
		{"GET", "/metrics", "", "", 200},
		{"GET", "/healthz", "", "", 200},
		{"GET", "/readyz", "", "", 200},
	} {
		t.Run(c.method+" "+c.target, func(t *testing.T) {
			res := request(t, s, c.method, c.target, c.contentType, c.body)
			if res.Code != c.status {
				t.Fatalf("status %d, want %d: %s", res.Code, c.status, res.Body)
			}
			route := checkAnswer(t, router, c.method, c.target, c.contentType, c.body, res)
			if res.Code/100 == 2 {
				asked[c.method+" "+route] = true
			}
		})
	}
	for path, item := range document.Paths.Map() {
		for method := range item.Operations() {
			if !asked[method+" "+path] {
				t.Errorf("nothing here asked %s %s with success", method, path)
			}
		}
	}
}

// checkAnswer validates request (of good ones) and answer, and returns the
// route's path in the document.
func checkAnswer(t *testing.T, router routers.Router, method, target, contentType, body string, res *httptest.ResponseRecorder) string {
	t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), method, "http://127.0.0.1:8080"+target, strings.NewReader(body))
	if contentType == "" && body != "" {
		contentType = "application/json"
	}
	r.Header.Set("Content-Type", contentType)
	route, params, err := router.FindRoute(r)
	if err != nil {
		t.Fatalf("the document has no such route: %v", err)
	}
	in := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
	if res.Code/100 == 2 {
		if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
			t.Errorf("the document refuses the request: %v", err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: res.Code, Header: res.Header(), Body: io.NopCloser(res.Body), Options: in.Options,
	}
	if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
		t.Errorf("the document describes another answer: %v", err)
	}
	return route.Path
}

func TestEveryRouteIsInTheDocument(t *testing.T) {
	s := httpapi.New(newBackend().server(), httpapi.Options{})
	document, _ := loadDocument(t, s)
	for _, pattern := range s.Routes() {
		method, path, _ := strings.Cut(pattern, " ")
		item := document.Paths.Find(path)
		if item == nil || item.GetOperation(method) == nil {
			t.Errorf("the document lacks %s", pattern)
		}
	}
}

func TestPoolsAreInTheStatusAndSuspended(t *testing.T) {
	s := httpapi.New(newBackend().server(), httpapi.Options{})
	body := func(method, target string) string { return request(t, s, method, target, "", "").Body.String() }
	if got := body(http.MethodGet, "/v1/status"); !strings.Contains(got, `"workerPools":[{"name":"thumbs"`) || !strings.Contains(got, "23 waiting + 4 running") {
		t.Error(got)
	}
	if got := body(http.MethodPost, "/v1/workerpools/thumbs/suspend"); !strings.Contains(got, `"suspended":true`) {
		t.Error(got)
	}
	if got := body(http.MethodPost, "/v1/workerpools/thumb/suspend"); !strings.Contains(got, "did you mean thumbs?") {
		t.Error(got)
	}
	b := newBackend().server()
	b.Pools = nil
	s = httpapi.New(b, httpapi.Options{})
	if got := body(http.MethodGet, "/v1/status"); !strings.Contains(got, `"workerPools":[]`) {
		t.Error(got)
	}
	if res := request(t, s, http.MethodPost, "/v1/workerpools/thumbs/suspend", "", ""); res.Code != http.StatusNotFound {
		t.Errorf("%d %s", res.Code, res.Body)
	}
}
