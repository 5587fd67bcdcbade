package peer

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A burst makes a connection for each request, up to a bound. A request beyond that waits for a
// while, and is served if a connection becomes free. All are kept for the next burst.
func TestConnectionsOfABurst(t *testing.T) {
	const burst = 400
	a := configA()
	a.PeerTimeout = 2 * time.Second
	back, begun, end := waits()
	s := NewServer(configB(), back)
	l := newCountingListener(t)
	h := &http.Server{Handler: s, ReadHeaderTimeout: testPeerTimeout, ErrorLog: quiet(),
		ConnState: l.count}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Serve(l)
	}()
	defer func() {
		_ = h.Close()
		<-done
	}()
	c := NewClient(a, nil)
	defer c.Close()
	to := Address{Node: "b", URL: "http://" + l.Addr().String(), Incarnation: incarnationB}
	var good, refused atomic.Int64
	herd := func(ended func()) {
		good.Store(0)
		refused.Store(0)
		var wg sync.WaitGroup
		for range burst {
			wg.Go(func() {
				_, err := c.Fetch(t.Context(), to, "k", nil)
				var u *UnavailableError
				switch {
				case err == nil:
					good.Add(1)
				case errors.As(err, &u) && u.Reason == Busy:
					refused.Add(1)
				}
			})
		}
		ended()
		wg.Wait()
	}
	herd(func() {
		for range maxConns {
			receive(t, begun, "a request")
		}
		require.Eventually(t, func() bool { return refused.Load() == burst-maxConns }, testPeerTimeout,
			time.Millisecond)
		assert.EqualValues(t, maxConns, l.open.Load())
		close(end)
	})
	assert.EqualValues(t, maxConns, good.Load())
	assert.Equal(t, "closed", c.Breaker(to), "the bound says nothing of the node")
	herd(func() {})
	assert.EqualValues(t, burst, good.Load(),
		"whoever waits for a connection gets one, if loads are quick")
	assert.Less(t, l.all.Load(), int64(burst), "in both bursts")
	c.Forget(func(Address) bool { return false })
	require.Eventually(t, func() bool { return l.open.Load() == 0 }, testPeerTimeout, time.Millisecond,
		"of a node that is gone")
}

// countingListener counts its connections.
type countingListener struct {
	net.Listener
	open, all atomic.Int64
}

func newCountingListener(tb testing.TB) *countingListener {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	return &countingListener{Listener: l}
}

func (l *countingListener) count(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		l.open.Add(1)
		l.all.Add(1)
	case http.StateClosed, http.StateHijacked:
		l.open.Add(-1)
	case http.StateActive, http.StateIdle:
	}
}

// Servers that come and go, and callers who leave, must not use up the connections to a host.
func TestConnectionsAreNotUsedUp(t *testing.T) {
	s := NewServer(configB(), backend{fetch: echo})
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	c := NewClient(configA(), transport(t, http1))
	defer c.Close()
	to := Address{Node: "b", URL: "http://" + addr, Incarnation: incarnationB}
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
		require.Zero(t, herd(30), "no server is there")
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
		require.NoError(t, err)
		h := &http.Server{Handler: s, Protocols: protocolsOf(http1), ReadHeaderTimeout: testPeerTimeout,
			ErrorLog: quiet()}
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

// A request over a connection that the node had closed before is sent once more, and no other
// request is.
func TestStaleConnection(t *testing.T) {
	for name, c := range map[string]struct {
		reused bool
		sent   int
	}{"used before": {true, 2}, "new": {false, 1}} {
		t.Run(name, func(t *testing.T) {
			sent := 0
			k := NewClient(configA(), roundTrips(func(r *http.Request) (*http.Response, error) {
				sent++
				httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{Reused: c.reused})
				return nil, errNetwork
			}))
			defer k.Close()
			_, err := k.Fetch(t.Context(), toB, "k", nil)
			unavailable(t, err, Lost)
			assert.Equal(t, c.sent, sent)
		})
	}
}
