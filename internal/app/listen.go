package app

import (
	"errors"
	"net"
	"syscall"

	"github.com/queuemill/queuemill/internal/httpapi"
)

// listen takes address for the flag that names it. Where other machines reach
// it, it needs a guard: what that is and how to set it.
func listen(address, flag string, guarded bool, guard, setIt string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, hinted("write HOST:PORT, like 127.0.0.1:8080", "%s %s is no address", flag, address)
	}
	if !guarded && !httpapi.IsLoopback(host) {
		return nil, hinted("listen on 127.0.0.1, or "+setIt, "%s %s: other machines can reach it, so it needs %s", flag, address, guard)
	}
	l, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, hinted("is queuemill running already? Choose another port with "+flag+" "+net.JoinHostPort(host, "PORT"),
			"port %s on %s is in use by another program", port, host)
	default:
		return nil, hinted("choose another address with "+flag, "%s %s: %w", flag, address, err)
	}
}

// urlOf is a URL that works on this machine.
func urlOf(l net.Listener) string {
	host, port, err := net.SplitHostPort(l.Addr().String())
	if ip := net.ParseIP(host); err == nil && ip.IsUnspecified() {
		return "http://" + net.JoinHostPort("127.0.0.1", port)
	}
	return "http://" + l.Addr().String()
}
