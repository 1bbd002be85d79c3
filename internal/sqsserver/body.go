package sqsserver

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	// maxBody is the largest request, in bytes. A batch may carry 1 MiB of
	// text; the worst spelling of it is six bytes of JSON for one (\u0009), so
	// that fits with its frame, and three percent-encoded bytes for one in
	// Query, where JSON inside of it has quotes to escape as well.
	maxBody = 8 << 20

	// smallBody is what every request may take without asking, in bytes.
	smallBody = 64 << 10

	// largeBodies is what all requests over smallBody may take together.
	largeBodies = 256 << 20

	// bodyTimeout is how long a client may take to send a body. Real ones take
	// milliseconds; it is what ends one that sends a byte a second.
	bodyTimeout = 30 * time.Second
)

// readBody reads the whole body into sc. Memory is taken as bytes arrive, never
// for what Content-Length says.
func (s *Server) readBody(c *call, sc *scratch) ([]byte, error) {
	r := c.r
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if r.ContentLength > maxBody {
		return nil, tooLarge(c)
	}
	b := sc.in[:0]
	if n := r.ContentLength; n >= int64(cap(b)) && n < smallBody {
		b = make([]byte, 0, n+1) // and one to see the end
	}
	for {
		if len(b) == cap(b) {
			grown, err := s.grow(c, b)
			if err != nil {
				return nil, err
			}
			b = grown
		}
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if len(b) > maxBody {
			return nil, tooLarge(c)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, bodyError(c, err)
		}
	}
	sc.in = b
	return b, c.readUntil(time.Time{}) // what follows may be a long poll
}

// readUntil sets until when the connection may be read; zero: as long as it takes.
// A request that is refused unread keeps its deadline: net/http still reads
// what is left of the body, to use the connection again.
func (c *call) readUntil(t time.Time) error {
	err := http.NewResponseController(c.w).SetReadDeadline(t)
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("limit the time to read a request: %w", err)
	}
	return nil
}

// grow doubles b, and takes what is over smallBody from the common store; the
// call gives it back at its end.
func (s *Server) grow(c *call, b []byte) ([]byte, error) {
	size := min(max(2*cap(b), 4<<10), maxBody+1)
	if size > smallBody {
		need := int64(size) - c.held
		if !s.memory.TryAcquire(need) {
			c.hangUp()
			return nil, failf(codeUnavailable, "Too many large requests at once. Try again.")
		}
		c.held += need
	}
	grown := make([]byte, len(b), size)
	copy(grown, b)
	return grown, nil
}

func tooLarge(c *call) error {
	c.hangUp()
	return failf(codeTooLarge, "The request is larger than %d bytes.", maxBody)
}

func bodyError(c *call, err error) error {
	c.hangUp()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return failf(codeRequestTimeout, "The request was not complete within %d seconds.", int(bodyTimeout.Seconds()))
	}
	return failf(codeMalformedQuery, "The request ended before its body was complete.")
}
