package peer

import (
	"context"
	"io"
	"log"
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
	patienceOfTests = 10 * time.Second
	runA, runB      = 0xa11ce, 0xb0b
)

// backend is a Backend of two functions.
type backend struct {
	fetch    func(ctx context.Context, from, key string, after []byte) (Value, error)
	exchange func(ctx context.Context, from string, message []byte) ([]byte, error)
}

func (b backend) Fetch(ctx context.Context, from, key string, after []byte) (Value, error) {
	return b.fetch(ctx, from, key, after)
}

func (b backend) Exchange(ctx context.Context, from string, message []byte) ([]byte, error) {
	return b.exchange(ctx, from, message)
}

// echo answers with the key that it was asked for.
func echo(_ context.Context, _, key string, _ []byte) (Value, error) {
	return Value{Data: []byte(key), Keep: time.Minute}, nil
}

// fails is a fetch that fails with err.
func fails(err error) func(context.Context, string, string, []byte) (Value, error) {
	return func(context.Context, string, string, []byte) (Value, error) { return Value{}, err }
}

// configA and configB are those of two nodes which belong together.
func configA() Config {
	return Config{Node: "a", Run: runA, Cache: "things", Silence: patienceOfTests}
}

func configB() Config {
	return Config{Node: "b", Run: runB, Cache: "things", Silence: patienceOfTests}
}

// protocol is how a client and a server speak.
type protocol string

const (
	h2c   protocol = "h2c"
	http1 protocol = "http1"
)

var bothProtocols = []protocol{h2c, http1}

// serveOn starts an HTTP server on loopback and returns its URL. It is closed at the end of the test.
func serveOn(tb testing.TB, p protocol, h http.Handler) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	s := &http.Server{
		Handler: h, Protocols: protocolsOf(p), ReadHeaderTimeout: patienceOfTests, HTTP2: HTTP2(), ErrorLog: quiet(),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	tb.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

func protocolsOf(p protocol) *http.Protocols {
	ps := new(http.Protocols)
	ps.SetUnencryptedHTTP2(p == h2c)
	ps.SetHTTP1(p == http1)
	return ps
}

// transport is the DefaultTransport, or the same over HTTP/1. Its connections are closed at the end of the test.
func transport(tb testing.TB, p protocol) *http.Transport {
	tb.Helper()
	return transportOf(tb, p, patienceOfTests)
}

func transportOf(tb testing.TB, p protocol, silence time.Duration) *http.Transport {
	tb.Helper()
	t := DefaultTransport(nil, silence)
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
	c := NewClient(a, transportOf(tb, p, a.Silence))
	tb.Cleanup(c.Close)
	return &pair{client: c, server: s, to: Address{Node: b.Node, URL: serveOn(tb, p, s) + "/_cache", Run: b.Run}}
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
	case <-time.After(patienceOfTests):
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

// pattern is size bytes in which nothing is where it could be taken for something else.
func pattern(size int) []byte {
	return patternOnce()[:size]
}

// quiet is for servers whose clients do wrong on purpose.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
