package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guard refuses what must not reach a handler: a foreign Host, a missing
// token, a cross-site write, a write that is not JSON.
type guard struct {
	token   string   // empty: none is asked for
	hosts   []string // besides loopback, without ports, in lower case
	origins *http.CrossOriginProtection
}

func newGuard(token string, hosts []string) *guard {
	g := &guard{token: token, origins: http.NewCrossOriginProtection()}
	for _, h := range hosts {
		g.hosts = append(g.hosts, strings.ToLower(h))
	}
	return g
}

// check says why r is refused, nil when it is not.
func (g *guard) check(r *http.Request) *Problem {
	if p := g.checkCaller(r); p != nil {
		return p
	}
	if err := g.origins.Check(r); err != nil {
		return NewProblem(http.StatusForbidden, "a page of another site may not do this", "")
	}
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return checkContentType(r)
	}
	return nil
}

// checkCaller wants the token or, where there is none, a Host that is this
// machine: a name that an attacker points at 127.0.0.1 is not (DNS rebinding).
// Browsers do not send a token by themselves, so with one any Host may do.
func (g *guard) checkCaller(r *http.Request) *Problem {
	if g.token != "" {
		if isProbe(r) || g.tokenMatches(r) {
			return nil
		}
		return NewProblem(http.StatusUnauthorized, "this server wants a token",
			"set QUEUEMILL_TOKEN, or send the header Authorization: Bearer TOKEN")
	}
	if g.knownHost(r.Host) {
		return nil
	}
	return NewProblem(http.StatusMisdirectedRequest, "this server does not answer for the host "+quoteHost(r.Host),
		"call it as 127.0.0.1 or localhost, or start it with --allowed-host")
}

func isProbe(r *http.Request) bool {
	return r.Method == http.MethodGet && (r.URL.Path == "/healthz" || r.URL.Path == "/readyz")
}

func (g *guard) tokenMatches(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	// Hashed, so that the time taken does not tell the length either.
	got, want := sha256.Sum256([]byte(strings.TrimSpace(token))), sha256.Sum256([]byte(g.token))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

func (g *guard) knownHost(hostport string) bool {
	host := strings.ToLower(hostport)
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if IsLoopback(host) {
		return true
	}
	for _, h := range g.hosts {
		if h == host {
			return true
		}
	}
	return false
}

// IsLoopback tells whether host, a name or an address without port, can only
// be this machine.
func IsLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// checkContentType refuses what a plain HTML form can send.
func checkContentType(r *http.Request) *Problem {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && (mediaType == contentJSON || mediaType == contentNDJSON) {
		return nil
	}
	return NewProblem(http.StatusUnsupportedMediaType, "the request's Content-Type is not "+contentJSON,
		"send the header Content-Type: "+contentJSON)
}

const (
	contentJSON   = "application/json"
	contentNDJSON = "application/x-ndjson"
)

// quoteHost keeps a hostile Host short and printable.
func quoteHost(host string) string {
	if len(host) > 64 {
		host = host[:64] + "…"
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return '?'
		}
		return c
	}, host)
}
