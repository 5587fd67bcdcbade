package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testPeerTimeout            = 10 * time.Second
	incarnationA, incarnationB = 0xa11ce, 0xb0b
)

// backend is a Backend of functions. Without many, fetch is called for each key.
type backend struct {
	fetch    func(ctx context.Context, from, key string, after []byte) (Value, error)
	try      func(ctx context.Context, from, key string, after, record []byte) (Value, error)
	many     func(ctx context.Context, from string, asks []Ask) []Outcome
	exchange func(ctx context.Context, from string, message []byte) ([]byte, error)
}

func (b backend) Fetch(ctx context.Context, from, key string, after []byte) (Value, error) {
	return b.fetch(ctx, from, key, after)
}

func (b backend) Try(ctx context.Context, from, key string, after, record []byte) (Value, error) {
	return b.try(ctx, from, key, after, record)
}

func (b backend) FetchMany(ctx context.Context, from string, asks []Ask) []Outcome {
	if b.many != nil {
		return b.many(ctx, from, asks)
	}
	outcomes := make([]Outcome, len(asks))
	for i, a := range asks {
		outcomes[i].Value, outcomes[i].Err = b.fetch(ctx, from, a.Key, a.After)
	}
	return outcomes
}

func (b backend) Exchange(ctx context.Context, from string, message []byte) ([]byte, error) {
	return b.exchange(ctx, from, message)
}

// echo returns the key as its value.
func echo(_ context.Context, _, key string, _ []byte) (Value, error) {
	return Value{Data: []byte(key), Keep: time.Minute}, nil
}

// fails is a fetch that fails with err.
func fails(err error) func(context.Context, string, string, []byte) (Value, error) {
	return func(context.Context, string, string, []byte) (Value, error) { return Value{}, err }
}

// The limits of the nodes in these tests.
const (
	maxKey     = 4 << 10
	maxMessage = 1 << 20
)

// configA and configB return the Configs of two nodes that belong together.
func configA() Config { return configOf("a", incarnationA) }
func configB() Config { return configOf("b", incarnationB) }

func configOf(node string, incarnation uint64) Config {
	return Config{
		Node: node, Incarnation: incarnation, Cache: "things", PeerTimeout: testPeerTimeout,
		MaxKey: maxKey, MaxValue: 16 << 20, MaxMessage: maxMessage, MaxRequests: 1024,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// protocol is how a client and a server speak.
type protocol string

const (
	h2c   protocol = "h2c"
	http1 protocol = "http1"
)

var bothProtocols = []protocol{h2c, http1}

// serveOn starts an HTTP server on loopback and returns its URL. It is closed at the end of the
// test.
func serveOn(tb testing.TB, p protocol, h http.Handler) string {
	tb.Helper()
	return serveWith(tb, p, h, nil)
}

// serveWith is serveOn, over TLS if there is a config.
func serveWith(tb testing.TB, p protocol, h http.Handler, config *tls.Config) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	s := &http.Server{
		Handler: h, Protocols: protocolsOf(p), ReadHeaderTimeout: testPeerTimeout, ErrorLog: quiet(),
		TLSConfig: config,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if config != nil {
			_ = s.ServeTLS(l, "", "")
			return
		}
		_ = s.Serve(l)
	}()
	tb.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	if config != nil {
		return "https://" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

func protocolsOf(p protocol) *http.Protocols {
	ps := new(http.Protocols)
	ps.SetUnencryptedHTTP2(p == h2c)
	ps.SetHTTP2(p == h2c)
	ps.SetHTTP1(p == http1)
	return ps
}

// transport is the DefaultTransport, or the same over HTTP/2. Its connections are closed at the end
// of the test.
func transport(tb testing.TB, p protocol) *http.Transport {
	tb.Helper()
	return transportOf(tb, p, nil)
}

func transportOf(tb testing.TB, p protocol, config *tls.Config) *http.Transport {
	tb.Helper()
	t := DefaultTransport(config)
	t.Protocols = protocolsOf(p)
	tb.Cleanup(t.CloseIdleConnections)
	return t
}

// pair is node a with a Client, and node b with a Server.
type pair struct {
	client *Client
	server *Server
	to     Address
}

func connect(tb testing.TB, p protocol, a, b Config, back Backend) *pair {
	tb.Helper()
	s := NewServer(b, back)
	var ours, theirs *tls.Config
	if b.Identity != nil {
		//nolint:gosec // of a stranger
		ours, theirs = &tls.Config{InsecureSkipVerify: true}, b.Identity.Config()
	}
	if a.Identity != nil {
		ours = a.Identity.Config()
	}
	c := NewClient(a, transportOf(tb, p, ours))
	tb.Cleanup(c.Close)
	return &pair{client: c, server: s,
		to: Address{Node: b.Node, URL: serveWith(tb, p, s, theirs) + "/_cache", Incarnation: b.Incarnation}}
}

func sharedKey(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

// identity returns the Identity of shared keys, or nil if there are none.
func identity(tb testing.TB, keys ...[]byte) *Identity {
	tb.Helper()
	if len(keys) == 0 {
		return nil
	}
	d, err := NewIdentity(keys)
	require.NoError(tb, err)
	return d
}

// shared returns the Configs of two nodes with a shared key.
func shared(tb testing.TB) (a, b Config) {
	tb.Helper()
	a, b = configA(), configB()
	a.Identity, b.Identity = identity(tb, sharedKey(1)), identity(tb, sharedKey(1))
	return a, b
}

// withKeys calls f without and with a shared key.
func withKeys(t *testing.T, f func(t *testing.T, d *Identity)) {
	t.Helper()
	t.Run("no keys", func(t *testing.T) { f(t, nil) })
	t.Run("keys", func(t *testing.T) { f(t, identity(t, sharedKey(7))) })
}

func (p *pair) fetch(ctx context.Context, key string) (Value, error) {
	return p.client.Fetch(ctx, p.to, key, nil)
}

// unavailable checks that err is an UnavailableError of node b for that reason.
func unavailable(tb testing.TB, err error, r Reason) {
	tb.Helper()
	var e *UnavailableError
	require.ErrorAs(tb, err, &e)
	require.Equal(tb, r, e.Reason, "%v", err)
	require.Equal(tb, "b", e.Node)
	require.Error(tb, e.Err)
}

// receive returns what comes out of ch, or fails the test.
func receive[T any](tb testing.TB, ch <-chan T, what string) (v T) {
	tb.Helper()
	select {
	case v = <-ch:
	case <-time.After(testPeerTimeout):
		require.FailNow(tb, "nothing came", what)
	}
	return v
}

var patternOnce = sync.OnceValue(func() []byte {
	b := make([]byte, 9<<20)
	for i := range b {
		b[i] = byte(i * i >> 7)
	}
	return b
})

// pattern returns size bytes without repetition, so that no part can be mistaken for another.
func pattern(size int) []byte {
	return patternOnce()[:size]
}

// quiet returns a logger for servers whose clients make mistakes on purpose.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
