package cluster

import (
	"fmt"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// port is a loopback port that stays ours while a server that uses it is down:
// a bound socket that does not listen holds it, and the server shares it
// (SO_REUSEPORT).
type port struct {
	number int
	fd     int
	once   sync.Once
}

func reservePort() (*port, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, fmt.Errorf("reserve a port: %w", err)
	}
	unix.CloseOnExec(fd)
	p := &port{fd: fd}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		p.release()
		return nil, fmt.Errorf("reserve a port: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		p.release()
		return nil, fmt.Errorf("reserve a port: %w", err)
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		p.release()
		return nil, fmt.Errorf("reserve a port: %w", err)
	}
	p.number = address.(*unix.SockaddrInet4).Port
	return p, nil
}

func (p *port) String() string { return strconv.Itoa(p.number) }

// release gives the port back. nil is none.
func (p *port) release() {
	if p != nil {
		p.once.Do(func() { _ = unix.Close(p.fd) })
	}
}
