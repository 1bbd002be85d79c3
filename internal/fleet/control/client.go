package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/queuemill/queuemill/internal/fleet"
)

// ErrUnauthorized: the worker there does not know the token, so it is not the
// one that was meant.
var ErrUnauthorized = errors.New("the worker refuses the token")

// Client asks one worker. It is safe for concurrent use and holds nothing open
// between calls.
type Client struct {
	token string
	http  http.Client
}

// NewClient asks the worker that dial reaches. Calls take as long as their ctx.
func NewClient(token string, dial func(ctx context.Context) (net.Conn, error)) *Client {
	return &Client{token: token, http: http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
			// A connection kept could be to a worker that is no more.
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Report asks how it does.
func (c *Client) Report(ctx context.Context) (fleet.Report, error) {
	r, err := c.call(ctx, http.MethodGet, reportPath, nil)
	if err != nil {
		return r, fmt.Errorf("ask the worker: %w", err)
	}
	return r, nil
}

// Drain asks it to receive no more, or on false to go on; see Worker for the
// term. After an error it is not known which of the two it does.
func (c *Client) Drain(ctx context.Context, on bool, term int64) (fleet.Report, error) {
	body, err := json.Marshal(drainRequest{Drain: &on, Term: term})
	if err != nil {
		return fleet.Report{}, err
	}
	r, err := c.call(ctx, http.MethodPost, drainPath, body)
	if err != nil {
		return r, fmt.Errorf("drain the worker: %w", err)
	}
	if r.Draining != on {
		return r, fmt.Errorf("drain the worker: asked for draining %v, it says %v", on, r.Draining)
	}
	return r, nil
}

// Healthy asks whether it can work; the error says what is stuck or not there
// yet.
func (c *Client) Healthy(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://worker/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the worker: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(strings.TrimSpace(string(text)))
	}
	return err
}

func (c *Client) call(ctx context.Context, method, path string, body []byte) (r fleet.Report, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://worker"+path, bytes.NewReader(body))
	if err != nil {
		return r, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return r, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	switch {
	case err != nil:
		return r, err
	case resp.StatusCode == http.StatusUnauthorized:
		return r, ErrUnauthorized
	case resp.StatusCode != http.StatusOK:
		return r, fmt.Errorf("it answers %s: %s", resp.Status, strings.TrimSpace(string(data)))
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("read its answer: %w", err)
	}
	return r, nil
}
