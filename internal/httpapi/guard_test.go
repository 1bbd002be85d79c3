package httpapi_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/record"
)

func TestOnlyThisMachineAndThisSiteMayAsk(t *testing.T) {
	type header = map[string]string
	for _, c := range []struct {
		name         string
		method, host string
		header       header
		token        string
		status       int
	}{
		{"loopback address", "GET", "127.0.0.1:8080", nil, "", 200},
		{"loopback address without port", "GET", "127.0.0.1", nil, "", 200},
		{"IPv6 loopback", "GET", "[::1]:8080", nil, "", 200},
		{"localhost", "GET", "LOCALHOST:8080", nil, "", 200},
		{"configured host", "GET", "Mill.example:8080", nil, "", 200},
		{"a name that points here", "GET", "evil.example:8080", nil, "", 421},
		{"a name that begins as an address", "GET", "127.0.0.1.evil.example", nil, "", 421},
		{"no host", "GET", "", nil, "", 421},
		{"a name that points here, writing", "POST", "evil.example:8080", header{"Content-Type": "application/json"}, "", 421},

		{"write of a program", "POST", "127.0.0.1:8080", header{"Content-Type": "application/json"}, "", 200},
		{"write of our own page", "POST", "127.0.0.1:8080", header{"Content-Type": "application/json", "Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin"}, "", 200},
		{"write of another site", "POST", "127.0.0.1:8080", header{"Content-Type": "application/json", "Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}, "", 403},
		{"write of another port", "POST", "127.0.0.1:8080", header{"Content-Type": "application/json", "Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-site"}, "", 403},
		{"write of an old browser", "POST", "127.0.0.1:8080", header{"Content-Type": "application/json", "Origin": "http://evil.example"}, "", 403},
		{"write of a sandboxed page", "POST", "127.0.0.1:8080", header{"Content-Type": "application/json", "Origin": "null"}, "", 403},
		{"delete of another site", "DELETE", "127.0.0.1:8080", header{"Sec-Fetch-Site": "cross-site"}, "", 403},
		{"write of a form", "POST", "127.0.0.1:8080", header{"Content-Type": "application/x-www-form-urlencoded"}, "", 415},
		{"write of a form as text", "POST", "127.0.0.1:8080", header{"Content-Type": "text/plain"}, "", 415},
		{"write without a type", "POST", "127.0.0.1:8080", nil, "", 415},

		{"no token", "GET", "127.0.0.1:8080", nil, "secret", 401},
		{"wrong token", "GET", "127.0.0.1:8080", header{"Authorization": "Bearer wrong"}, "secret", 401},
		{"empty token", "GET", "127.0.0.1:8080", header{"Authorization": "Bearer "}, "secret", 401},
		{"token of another scheme", "GET", "127.0.0.1:8080", header{"Authorization": "Basic secret"}, "secret", 401},
		{"token", "GET", "10.0.0.7:8080", header{"Authorization": "bearer secret"}, "secret", 200},
		{"token, another site", "POST", "10.0.0.7:8080", header{"Authorization": "Bearer secret", "Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"}, "secret", 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBackend()
			b.add(t, "ping-one", record.Succeeded, "{}", false)
			s := httpapi.New(b.server(), httpapi.Options{Token: c.token, AllowedHosts: []string{"mill.example"}})
			target := map[string]string{"GET": "/v1/status", "POST": "/v1/queuejobs/ping/suspend", "DELETE": "/v1/jobs/ping-one"}[c.method]
			r := httptest.NewRequestWithContext(t.Context(), c.method, target, strings.NewReader(""))
			r.Host = c.host
			for name, value := range c.header {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != c.status {
				t.Errorf("status %d, want %d: %s", w.Code, c.status, w.Body)
			}
			if c.status/100 != 2 {
				if b.suspended["ping"] {
					t.Error("the refused request changed something")
				}
				wantProblem(t, w, c.status)
			}
		})
	}
}

func wantProblem(t *testing.T, w *httptest.ResponseRecorder, status int) httpapi.Problem {
	t.Helper()
	var p httpapi.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("not a problem document: %v: %s", err, w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q", got)
	}
	if p.Status != status || p.Title == "" || !strings.HasPrefix(p.Type, "urn:queuemill:problem:") {
		t.Errorf("problem %+v, want status %d and a type", p, status)
	}
	return p
}

func TestProbesNeedNoToken(t *testing.T) {
	s := httpapi.New(newBackend().server(), httpapi.Options{Token: "secret"})
	for target, status := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 401, "/openapi.json": 401} {
		if res := request(t, s, http.MethodGet, target, "", ""); res.Code != status {
			t.Errorf("%s: status %d, want %d", target, res.Code, status)
		}
	}
}

func TestServeRefusesTheNetworkWithoutToken(t *testing.T) {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = httpapi.New(newBackend().server(), httpapi.Options{}).Serve(t.Context(), l)
	if err == nil || !strings.Contains(err.Error(), "no token") {
		t.Errorf("error %v, want one about the token", err)
	}
}

func TestUnknownRoutesAreProblems(t *testing.T) {
	s := httpapi.New(newBackend().server(), httpapi.Options{})
	wantProblem(t, request(t, s, http.MethodGet, "/v2/jobs", "", ""), 404)
	res := request(t, s, http.MethodDelete, "/v1/status", "", "")
	wantProblem(t, res, 405)
	if allow := res.Header().Get("Allow"); !strings.Contains(allow, "GET") {
		t.Errorf("Allow %q, want GET in it", allow)
	}
}

func TestBodiesAreStrictAndBounded(t *testing.T) {
	s := httpapi.New(newBackend().server(), httpapi.Options{})
	const target = "/v1/queues/ping/messages"
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"unknown field":       {`{"body":"x","bdy":1}`, 400},
		"two documents":       {`{"body":"x"}{"body":"y"}`, 400},
		"broken":              {`{"body":"x"`, 400},
		"not UTF-8":           {"{\"body\":\"\xff\"}", 400},
		"half a surrogate":    {`{"body":"\ud800"}`, 400},
		"replacement as such": {`{"body":"\ufffd"}`, 202},
		"replacement written": {"{\"body\":\"\ufffd\"}", 202},
		"whole surrogate":     {`{"body":"\ud83d\ude00"}`, 202},
		"too large":           {`{"body":"` + strings.Repeat("x", 9<<20) + `"}`, 413},
	} {
		t.Run(name, func(t *testing.T) {
			res := request(t, s, http.MethodPost, target, "", c.body)
			if res.Code != c.status {
				t.Fatalf("status %d, want %d: %.200s", res.Code, c.status, res.Body)
			}
			if c.status != 202 {
				wantProblem(t, res, c.status)
			}
		})
	}
}
