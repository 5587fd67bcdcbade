package peer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

var errSilent = errors.New("nothing was heard of it in time")

// listener gives up a request when the node has been silent for too long.
type listener struct {
	timer   *time.Timer
	silence time.Duration
}

func (l *listener) heard() { l.timer.Reset(l.silence) }

// attempt sends one request and reads its answer. Its error is a *failure, or one of the RoundTripper's.
func (c *Client) attempt(
	ctx context.Context, t *target, e endpoint, body []byte, limit int, trace http.Header,
) (reply, error) {
	h := t.headers()
	for name, values := range trace {
		h[name] = values
	}
	own := &c.config
	said := head{cache: own.Cache, node: own.Node, from: own.Run, to: t.to.Run, silence: own.Silence}
	if deadline, ok := ctx.Deadline(); ok {
		said.timeout = max(time.Until(deadline), 1)
		h[headerTimeout] = []string{strconv.FormatInt(int64(said.timeout), 10)}
	}
	var sent mac
	if c.signer != nil {
		s := stamp{t.epoch.Load(), c.counter.Add(1)}
		sent = c.signer.request(e, &said, s, body)
		h[headerAuth] = []string{formatAuth(s, sent)}
	}

	asking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.closed, func() { cancel(ErrClosing) })()
	l := &listener{silence: c.silence()}
	l.timer = time.AfterFunc(l.silence, func() { cancel(errSilent) })
	defer l.timer.Stop()

	asking = httptrace.WithClientTrace(asking, &httptrace.ClientTrace{
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			if code == http.StatusProcessing {
				l.heard()
			}
			return nil
		},
	})
	open := func() (io.ReadCloser, error) {
		if len(body) == 0 {
			return http.NoBody, nil
		}
		return &sending{Reader: bytes.NewReader(body), listener: l}, nil
	}
	r := (&http.Request{
		Method: http.MethodPost, URL: t.url(e), Host: t.fetch.Host, Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(body)), GetBody: open,
	}).WithContext(asking)
	r.Body, _ = open()

	res, err := c.rt.RoundTrip(r)
	if err == nil {
		defer res.Body.Close()
		l.heard()
		var a reply
		if a, err = c.read(res, &hearing{res.Body, l}, limit, sent); err == nil {
			return a, nil
		}
	}
	if errors.Is(context.Cause(asking), errSilent) && ctx.Err() == nil {
		return reply{}, fail(Silent, errSilent)
	}
	if isOldProtocol(err) && t.fetch.Scheme == "http" {
		err = fail(OtherVersion, &plainError{err})
	}
	return reply{}, err
}

// sending is the body of a request: as long as it is taken, somebody listens.
type sending struct {
	*bytes.Reader
	listener *listener
}

func (s *sending) Read(p []byte) (int, error) {
	s.listener.heard()
	return s.Reader.Read(p)
}

// WriteTo of bytes.Reader would pass Read by.
func (s *sending) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{s})
}

func (s *sending) Close() error { return nil }

// hearing is the body of an answer.
type hearing struct {
	io.Reader
	listener *listener
}

func (h *hearing) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if n > 0 {
		h.listener.heard()
	}
	return n, err
}

// plainError says what to do about a server that does not speak HTTP/2 without TLS.
type plainError struct{ err error }

func (e *plainError) Error() string {
	return "it does not speak HTTP/2 without TLS: set the Protocols of its http.Server to cluster.Protocols(), " +
		"or use https (" + e.err.Error() + ")"
}

func (e *plainError) Unwrap() error { return e.err }

// isOldProtocol reports whether err is what net/http says when an HTTP/1 server answers an HTTP/2 client. There is no
// value to compare with.
func isOldProtocol(err error) bool {
	return err != nil && strings.Contains(err.Error(), "looked like an HTTP/1.1 header")
}
