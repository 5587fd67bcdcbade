package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lines returns what was logged, a record a line.
func (l *logged) lines() []string {
	return strings.Split(strings.TrimSuffix(l.String(), "\n"), "\n")
}

// newLogged returns a logger of Info and above that leaves out the time.
func newLogged() (*logged, *slog.Logger) {
	l := &logged{}
	return l, slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{
		Level: slog.LevelInfo,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// Each mistake in the set-up of a cluster is logged once, with advice, and once more when it is
// mended.
func TestMistakesAreLoud(t *testing.T) {
	withKey := func(n byte) func(*Config) {
		return func(c *Config) { c.Identity = identity(t, sharedKey(n)) }
	}
	nothing := func(*Config) {}
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("<html>It works!"))
	})
	for name, c := range map[string]struct {
		a, b    func(*Config)
		handler http.Handler // in place of the Server
		scheme  string       // in place of the right one
		reason  Reason
		texts   []string // in the log
	}{
		"wrong path": {nothing, nothing, http.NewServeMux(), "", WrongPath, []string{
			`reason="wrong path"`, "HTTP status 404 that is not from a node's handler",
			"mount Cache.Handler of that node under the path of its Options.URL",
		}},
		"wrong port": {nothing, nothing, page, "", OtherService, []string{
			`reason="other service"`, "It works!",
			"host and port of that node's Options.URL must lead to its server",
		}},
		"TLS server, http URL": {nothing, withKey(1), nil, "http", TLSMismatch, []string{
			`reason="TLS mismatch"`, "its URL is http, and its server speaks TLS",
			"must be https if its server speaks TLS",
		}},
		"plain server, https URL": {withKey(1), nothing, nil, "https", TLSMismatch, []string{
			`reason="TLS mismatch"`, "its URL is https, and its server speaks no TLS",
		}},
		"another key": {withKey(2), withKey(1), nil, "", Denied, []string{
			`reason=denied`, "this node does not accept its certificate",
			"a common key in Options.SharedKeys",
		}},
		"no key": {nothing, withKey(1), nil, "", Denied, []string{
			`reason=denied`, "does not accept the certificate of this node",
		}},
		"TLS without the key": {withKey(1), withKey(1), nil, "no TLS", Denied, []string{
			`reason=denied`, "this node does not accept its certificate",
		}},
		"http URL, keys here": {withKey(1), nothing, nil, "http", Denied, []string{
			`reason=denied`, "its URL is http, and this node has Options.SharedKeys or TLS",
		}},
		"another cache": {nothing, func(c *Config) { c.Cache = "others" }, nil, "", WrongCache, []string{
			`reason="wrong cache"`, `the cache at its URL is \"others\", and not \"things\"`,
			"mounted under different paths",
		}},
		"another node": {nothing, func(c *Config) { c.Node, c.Incarnation = "c", 1 }, nil, "", WrongNode,
			[]string{
				`reason="wrong node"`, `the node at its URL is \"c\"`,
				"each node needs an Options.URL of its own",
			}},
		"another version": {nothing, nothing,
			http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set(headerAnswer, "2 value")
			}), "", OtherVersion, []string{`reason="other version"`, "releases with the same protocol"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := configA(), configB()
			c.a(&a)
			c.b(&b)
			log, to := newLogged()
			a.Logger = to
			n := connect(t, http1, a, b, backend{fetch: echo})
			n.to.Node, n.to.Incarnation = "b", incarnationB
			if c.handler != nil {
				n.to.URL = serveOn(t, http1, c.handler)
			}
			switch c.scheme {
			case "http", "https":
				_, rest, _ := strings.Cut(n.to.URL, "://")
				n.to.URL = c.scheme + "://" + rest
			case "no TLS": // the server has a certificate of its own
				n.to.URL = serveTLS(t, n.server, newAuthority(t, "x"), tls.NoClientCert)
			}
			for i := range 2 * maxFailures {
				_, err := n.fetch(t.Context(), "k")
				if i < maxFailures {
					unavailable(t, err, c.reason)
				} else {
					unavailable(t, err, PassedOver)
					assert.ErrorContains(t, err, "last: "+c.reason.String()+": ", "why it is passed over")
				}
			}
			require.Eventually(t, func() bool { // it is tried again, and that is not logged again
				_, err := n.fetch(t.Context(), "k")
				var down *UnavailableError
				return errors.As(err, &down) && down.Reason == c.reason
			}, testPeerTimeout, 10*time.Millisecond)
			assert.True(t, strings.HasPrefix(n.client.Failure(n.to), c.reason.String()+": "),
				n.client.Failure(n.to))
			lines := log.lines()
			require.Len(t, lines, 1)
			assert.Contains(t, lines[0],
				`level=WARN msg="a node of this cache can't be asked" peer=b url=http`)
			for _, text := range c.texts {
				assert.Contains(t, lines[0], text)
			}
			assert.Contains(t, lines[0], c.reason.Advice())
		})
	}
}

// A node with keys or certificates sends nothing to an http URL, and takes no value from there.
func TestNothingIsSentInTheClear(t *testing.T) {
	for name, secure := range map[string]func(*Config){
		"shared keys": func(c *Config) { c.Identity = identity(t, sharedKey(1)) },
		"certificates": func(c *Config) {
			c.TLS = &tls.Config{RootCAs: newAuthority(t, "x").pool, MinVersion: tls.VersionTLS13}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, asked := configA(), 0
			secure(&a)
			c := NewClient(a, roundTrips(func(*http.Request) (*http.Response, error) {
				asked++
				return replied(value, "forged"), nil
			}))
			_, err := c.Fetch(t.Context(), toB, "k", nil)
			unavailable(t, err, Denied)
			require.Zero(t, asked)
		})
	}
}

// A node that does not answer may be down, so that is no warning. That it works again is logged,
// too.
func TestDownAndUpAgain(t *testing.T) {
	var works bool
	a := configA()
	log, to := newLogged()
	a.Logger = to
	c := NewClient(a, roundTrips(func(*http.Request) (*http.Response, error) {
		if works {
			return replied(value, "v"), nil
		}
		return nil, errNetwork
	}))
	fetch := func() error { _, err := c.Fetch(t.Context(), toB, "k", nil); return err }
	for range maxFailures {
		unavailable(t, fetch(), Unreachable)
	}
	works = true
	require.Eventually(t, func() bool { return fetch() == nil }, testPeerTimeout, 10*time.Millisecond)
	require.Empty(t, c.Failure(toB))
	for range 10 {
		require.NoError(t, fetch())
	}
	assert.Equal(t, []string{
		`level=INFO msg="a node of this cache does not answer and is passed over" peer=b url=http://b:1 reason=unreachable error="no route to host"`,
		`level=INFO msg="a node of this cache works again" peer=b url=http://b:1`,
	}, log.lines())
}

// deaf is a middleware that drops interim answers.
type dropsInterim struct{ http.ResponseWriter }

func (d dropsInterim) Unwrap() http.ResponseWriter { return d.ResponseWriter }

func (d dropsInterim) WriteHeader(status int) {
	if status >= 200 {
		d.ResponseWriter.WriteHeader(status)
	}
}

// A middleware that drops interim answers is detected by the first load that takes long enough, and
// is the reason when a longer load looks like silence. So is http.TimeoutHandler, which holds all
// back until the end: one life sign arrives together with the answer.
func TestLifeSignsThatDoNotPass(t *testing.T) {
	test := func(name string, p protocol, middleware func(http.Handler) http.Handler) {
		t.Run(name+"/"+string(p), func(t *testing.T) {
			t.Parallel()
			a, b := configA(), configB()
			a.PeerTimeout = 2 * time.Second
			log, to := newLogged()
			a.Logger = to
			end := make(chan struct{})
			s := NewServer(b, backend{fetch: func(_ context.Context, _, key string, _ []byte) (Value,
				error) {
				if key == "long" {
					<-end
				}
				return Value{Data: []byte(key)}, nil
			}})
			var signs bool
			without := middleware(s)
			url := serveOn(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if signs {
					s.ServeHTTP(w, r)
					return
				}
				without.ServeHTTP(w, r)
			}))
			c := NewClient(a, transport(t, p))
			defer c.Close()
			fetch := func(key string) error {
				_, err := c.Fetch(t.Context(), Address{"b", url, incarnationB}, key, nil)
				return err
			}
			require.NoError(t, fetch("short"))
			assert.Equal(t, []string{""}, log.lines())
			time.AfterFunc(a.PeerTimeout*5/8, func() { end <- struct{}{} })
			require.NoError(t, fetch("long"))
			require.Len(t, log.lines(), 1)
			assert.Contains(t, log.lines()[0], `level=WARN msg="life signs of a node do not arrive" peer=b`)
			assert.Contains(t, log.lines()[0], "must pass interim answers (1xx) on")
			unavailable(t, fetch("long"), NoLifeSigns)
			end <- struct{}{}

			signs = true
			time.AfterFunc(a.PeerTimeout*5/8, func() { end <- struct{}{} })
			require.NoError(t, fetch("long"))
			assert.False(t, c.target(Address{"b", url, incarnationB}).signsLost.Load(), "mended")
			require.Len(t, log.lines(), 1)
		})
	}
	for _, p := range bothProtocols {
		test("dropped", p, func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				h.ServeHTTP(dropsInterim{w}, r)
			})
		})
		test("held back", p, func(h http.Handler) http.Handler {
			return http.TimeoutHandler(h, time.Minute, "late")
		})
	}
}
