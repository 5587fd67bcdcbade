package peer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asksAndStops sends a request for a value by hand and reads nothing of the answer.
func asksAndStops(tb testing.TB, base string) net.Conn {
	tb.Helper()
	u, err := url.Parse(base)
	require.NoError(tb, err)
	c, err := (&net.Dialer{}).DialContext(tb.Context(), "tcp", u.Host)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = c.Close() })
	//nolint:errcheck,forcetypeassert // it is one
	require.NoError(tb, c.(*net.TCPConn).SetReadBuffer(4096))
	_, err = io.WriteString(c, byHand())
	require.NoError(tb, err)
	return c
}

// An asker that does not read what it asked for does not hold a place for ever.
func TestAskerThatDoesNotRead(t *testing.T) {
	b := configB()
	b.PeerTimeout = time.Millisecond // so that its partTimeout is a second
	b.MaxValue = 32 << 20
	large := backend{fetch: func(context.Context, string, string, []byte) (Value, error) {
		return Value{Data: make([]byte, 32<<20)}, nil
	}}
	t.Run("http1", func(t *testing.T) {
		t.Parallel()
		s := NewServer(b, large)
		asksAndStops(t, serveOn(t, http1, s))
		isIdle(t, s)
	})
	t.Run("h2c", func(t *testing.T) {
		t.Parallel()
		s := NewServer(b, large)
		rt := transport(t, http1)
		u, err := url.Parse(serveOn(t, http1, s) + "/v1/fetch")
		require.NoError(t, err)
		h := newTarget(&Config{Node: "a", Incarnation: incarnationA, Cache: "things", PeerTimeout: time.Second}, toB,
			nil).header
		r := (&http.Request{
			Method: http.MethodPost, URL: u, Header: h, ContentLength: 3,
			Body: io.NopCloser(strings.NewReader("\x00\x00k")),
		}).WithContext(t.Context())
		res, err := rt.RoundTrip(r)
		require.NoError(t, err)
		defer res.Body.Close()
		isIdle(t, s)
		_, err = io.Copy(io.Discard, res.Body)
		assert.Error(t, err, "the answer was broken off")
	})
}

// isIdle waits until s has a request, and then until it has none.
func isIdle(tb testing.TB, s *Server) {
	tb.Helper()
	count := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.running)
	}
	require.Eventually(tb, func() bool { return count() > 0 }, testPeerTimeout, time.Millisecond)
	require.Eventually(tb, func() bool { return count() == 0 }, testPeerTimeout, 10*time.Millisecond)
}

// Nor does an asker that never finishes its request.
func TestAskerThatDoesNotSend(t *testing.T) {
	b := configB()
	b.PeerTimeout = time.Millisecond
	for _, p := range bothProtocols {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			s := NewServer(b, backend{})
			u, err := url.Parse(serveOn(t, p, s) + "/v1/fetch")
			require.NoError(t, err)
			h := newTarget(&Config{Node: "a", Incarnation: incarnationA, Cache: "things", PeerTimeout: time.Second}, toB,
				nil).header
			body, end := io.Pipe()
			defer end.Close()
			go func() { _, _ = end.Write([]byte("\x00")) }()
			r := &http.Request{Method: http.MethodPost, URL: u, Header: h, ContentLength: 2, Body: body}
			res, err := transport(t, p).RoundTrip(r.WithContext(t.Context()))
			require.NoError(t, err)
			defer res.Body.Close()
			assert.Equal(t, http.StatusRequestTimeout, res.StatusCode)
			isGone(t, s)
			assert.Equal(t, Refused{Malformed: 1}, s.Refused())
		})
	}
}

func isGone(tb testing.TB, s *Server) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), testPeerTimeout)
	defer cancel()
	require.NoError(tb, s.Close(ctx))
}

// The deadline of one answer must not end the next one on the same connection.
func TestDeadlinesDoNotStay(t *testing.T) {
	t.Parallel()
	b := configB()
	b.PeerTimeout = time.Millisecond
	slow := true
	s := NewServer(b, backend{fetch: func(context.Context, string, string, []byte) (Value, error) {
		if slow {
			time.Sleep(600 * time.Millisecond) // so that deadlines are set, with the 102s
		}
		return Value{Data: []byte("v")}, nil
	}})
	c := asksAndStops(t, serveOn(t, http1, s))
	r := bufio.NewReader(c)
	answer := func() {
		for {
			res, err := http.ReadResponse(r, nil)
			require.NoError(t, err)
			data, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			if res.StatusCode != http.StatusProcessing {
				require.Equal(t, "v", string(data))
				return
			}
		}
	}
	answer()
	slow = false
	time.Sleep(1200 * time.Millisecond) // longer than what was set
	_, err := io.WriteString(c, byHand())
	require.NoError(t, err)
	answer()
}

// byHand is a request for a value as it goes over HTTP/1.
func byHand() string {
	var b strings.Builder
	b.WriteString("POST /v1/fetch HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n")
	for name, values := range newTarget(&Config{Node: "a", Incarnation: incarnationA, Cache: "things",
		PeerTimeout: time.Second}, toB, nil).header {
		fmt.Fprintf(&b, "%s: %s\r\n", name, values[0])
	}
	return b.String() + "\r\n\x00\x00k"
}
