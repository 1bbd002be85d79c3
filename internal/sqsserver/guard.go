package sqsserver

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guard keeps web pages out of a server without credentials: a page that is
// open in a browser on this machine can send requests to loopback as well.
type guard struct {
	hosts map[string]bool // lower case, beside the loopback names
}

func newGuard(hosts []string) *guard {
	g := &guard{hosts: map[string]bool{}}
	for _, h := range hosts {
		g.hosts[strings.ToLower(h)] = true
	}
	return g
}

// check refuses what a browser sends for a page. No SDK and no command line
// sends any of these.
func (g *guard) check(r *http.Request) error {
	if len(r.Header["Origin"]) > 0 {
		return failf(codeAccessDenied, "Requests from web pages are refused while the server runs without credentials (the request has an Origin header).")
	}
	site, told := r.Header["Sec-Fetch-Site"]
	if told && (len(site) != 1 || site[0] != "none") {
		return failf(codeAccessDenied, "Requests from web pages are refused while the server runs without credentials (the request has a Sec-Fetch-Site header).")
	}
	// A browser too old to say what it fetches for: an <img> of such a page
	// sends a GET without any mark but this.
	if !told && strings.HasPrefix(r.UserAgent(), "Mozilla/") {
		return failf(codeAccessDenied, "Requests from browsers are refused while the server runs without credentials.")
	}
	if !g.known(r.Host) {
		return failf(codeAccessDenied, "The host %.100q is not a name of this server while it runs without credentials: call it by localhost, or a loopback address, or a host it was told of.", r.Host)
	}
	return nil
}

// known: a name by which only this machine, or a person who said so, reaches us.
func (g *guard) known(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	if host == "127.0.0.1" || host == "localhost" { // nearly all
		return true
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") || g.hosts[host] {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
