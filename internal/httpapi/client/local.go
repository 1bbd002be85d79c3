package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
)

// InProcess makes a Client of an API that is served in this very process: requests
// go to h directly and no listener is involved. name stands where messages name
// the server.
func InProcess(name string, h http.Handler) *Client {
	return &Client{
		base: &url.URL{Scheme: "http", Host: "localhost"}, name: name,
		http: &http.Client{Transport: handlerTransport{h}},
	}
}

// handlerTransport answers requests by calling a handler. The answer's body is
// read while the handler writes it; its Close, or the end of the request's
// context, ends the handler's context and its writes.
type handlerTransport struct{ handler http.Handler }

// RoundTrip returns when the handler has written its header.
func (t handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	inner := r.Clone(ctx)
	inner.Host = r.URL.Host
	inner.RequestURI = r.URL.RequestURI()
	if inner.Body == nil {
		inner.Body = http.NoBody
	}
	body, out := io.Pipe()
	w := &pipeWriter{header: http.Header{}, pipe: out, begun: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { _ = out.CloseWithError(ctx.Err()) })
	go func() {
		defer stop()
		defer func() { w.end(recover()) }()
		t.handler.ServeHTTP(w, inner)
	}()
	select {
	case <-w.begun:
	case <-r.Context().Done():
		cancel()
		return nil, r.Context().Err()
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: &localBody{body, cancel}, ContentLength: -1, Request: r,
	}, nil
}

// pipeWriter is the handler's side of an answer.
type pipeWriter struct {
	header http.Header
	pipe   *io.PipeWriter

	once   sync.Once
	begun  chan struct{} // closed when status and sent are set
	status int
	sent   http.Header
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.begun)
	})
}

func (w *pipeWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pipe.Write(b)
}

// Flush has nothing to do: a write is read before it returns.
func (w *pipeWriter) Flush() { w.WriteHeader(http.StatusOK) }

// end is called with what the handler panicked with, nil when it returned. As
// in net/http, http.ErrAbortHandler tells the reader that this is not the end.
func (w *pipeWriter) end(panicked any) {
	w.WriteHeader(http.StatusOK)
	if panicked == nil {
		_ = w.pipe.Close()
		return
	}
	if err, ok := panicked.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		_ = w.pipe.CloseWithError(io.ErrUnexpectedEOF)
		return
	}
	panic(panicked)
}

// localBody ends the handler when its reader has seen enough.
type localBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b *localBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}
