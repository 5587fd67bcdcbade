package cluster

import (
	"context"
	"io"
	"net/http"
	"sync"
)

// A trail is the way of a fetch through the cluster. The flight that the fetch begins carries it to
// the requests that it makes and to its load.
type trail struct {
	mu   sync.Mutex // guards vain
	vain string     // the host that was asked last, if it has not answered
}

type trailKey struct{}

func withTrail(ctx context.Context) context.Context {
	return context.WithValue(ctx, trailKey{}, new(trail))
}

// note notes who was asked in vain last.
func (t *trail) note(vain string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.vain = vain
}

// vainOf returns the host that the flight in ctx has asked last, if it has not answered.
func vainOf(ctx context.Context) string {
	t, ok := ctx.Value(trailKey{}).(*trail)
	if !ok {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.vain
}

// A tracer is a transport that leaves trails.
type tracer struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (t tracer) RoundTrip(r *http.Request) (*http.Response, error) {
	on, ok := r.Context().Value(trailKey{}).(*trail)
	if !ok {
		return t.Transport.RoundTrip(r)
	}
	answer, err := t.Transport.RoundTrip(r)
	if err != nil {
		on.note(r.URL.Host)
		return nil, err
	}
	on.note("")
	answer.Body = &tracedBody{answer.Body, on, r.URL.Host}
	return answer, nil
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
		b.on.note(b.host)
	}
	return n, err
}
