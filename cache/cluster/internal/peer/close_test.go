package peer

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// waits returns a Backend that is at work until end is closed, or its context ends.
func waits() (b backend, begun, end chan struct{}) {
	begun, end = make(chan struct{}, 1000), make(chan struct{})
	return backend{fetch: func(ctx context.Context, _, key string, _ []byte) (Value, error) {
		begun <- struct{}{}
		select {
		case <-end:
			return Value{Data: []byte(key)}, nil
		case <-ctx.Done():
			return Value{}, ctx.Err()
		}
	}}, begun, end
}

// A Server that closes finishes the requests that it has begun with, and refuses others.
func TestServerClose(t *testing.T) {
	back, begun, end := waits()
	n := connect(t, http1, configA(), configB(), back)
	errs := make(chan error, 1)
	go func() { _, err := n.fetch(t.Context(), "k"); errs <- err }()
	receive(t, begun, "the request")
	closed := make(chan error, 1)
	go func() { closed <- n.server.Close(t.Context()) }()
	require.Eventually(t, func() bool {
		// A request that came before Close did is waited for like the first.
		ctx, cancel := context.WithTimeout(t.Context(), testPeerTimeout/20)
		defer cancel()
		_, err := n.fetch(ctx, "k")
		var u *UnavailableError
		return errors.As(err, &u) && u.Reason == Closing
	}, testPeerTimeout, testPeerTimeout/10)
	require.Empty(t, closed, "it waits")
	close(end)
	require.NoError(t, receive(t, errs, "the answer"))
	require.NoError(t, receive(t, closed, "the end of Close"))
	require.NoError(t, n.server.Close(t.Context()), "again")
	assert.Equal(t, "closed", n.client.Breaker(n.to))
}

// If ctx of Close ends first, the requests' contexts end, and their askers get the reason that the
// node is closing.
func TestServerCloseWithoutTime(t *testing.T) {
	back, begun, _ := waits()
	n := connect(t, http1, configA(), configB(), back)
	errs := make(chan error, 1)
	go func() { _, err := n.fetch(t.Context(), "k"); errs <- err }()
	receive(t, begun, "the request")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errLeft)
	require.Equal(t, errLeft, n.server.Close(ctx))
	unavailable(t, receive(t, errs, "the answer"), Closing)
	require.NoError(t, n.server.Close(t.Context()))
}

func TestClientClose(t *testing.T) {
	back, begun, _ := waits()
	n := connect(t, http1, configA(), configB(), back)
	errs := make(chan error, 1)
	go func() { _, err := n.fetch(t.Context(), "k"); errs <- err }()
	receive(t, begun, "the request")
	n.client.Close()
	unavailable(t, receive(t, errs, "the error"), Closing)
	_, err := n.fetch(t.Context(), "k")
	unavailable(t, err, Closing)
	require.NoError(t, n.server.Close(t.Context()), "the request has ended there, too")
	n.client.Close()
}
