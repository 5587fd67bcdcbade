package peer

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// golden is the public key for a shared key of 32 bytes of 1.
const golden = "d15d41be53d8e8c261db2609a0f4993bcebd82c07889c2ccfb7475d2063399ac"

// All nodes, of all releases, derive the same key from a shared key.
func TestIdentityIsStable(t *testing.T) {
	d := identity(t, sharedKey(1), sharedKey(2))
	assert.Equal(t, golden, hex.EncodeToString(d.accepted[0]))
	assert.Len(t, d.accepted, 2)
	c, err := x509.ParseCertificate(d.certificate.Certificate[0])
	require.NoError(t, err)
	assert.Equal(t, any(d.accepted[0]), c.PublicKey)
	assert.Equal(t, 1970, c.NotBefore.Year())
	assert.Equal(t, 9999, c.NotAfter.Year())
	again := identity(t, sharedKey(1))
	assert.Equal(t, d.certificate.Certificate, again.certificate.Certificate, "to the last byte")
	_, err = NewIdentity(nil)
	require.Error(t, err)
}

func TestKeysThatDiffer(t *testing.T) {
	one, two := sharedKey(1), sharedKey(2)
	for name, c := range map[string]struct {
		a, b   [][]byte
		reason Reason // 0: none
		text   string
	}{
		"the same": {[][]byte{one}, [][]byte{one}, 0, ""},
		"asker has none": {nil, [][]byte{one}, Denied,
			"does not accept the certificate of this node"},
		"asker has another": {[][]byte{two}, [][]byte{one}, Denied,
			"this node does not accept its certificate"},
		"owner has none":        {[][]byte{one}, nil, TLSMismatch, ""},
		"rotation, new at b":    {[][]byte{one}, [][]byte{one, two}, 0, ""},
		"rotation, new first":   {[][]byte{one, two}, [][]byte{two, one}, 0, ""},
		"rotation, old dropped": {[][]byte{two, one}, [][]byte{two}, 0, ""},
		"new first too early": {[][]byte{one}, [][]byte{two, one}, Denied,
			"this node does not accept its certificate"},
		"old dropped too early": {[][]byte{one, two}, [][]byte{two}, Denied,
			"does not accept the certificate of this node"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 10 { // the alert of a server may get lost
				a, b := configA(), configB()
				a.Identity, b.Identity = identity(t, c.a...), identity(t, c.b...)
				n := connect(t, http1, a, b, backend{fetch: echo})
				if c.reason == TLSMismatch {
					n.to.URL = "https" + n.to.URL[len("http"):]
				}
				v, err := n.fetch(t.Context(), "k")
				if c.reason == 0 {
					require.NoError(t, err)
					require.Equal(t, "k", string(v.Data))
					continue
				}
				unavailable(t, err, c.reason)
				require.ErrorContains(t, err, c.text)
				require.Zero(t, v)
			}
		})
	}
}

// A server whose TLS accepts everybody does not expose the cache: the handler checks for itself,
// and so does the asker.
func TestHandlerChecksForItself(t *testing.T) {
	ours, theirs := identity(t, sharedKey(1)), identity(t, sharedKey(2))
	b := configB()
	b.Identity = ours
	s := NewServer(b, mustNotServe)
	lax := ours.Config()
	lax.ClientAuth, lax.VerifyConnection = tls.RequestClientCert, nil
	a := configA()
	for name, config := range map[string]*tls.Config{
		//nolint:gosec // a stranger
		"no certificate": {InsecureSkipVerify: true},
		"of another key": {InsecureSkipVerify: true,
			Certificates: []tls.Certificate{theirs.certificate}}, //nolint:gosec // a stranger
		"of an authority": {InsecureSkipVerify: true,
			//nolint:gosec // a stranger
			Certificates: []tls.Certificate{newAuthority(t, "x").issue(t, "stranger")}},
		"plain, below":      nil,
		"without a key, h2": {InsecureSkipVerify: true}, //nolint:gosec // a stranger
	} {
		t.Run(name, func(t *testing.T) {
			p := http1
			if name == "without a key, h2" {
				p = h2c
			}
			server := lax
			if config == nil {
				server = nil
			}
			c := NewClient(a, transportOf(t, p, config))
			defer c.Close()
			_, err := c.Fetch(t.Context(), Address{Node: "b", URL: serveWith(t, p, s, server), Incarnation: incarnationB},
				"k", nil)
			unavailable(t, err, Denied)
		})
	}
	t.Run("a transport that does not look", func(t *testing.T) {
		a.Identity = ours
		b.Identity = theirs
		n := NewClient(a, transportOf(t, http1, &tls.Config{
			//nolint:gosec // on purpose
			InsecureSkipVerify: true, Certificates: []tls.Certificate{theirs.certificate},
		}))
		defer n.Close()
		url := serveWith(t, http1, NewServer(b, backend{fetch: echo}), theirs.Config())
		v, err := n.Fetch(t.Context(), Address{Node: "b", URL: url, Incarnation: incarnationB}, "k", nil)
		unavailable(t, err, Denied)
		assert.Zero(t, v)
	})
}

// rotating is a node that can be started again with other keys.
type rotating struct {
	addr   string
	server *http.Server
	done   chan struct{}
	client *Client
	run    uint64
}

func (n *rotating) start(t *testing.T, keys ...[]byte) {
	t.Helper()
	n.stop()
	if n.addr == "" {
		n.addr = "127.0.0.1:0"
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", n.addr)
	require.NoError(t, err)
	n.addr = l.Addr().String()
	n.run++
	c := configB()
	c.Incarnation, c.Identity = n.run, identity(t, keys...)
	n.server = &http.Server{
		Handler: NewServer(c, backend{fetch: echo}), TLSConfig: c.Identity.Config(),
		ReadHeaderTimeout: testPeerTimeout,
		ErrorLog:          quiet(),
	}
	n.done = make(chan struct{})
	go func(s *http.Server, done chan struct{}) {
		defer close(done)
		_ = s.ServeTLS(l, "", "")
	}(n.server, n.done)
	n.client = NewClient(c, nil)
}

func (n *rotating) stop() {
	if n.server == nil {
		return
	}
	n.client.Close()
	_ = n.server.Close()
	<-n.done
}

// Keys are changed node by node while all nodes ask each other over connections that are in use: no
// request fails.
func TestRotation(t *testing.T) {
	old, next := sharedKey(1), sharedKey(2)
	nodes := make([]*rotating, 3)
	for i := range nodes {
		nodes[i] = &rotating{}
		nodes[i].start(t, old)
		t.Cleanup(nodes[i].stop)
	}
	all := func(step string) {
		for i, from := range nodes {
			for j, to := range nodes {
				_, err := from.client.Fetch(t.Context(), Address{"b", "https://" + to.addr, to.run}, "k", nil)
				require.NoError(t, err, "%s: %d asks %d", step, i, j)
			}
		}
	}
	all("before")
	for step, keys := range [][][]byte{{old, next}, {next, old}, {next}} {
		for i, n := range nodes {
			n.start(t, keys...)
			all([]string{"add", "make first", "drop"}[step] + " at " + string(rune('0'+i)))
		}
	}
	c := configA()
	c.Identity = identity(t, old)
	stranger := NewClient(c, nil)
	defer stranger.Close()
	_, err := stranger.Fetch(t.Context(), Address{"b", "https://" + nodes[0].addr, nodes[0].run}, "k",
		nil)
	unavailable(t, err, Denied)
}

// A resumed session is checked like a new one: by the keys that are accepted now, and not by those
// at its beginning.
func TestResumption(t *testing.T) {
	old, next := identity(t, sharedKey(1)), identity(t, sharedKey(2))
	var current atomic.Pointer[tls.Config]
	current.Store(old.Config())
	config := old.Config()
	config.SetSessionTicketKeys([][32]byte{{1}}) // also of the configuration that is returned
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return current.Load(), nil
	}
	s := NewServer(configB(), backend{fetch: echo}) // which does not look for itself
	var resumed atomic.Int64
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.DidResume {
			resumed.Add(1)
			assert.NotEmpty(t, r.TLS.PeerCertificates)
		}
		s.ServeHTTP(w, r)
	})
	a := configA()
	a.Identity = identity(t, sharedKey(1), sharedKey(2))
	c := NewClient(a, nil)
	defer c.Close()
	to := Address{"b", serveWith(t, http1, handler, config), incarnationB}
	require.Eventually(t, func() bool {
		_, err := c.Fetch(t.Context(), to, "k", nil)
		require.NoError(t, err)
		closeIdle(c.target(to).rt)
		return resumed.Load() > 0
	}, testPeerTimeout, time.Millisecond)
	closeIdle(c.target(to).rt)
	current.Store(next.Config())
	_, err := c.Fetch(t.Context(), to, "k", nil)
	unavailable(t, err, Denied)
}
