package cluster

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
)

// A trail is the way of a fetch through the cluster: it holds the host that was asked last, if that
// has not answered. The flight that the fetch begins carries it to the requests that it makes and
// to its load.
type trail struct{ vain atomic.Pointer[string] }

type trailKey struct{}

func withTrail(ctx context.Context) context.Context {
	return context.WithValue(ctx, trailKey{}, new(trail))
}

// vainOf returns the host that the flight in ctx has asked last, if it has not answered.
func vainOf(ctx context.Context) string {
	if t, ok := ctx.Value(trailKey{}).(*trail); ok {
		if host := t.vain.Load(); host != nil {
			return *host
		}
	}
	return ""
}

// A tracer is a transport that leaves trails.
type tracer struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (t tracer) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.Transport.RoundTrip(r)
	on, ok := r.Context().Value(trailKey{}).(*trail)
	switch {
	case !ok:
	case err != nil:
		on.vain.Store(&r.URL.Host)
	default:
		on.vain.Store(nil)
		answer.Body = &tracedBody{answer.Body, on, r.URL.Host}
	}
	return answer, err
}

// A tracedBody is an answer that may break off.
type tracedBody struct {
	io.ReadCloser
	on   *trail
	host string
}

// Read implements io.Reader.
func (b *tracedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.on.vain.Store(&b.host)
	}
	return n, err
}
