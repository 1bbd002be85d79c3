// Package kubernetes runs the workers of a pool as pods that the pool owns.
//
// A pod is the template's, with three things added: an init container of our own
// image that puts the queuemill binary into an empty volume, the worker before
// the command of one container, and a port at which the worker is asked:
//
//	init container ── copies the binary ──▶ volume ◀── container: queuemill worker … -- the user's command
//	Secret of the pool ── token ──────────────────────▶   └─ port: /v1/worker, /healthz, /metrics
//
// What the user's image holds does not matter, and its command is expanded once,
// by the worker: every $ that the kubelet would see is doubled.
//
// All state is in the pods: their labels say whose they are and of which template,
// and a worker's own answer says whether it drains. A pod is deleted by the UID of
// the worker that agreed.
package kubernetes
