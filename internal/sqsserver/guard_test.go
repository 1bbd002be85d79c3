package sqsserver

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

// What a browser sends for a page is refused, what clients send is not.
func TestWebPagesAreKeptOut(t *testing.T) {
	broker := newBroker(t, embedded.Options{})
	open := New(broker, Options{Hosts: []string{"Queue.test"}})
	for _, c := range []struct {
		name, host string
		header     http.Header
		status     int
	}{
		{"an SDK", "127.0.0.1:9324", http.Header{"User-Agent": {"aws-sdk-go-v2/1.47"}}, 200},
		{"nobody in particular", "127.0.0.1", nil, 200},
		{"localhost", "localhost:9324", nil, 200},
		{"localhost, spelled out", "LocalHost.:9324", nil, 200},
		{"a name under localhost", "sqs.localhost:9324", nil, 200},
		{"another loopback address", "127.1.2.3:9324", nil, 200},
		{"IPv6", "[::1]:9324", nil, 200},
		{"a host it was told of", "queue.test:9324", nil, 200},
		{"a URL typed into a browser", "localhost", http.Header{"Sec-Fetch-Site": {"none"}, "User-Agent": {"Mozilla/5.0"}}, 200},

		{"a page's name that was made to resolve to us", "evil.test:9324", nil, 403},
		{"a name that looks like loopback", "127.0.0.1.evil.test", nil, 403},
		{"a name that ends like it", "notlocalhost", nil, 403},
		{"the machine's other address", "192.168.1.2:9324", nil, 403},
		{"a script of a page", "localhost", http.Header{"Origin": {"http://evil.test"}}, 403},
		{"a page that hides", "localhost", http.Header{"Origin": {"null"}}, 403},
		{"a form of a page", "localhost", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"a page of another port", "localhost", http.Header{"Sec-Fetch-Site": {"same-site"}}, 403},
		{"an image in an old browser", "localhost", http.Header{"User-Agent": {"Mozilla/5.0 (X11)"}}, 403},
	} {
		for _, r := range []*http.Request{
			httptest.NewRequest(http.MethodGet, "/?Action=ListQueues", nil),
			queryCall("/", "Action=ListQueues"),
			jsonCall("ListQueues", "{}"),
		} {
			for k, v := range c.header {
				r.Header[k] = v
			}
			r.Host = c.host
			w := httptest.NewRecorder()
			open.ServeHTTP(w, r)
			if w.Code != c.status {
				t.Errorf("%s, %s: %d %s, want %d", c.name, r.Method, w.Code, w.Body, c.status)
			}
			if c.status == 403 && !strings.Contains(w.Body.String(), "AccessDenied") {
				t.Errorf("%s: %s", c.name, w.Body)
			}
		}
	}
	// No method but these two, so no preflight is ever answered.
	r := httptest.NewRequest(http.MethodOptions, "/", nil)
	r.Host = "localhost"
	w := httptest.NewRecorder()
	open.ServeHTTP(w, r)
	if w.Code != http.StatusMethodNotAllowed || len(w.Header()["Access-Control-Allow-Origin"]) > 0 {
		t.Errorf("OPTIONS: %d %v", w.Code, w.Header())
	}
}
