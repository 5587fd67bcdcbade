package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
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

var errSilent = errors.New("nothing came from it in time")

// silenceTimer gives up a request after nothing has come from the node for limit.
type silenceTimer struct {
	timer *time.Timer
	limit time.Duration

	connected atomic.Bool
	fresh     atomic.Bool   // the connection was made for the request
	answered  atomic.Bool   // a byte of the response has come
	spoken    bool          // the response was HTTP
	signs     atomic.Uint64 // life signs that have arrived
}

func (l *silenceTimer) restart() { l.timer.Reset(l.limit) }

// attempt sends one request and reads its answer. Its error is a *failure, or an error of the
// RoundTripper.
func (c *Client) attempt(
	ctx context.Context, t *target, q question, trace http.Header,
) (reply, error) {
	if (c.config.Identity != nil || c.config.TLS != nil) && t.urls[q.endpoint].Scheme != "https" {
		return reply{}, fail(Denied, errNotTLS) // anybody could answer, or read along
	}
	h := maps.Clone(t.header)
	maps.Copy(h, trace)
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
			// A Reader that can't block, as net/http knows: it sends the body together with the headers.
			return io.NopCloser(bytes.NewReader(q.body)), nil
		}
		return &requestBody{Reader: bytes.NewReader(q.body), timer: l}, nil
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

// compareSigns notes whether all life signs that the node has sent have arrived. That some have is
// no proof that they arrive in time: http.TimeoutHandler passes one on, together with the answer.
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

// inOnePacket bounds the bodies, in bytes, that are sent without restarting the silenceTimer.
const inOnePacket = 4 << 10

// requestBody is the body of a request. Each read of it restarts the silenceTimer, since the node
// takes the bytes.
type requestBody struct {
	*bytes.Reader
	timer *silenceTimer
}

func (s *requestBody) Read(p []byte) (int, error) {
	s.timer.restart()
	return s.Reader.Read(p)
}

// WriteTo hides that of bytes.Reader, which does not call Read.
func (s *requestBody) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{s})
}

func (s *requestBody) Close() error { return nil }

// answerBody is the body of an answer. Each read of it restarts the silenceTimer.
type answerBody struct {
	io.Reader
	timer *silenceTimer
}

func (h *answerBody) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if n > 0 {
		h.timer.restart()
	}
	return n, err
}

// explain returns err, of a request to u, as a *failure whose reason fits best.
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
		// crypto/tls marks an alert of the other side so
		return fail(Denied, fmt.Errorf("it does not accept the certificate of this node: %w", err))
	case l.answered.Load():
		broken := errors.As(err, &network) || errors.Is(err, io.EOF) ||
			errors.Is(err, io.ErrUnexpectedEOF)
		if !broken && !l.spoken && l.signs.Load() == 0 {
			return fail(OtherService, fmt.Errorf("what answers there is not HTTP: %w", err))
		}
	case u.Scheme == "https" && l.fresh.Load() &&
		(errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)):
		// With TLS 1.3 the other side verifies our certificate after we have begun to send, and closes
		// without reading on: the alert may be lost.
		return fail(Denied, fmt.Errorf(
			"it closed a new connection, as if it did not accept the certificate of this node: %w", err))
	}
	f := &failure{reason: Unreachable, err: err, stale: !l.fresh.Load() && l.connected.Load() &&
		!l.answered.Load()}
	switch {
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH),
		errors.Is(err, syscall.ETIMEDOUT):
		// The network has given up, which says nothing about the node.
	case l.spoken: // the answer has begun, so the load has ended
	case l.connected.Load():
		f.reason = Lost
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		// the latter while the process ends
		f.reason = NotListening
	}
	return f
}
