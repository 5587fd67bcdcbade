package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stranger opens a request which announces a body of length bytes, sends the first byte of it, and
// waits.
func stranger(tb testing.TB, url string, length int) net.Conn {
	tb.Helper()
	scheme, host, _ := strings.Cut(url, "://")
	c, err := (&net.Dialer{}).DialContext(tb.Context(), "tcp", host)
	require.NoError(tb, err)
	if scheme == "https" {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a stranger
	}
	_, err = io.WriteString(c, strings.Replace(strings.TrimSuffix(byHand(), "\x00\x00k"),
		"Content-Length: 3",
		fmt.Sprint("Content-Length: ", length), 1)+"\x00")
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// However many requests strangers hold open, all nodes that belong to the cluster are served, up to
// the last place.
func TestStrangersTakeNoPlace(t *testing.T) {
	const places = 400
	strangers := 1000 // of each kind
	if testing.Short() {
		strangers = 200
	}
	ca := newAuthority(t, "ours")
	lax := func(c *tls.Config) *tls.Config { // so that strangers reach the handler
		c.ClientAuth, c.VerifyConnection = tls.VerifyClientCertIfGiven, nil
		if c.ClientCAs == nil {
			c.ClientAuth = tls.RequestClientCert
		}
		return c
	}
	cert := ca.issue(t, "a")
	for name, change := range map[string]func(a, b *Config) (server *tls.Config){
		"SharedKeys": func(a, b *Config) *tls.Config {
			a.Identity = identity(t, sharedKey(1))
			b.Identity = a.Identity
			return lax(a.Identity.Config())
		},
		"TLS": func(a, b *Config) *tls.Config {
			a.TLS = &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: ca.pool,
				Certificates: []tls.Certificate{cert}}
			b.TLS = a.TLS
			return lax(&tls.Config{
				MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{ca.issue(t, "b")},
				ClientCAs: ca.pool,
			})
		},
		"Authorize": func(a, b *Config) *tls.Config {
			a.Propagator = headers{}
			b.Authorize = func(r *http.Request) error {
				if r.Header.Get("X-Token") != "good" {
					return errNoAccess
				}
				return nil
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := configA(), configB()
			b.MaxRequests = places
			server := change(&a, &b)
			back, begun, end := waits()
			s := NewServer(b, back)
			to := Address{Node: "b", URL: serveWith(t, http1, s, server), Incarnation: incarnationB}
			for range strangers {
				stranger(t, to.URL, 200_000)
			}
			require.Eventually(t, func() bool {
				return s.Refused().Unauthenticated == uint64(strangers) //nolint:gosec // not negative
			}, testPeerTimeout, time.Millisecond, "all of them have been refused, and stay")
			clients := make([]*Client, 4)
			for i := range clients {
				clients[i] = NewClient(a, nil)
				t.Cleanup(clients[i].Close)
			}
			ctx := context.WithValue(t.Context(), headersKey{}, http.Header{"X-Token": {"good"}})
			errs := make([]error, places)
			var wg sync.WaitGroup
			// one after the other, since handshakes are slow with the race detector
			for i := range errs {
				wg.Go(func() { _, errs[i] = clients[i%4].Fetch(ctx, to, "k", nil) })
				receive(t, begun, "a request, though all others are under way")
			}
			close(end)
			wg.Wait()
			require.NoError(t, errors.Join(errs...))
			//nolint:gosec // not negative
			assert.Equal(t, Refused{Unauthenticated: uint64(strangers)}, s.Refused())
		})
	}
}

// A byte that announces a megabyte costs no megabyte. With keys it is not even read.
func TestAnnouncedBytesTakeNoMemory(t *testing.T) {
	const requests, most = 1087, 48 << 20 // with both ends of all connections, and the race detector
	withKeys(t, func(t *testing.T, d *Identity) {
		if d != nil && testing.Short() {
			t.Skip("-short")
		}
		b := configB()
		b.Identity = d
		b.MaxRequests = requests
		b.MaxMessage = 1 << 20
		var server *tls.Config
		if d != nil {
			server = d.Config()
			server.ClientAuth, server.VerifyConnection = tls.RequestClientCert, nil
		}
		s := NewServer(b, mustNotServe)
		url := serveWith(t, http1, s, server)
		before := heap()
		conns := make([]net.Conn, requests)
		for i := range conns {
			conns[i] = stranger(t, url, 1<<20)
		}
		require.Eventually(t, func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return d != nil && s.Refused().Unauthenticated == requests || d == nil &&
				len(s.running) == requests
		}, testPeerTimeout, time.Millisecond)
		during := heap()
		for _, c := range conns {
			_ = c.Close()
		}
		isGone(t, s)
		taken := during - min(before, heap()) // garbage of earlier tests may be freed meanwhile
		t.Logf("%d requests: %d KiB", requests, taken>>10)
		assert.Less(t, taken, int64(most))
	})
}

func heap() int64 {
	for range 3 { // with what pools keep and finalizers
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // no machine has so much
}

// A stranger without a key learns nothing of the node, not even its incarnation or its cache.
func TestStrangersLearnNothing(t *testing.T) {
	b := configB()
	b.Identity = identity(t, sharedKey(1))
	lax := b.Identity.Config()
	lax.ClientAuth, lax.VerifyConnection = tls.RequestClientCert, nil
	url := serveWith(t, http1, NewServer(b, mustNotServe), lax)
	want := ""
	for _, f := range []func(*Config, *Address){
		func(*Config, *Address) {},
		func(c *Config, _ *Address) { c.Cache = "others" },
		func(_ *Config, to *Address) { to.Incarnation = 1 },
	} {
		a, to := configA(), Address{"b", url, incarnationB}
		a.TLS = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // a stranger
		f(&a, &to)
		c := NewClient(a, nil)
		_, err := c.Fetch(t.Context(), to, "k", nil)
		c.Close()
		unavailable(t, err, Denied)
		if want == "" {
			want = err.Error()
		}
		assert.EqualError(t, err, want)
	}
}
