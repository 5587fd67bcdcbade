package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

var errSilent = errors.New("nothing was heard of it in time")

// listener gives up a request when the node has been silent for too long.
type silenceTimer struct {
	timer *time.Timer
	limit time.Duration

	connected atomic.Bool
	fresh     atomic.Bool   // the connection was made for the request
	answered  atomic.Bool   // something has come back
	spoken    bool          // it was HTTP
	signs     atomic.Uint64 // life signs that have arrived
}

func (l *silenceTimer) restart() { l.timer.Reset(l.limit) }

// attempt sends one request and reads its answer. Its error is a *failure, or one of the
// RoundTripper's.
func (c *Client) attempt(
	ctx context.Context, t *target, q question, trace http.Header,
) (reply, error) {
	if (c.config.Identity != nil || c.config.TLS != nil) && t.urls[q.endpoint].Scheme != "https" {
		return reply{}, fail(Denied, errNotTLS) // it could be anybody, and others could read the request
	}
	h := t.headers()
	for name, values := range trace {
		h[name] = values
	}
	if deadline, ok := ctx.Deadline(); ok {
		h[headerTimeout] = []string{strconv.FormatInt(int64(max(time.Until(deadline), 1)), 10)}
	}

	asking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.closed, func() { cancel(ErrClosing) })()
	l := &silenceTimer{limit: c.peerTimeout()}
	l.timer = time.AfterFunc(l.limit, func() { cancel(errSilent) })
	defer l.timer.Stop()

	asking = httptrace.WithClientTrace(asking, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			l.fresh.Store(!i.Reused)
			l.connected.Store(true)
		},
		GotFirstResponseByte: func() { l.answered.Store(true) },
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			if code == http.StatusProcessing {
				l.signs.Add(1)
				l.restart()
			}
			return nil
		},
	})
	open := func() (io.ReadCloser, error) {
		switch n := len(q.body); {
		case n == 0:
			return http.NoBody, nil
		case n <= inOnePacket:
			// net/http knows that this can't block, and sends it together with the headers
			return io.NopCloser(bytes.NewReader(q.body)), nil
		}
		return &requestBody{Reader: bytes.NewReader(q.body), listener: l}, nil
	}
	u := t.urls[q.endpoint]
	r := (&http.Request{
		Method: http.MethodPost, URL: u, Host: u.Host, Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(q.body)), GetBody: open,
	}).WithContext(asking)
	r.Body, _ = open()

	res, err := t.rt.RoundTrip(r)
	if err == nil {
		defer res.Body.Close()
		l.spoken = true
		l.restart()
		var a reply
		if a, err = c.read(res, &answerBody{res.Body, l}, q); err == nil {
			c.compareSigns(t, a.signs, l)
			return a, nil
		}
	}
	switch {
	case !errors.Is(context.Cause(asking), errSilent) || ctx.Err() != nil:
		return reply{}, l.explain(err, u)
	case t.signsLost.Load():
		return reply{}, fail(NoLifeSigns, errSilent)
	}
	return reply{}, fail(Silent, errSilent)
}

// compareSigns notes whether life signs were sent that have not arrived. That some have is no proof
// that they do in time: http.TimeoutHandler passes one on, together with the answer.
func (c *Client) compareSigns(t *target, sent uint64, l *silenceTimer) {
	if sent == 0 {
		return
	}
	lost := l.signs.Load() < sent
	if t.signsLost.Swap(lost) == lost || !lost {
		return
	}
	c.config.Logger.Warn("life signs of a node do not arrive", "peer", t.to.Node, "url", t.to.URL,
		"advice", NoLifeSigns.Advice())
}

// inOnePacket bounds the bodies, in bytes, that are sent without listening how it goes.
const inOnePacket = 4 << 10

// sending is the body of a request: as long as it is taken, somebody listens.
type requestBody struct {
	*bytes.Reader
	listener *silenceTimer
}

func (s *requestBody) Read(p []byte) (int, error) {
	s.listener.restart()
	return s.Reader.Read(p)
}

// WriteTo of bytes.Reader would pass Read by.
func (s *requestBody) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{s})
}

func (s *requestBody) Close() error { return nil }

// hearing is the body of an answer.
type answerBody struct {
	io.Reader
	listener *silenceTimer
}

func (h *answerBody) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if n > 0 {
		h.listener.restart()
	}
	return n, err
}

// explain returns err, of a request to u, as a *failure that says whose mistake it may be.
func (l *silenceTimer) explain(err error, u *url.URL) error {
	var alert, network *net.OpError
	switch {
	case errors.As(err, new(*failure)):
		return err
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, new(tls.RecordHeaderError)):
		return fail(TLSMismatch, fmt.Errorf("its URL is https, and its server speaks no TLS: %w", err))
	case errors.As(err, new(*tls.CertificateVerificationError)), errors.Is(err, errNoCertificate):
		return fail(Denied, fmt.Errorf("this node does not accept its certificate: %w", err))
	case errors.As(err, &alert) && alert.Op == "remote error":
		// so crypto/tls marks an alert of the other side
		return fail(Denied, fmt.Errorf("it does not accept the certificate of this node: %w", err))
	case l.answered.Load():
		broken := errors.As(err, &network) || errors.Is(err, io.EOF) ||
			errors.Is(err, io.ErrUnexpectedEOF)
		if !broken && !l.spoken && l.signs.Load() == 0 {
			return fail(OtherService, fmt.Errorf("what answers there is not HTTP: %w", err))
		}
	case u.Scheme == "https" && l.fresh.Load() &&
		(errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)):
		// With TLS 1.3 the other side looks at our certificate when we have begun to send, and
		// closes without having read that: the alert may be lost.
		return fail(Denied, fmt.Errorf(
			"it closed a new connection, as if it did not accept the certificate of this node: %w", err))
	}
	f := &failure{reason: Unreachable, err: err, stale: !l.fresh.Load() && l.connected.Load() &&
		!l.answered.Load()}
	switch {
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH),
		errors.Is(err, syscall.ETIMEDOUT):
		// The network has given up. Nobody knows how the node is.
	case l.spoken: // the answer has begun, so what the node did for it has ended
	case l.connected.Load():
		f.reason = Lost
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		// the latter if it ends right now
		f.reason = NotListening
	}
	return f
}
