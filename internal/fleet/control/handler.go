package control

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/queuemill/queuemill/internal/fleet"
)

// Worker is what is controlled.
type Worker interface {
	// Report is how it does.
	Report() fleet.Report
	// Drain stops receiving, or on false goes on. It returns when the receives
	// under way have come back, or are counted in the report's InHand.
	//
	// Terms order what several controllers say. To go on begins a new one, and to
	// stop is said in the present one; so an order to go on that arrives behind an
	// order to stop of its own term, or of a later one, is overtaken and changes
	// nothing. 0: the order holds, whenever it arrives.
	Drain(on bool, term int64) fleet.Report
	// Healthy says what is stuck or not there yet; nil: nothing.
	Healthy() error
}

const (
	reportPath = "/v1/worker"
	drainPath  = "/v1/worker/drain"
	maxBody    = 1 << 10
)

// drainRequest is the body of a drain. A pointer: what says nothing asks for
// nothing.
type drainRequest struct {
	Drain *bool `json:"drain"`
	Term  int64 `json:"term,omitempty"`
}

// Handler serves w to who has the token. metrics may be nil.
func Handler(w Worker, token string, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	guarded := func(serve http.HandlerFunc) http.Handler {
		return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
			if !allowed(r, token) {
				http.Error(out, "the worker's token is wanted", http.StatusUnauthorized)
				return
			}
			serve(out, r)
		})
	}
	mux.Handle("GET "+reportPath, guarded(func(out http.ResponseWriter, _ *http.Request) { answer(out, w.Report()) }))
	mux.Handle("POST "+drainPath, guarded(func(out http.ResponseWriter, r *http.Request) {
		var ask drainRequest
		d := json.NewDecoder(http.MaxBytesReader(out, r.Body, maxBody))
		d.DisallowUnknownFields()
		if err := d.Decode(&ask); err != nil || ask.Drain == nil {
			http.Error(out, `want {"drain": true} or {"drain": false}`, http.StatusBadRequest)
			return
		}
		answer(out, w.Drain(*ask.Drain, ask.Term))
	}))
	mux.HandleFunc("GET /healthz", func(out http.ResponseWriter, _ *http.Request) {
		if err := w.Healthy(); err != nil {
			http.Error(out, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = out.Write([]byte("ok\n"))
	})
	if metrics != nil {
		mux.Handle("GET /metrics", metrics)
	}
	return mux
}

// allowed compares in a time that tells nothing of the token, its length
// included.
func allowed(r *http.Request, token string) bool {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return false
	}
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func answer(out http.ResponseWriter, r fleet.Report) {
	out.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(out).Encode(r) // whoever asked is gone
}
