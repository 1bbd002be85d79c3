package app

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// probed is what probes ask.
type probed interface {
	// Ready says why it can't serve yet.
	Ready() error
	// Healthy says what is stuck.
	Healthy(ctx context.Context) error
}

// stuckAfter is how long what is asked may take before it counts as stuck.
const stuckAfter = 5 * time.Second

// probes serves /healthz, /readyz and /metrics.
func probes(p probed, metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), stuckAfter)
		defer cancel()
		answer(w, p.Healthy(ctx))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, p.Ready()) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return mux
}
