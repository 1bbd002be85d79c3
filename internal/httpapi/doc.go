// Package httpapi is the HTTP API under /v1: what the command line and pages
// speak to, with an OpenAPI document, metrics and probes beside it.
//
// It holds no state of its own. Whatever it answers it asks of the interfaces
// in Backend at that moment, and a request that is answered with 2xx is durable
// where those are.
//
// Its invariant: no page of another site can read or change anything. Loopback
// listeners accept loopback names in Host only (DNS rebinding) and no
// cross-origin request but GET, HEAD and OPTIONS; any other listener needs a
// bearer token, which a browser does not send by itself.
package httpapi
