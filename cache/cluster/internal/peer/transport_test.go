package peer

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A herd that comes at a node which is not connected yet makes a few connections, not one for each.
func TestHerdMakesFewConnections(t *testing.T) {
	b := configB()
	b.MaxRequests = 5000
	n := connect(t, h2c, configA(), b, backend{fetch: echo})
	rt := DefaultTransport(nil, patienceOfTests)
	defer rt.CloseIdleConnections()
	var dials atomic.Int64
	dial := rt.DialContext
	rt.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return dial(ctx, network, addr)
	}
	n.client.rt = rt
	const herd = 2000
	var wg sync.WaitGroup
	errs := make(chan error, herd)
	for range herd {
		wg.Go(func() {
			_, err := n.fetch(t.Context(), "k")
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	assert.Less(t, dials.Load(), int64(herd/10))
	t.Logf("%d connections", dials.Load())
}

// Servers that come and go and callers who leave must not use up the connections that a host may have.
func TestConnectionsAreNotUsedUp(t *testing.T) {
	s := NewServer(configB(), backend{fetch: echo})
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	c := NewClient(configA(), transport(t, h2c))
	defer c.Close()
	to := Address{Node: "b", URL: "http://" + addr, Run: runB}
	herd := func(n int) (good int64) {
		c.Forget(func(Address) bool { return false })
		var ok atomic.Int64
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i%3 == 0 {
					go cancel()
				}
				if _, err := c.Fetch(ctx, to, "k", nil); err == nil {
					ok.Add(1)
				}
			})
		}
		wg.Wait()
		return ok.Load()
	}
	for range 15 {
		require.Zero(t, herd(30), "nobody is there")
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
		require.NoError(t, err)
		h := &http.Server{Handler: s, Protocols: protocolsOf(h2c), ReadHeaderTimeout: patienceOfTests, ErrorLog: quiet()}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = h.Serve(l)
		}()
		require.GreaterOrEqual(t, herd(90), int64(60), "all who did not leave are served")
		require.NoError(t, h.Close())
		receive(t, done, "the end of the server")
	}
}
