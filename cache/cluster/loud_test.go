package cluster_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/registry"
)

// A logbook keeps what is logged at Info and above.
type logbook struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// with returns the records that contain all of the words.
func (l *logbook) with(words ...string) (records []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for record := range strings.Lines(l.text.String()) {
		all := true
		for _, w := range words {
			all = all && strings.Contains(record, w)
		}
		if all {
			records = append(records, record)
		}
	}
	return records
}

func newLogbook() (*logbook, *slog.Logger) {
	l := &logbook{}
	return l, slog.New(slog.NewTextHandler(l, nil))
}

// A handler that is not mounted where its URL says is detected without a Fetch.
func TestMistakeIsToldWithoutAnyFetch(t *testing.T) {
	log, to := newLogbook()
	var from origin
	nodes := start(t, 2, &from, func(i int, o *cluster.Options[string]) {
		if i == 0 {
			o.Logger = to
		}
	})
	nodes[1].handler.Store(http.NotFoundHandler())
	require.Eventually(t, func() bool {
		return len(log.with("level=WARN", "can't be asked", "peer=b", `reason="wrong path"`,
			"mount Cache.Handler")) == 1
	}, 20*time.Second, 10*time.Millisecond)
	v, err := nodes[0].Fetch(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, "k#1", v, "loaded here")
	require.Zero(t, nodes[0].Stats().AskFailures.Rubbish)
	require.Contains(t, nodes[0].Stats().Peers[0].Failure, "wrong path: ")
	var unconfirmed *cluster.UnconfirmedError
	require.ErrorAs(t, nodes[0].Delete(t.Context(), "k"), &unconfirmed)
	require.ErrorContains(t, unconfirmed, "wrong path: ", "why it is passed over")
	nodes[1].handler.Store(nodes[1].Handler())
	require.Eventually(t, func() bool {
		return len(log.with("level=INFO", "works again", "peer=b")) == 1
	}, 20*time.Second, 10*time.Millisecond)
	assert.Len(t, log.with("level=WARN"), 1)
}

// Nodes that come and go are logged.
func TestNodesThatComeAndGo(t *testing.T) {
	log, to := newLogbook()
	var from origin
	nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) { o.Logger = to })
	come := log.with("level=INFO", "a node of this cache has come", "node=a", "peer=b", "url=http://"+
		nodes[1].addr)
	require.Len(t, come, 1)
	require.Len(t, log.with("level=INFO", "takes part in the cache", "node=a", "others=0",
		"members=0"), 1, "alone so far")
	require.Len(t, log.with("level=INFO", "takes part in the cache", "node=b", "others=1",
		"members=1"), 1)
	require.Empty(t, log.with("gone"))
	nodes[1].stop(t)
	require.Eventually(t, func() bool {
		return len(log.with("level=INFO", "a node of this cache has gone", "node=a", "peer=b")) == 1
	}, 20*time.Second, 10*time.Millisecond)
	require.Empty(t, log.with("level=WARN"))
}

// A cache that everybody can read and forge logs that once.
func TestOpenCacheWarns(t *testing.T) {
	for name, c := range map[string]struct {
		change func(o *cluster.Options[string])
		warns  int
	}{
		"open":      {func(*cluster.Options[string]) {}, 1},
		"loopback":  {func(o *cluster.Options[string]) { o.URL = "http://127.0.0.1:1/" }, 0},
		"localhost": {func(o *cluster.Options[string]) { o.URL = "http://localhost:1/" }, 0},
		"authorize": {func(o *cluster.Options[string]) {
			o.Authorize = func(*http.Request) error { return nil }
		}, 0},
		"certificates": {func(o *cluster.Options[string]) {
			o.URL, o.TLS = "https://10.0.0.7/", &tls.Config{MinVersion: tls.VersionTLS13}
		}, 0},
		"keys": {func(o *cluster.Options[string]) {
			o.URL, o.SharedKeys = "https://10.0.0.7/", [][]byte{make([]byte, cluster.MinSharedKey)}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := registry.Open(t.Context(), registry.Config{})
			require.NoError(t, err)
			defer func() { require.NoError(t, r.Close()) }()
			log, to := newLogbook()
			var from origin
			o := cluster.Options[string]{Registry: r, Load: from.Load, URL: "http://10.0.0.7:8080/_cache",
				Logger: to}
			c.change(&o)
			cache, err := cluster.New(o)
			require.NoError(t, err)
			require.NoError(t, cache.Close())
			assert.Len(t, log.with("level=WARN",
				"whoever reaches its handler can read it and delete from it",
				"can serve forged values to all", "set Options.SharedKeys or TLS"), c.warns)
			assert.Len(t, log.with("level=WARN"), c.warns)
		})
	}
}

// A value that the owner can't encode costs no caller the value: other nodes load it themselves,
// and the owner logs it once.
func TestEncodeThatFails(t *testing.T) {
	log, to := newLogbook()
	var from origin
	nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) {
		o.Codec, o.Logger = &dumbCodec{}, to
	})
	for range 3 {
		for _, n := range nodes {
			for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
				v, err := n.Fetch(t.Context(), key)
				require.NoError(t, err)
				require.Contains(t, v, key+"#")
			}
		}
	}
	var failures, refused uint64
	for _, n := range nodes {
		s := n.Stats()
		require.Equal(t, s.AskFailures.Total(), s.AskFailures.Unsendable, "and nothing else")
		require.Equal(t, s.LocalLoads, s.AskFailures.Unsendable)
		require.Zero(t, s.ServedErrors)
		require.Equal(t, "closed", s.Peers[0].Breaker)
		failures, refused = failures+s.AskFailures.Unsendable, refused+s.Refused.Unsendable
	}
	require.NotZero(t, failures)
	require.Equal(t, failures, refused)
	for _, node := range []string{"node=a", "node=b"} {
		require.LessOrEqual(t, len(log.with("level=WARN", "a value can't be encoded", "no such thing",
			node)), 1)
	}
	require.NotEmpty(t, log.with("level=WARN", "a value can't be encoded"))
}

type dumbCodec struct{}

func (*dumbCodec) Name() string                    { return "dumb" }
func (*dumbCodec) Encode(string) ([]byte, error)   { return nil, errors.New("no such thing") }
func (*dumbCodec) Decode(b []byte) (string, error) { return string(b), nil }

// Nil and empty are two values, and reach other nodes as they are.
func TestNilAndEmptyBytes(t *testing.T) {
	values := map[string][]byte{
		"nil": nil, "empty": {}, "0": {0}, "00": {0, 0}, "0x": {0, 'x'}, "x0": {'x', 0}, "x": []byte("x"),
		"zeros": make([]byte, 1<<20),
	}
	codec := cluster.BytesCodec
	seen := make(map[string]string)
	for name, v := range values {
		data, err := codec.Encode(v)
		require.NoError(t, err)
		back, err := codec.Decode(bytes.Clone(data))
		require.NoError(t, err)
		require.Equal(t, v, back, name)
		require.Equal(t, v == nil, back == nil, name)
		require.Empty(t, seen[string(data)])
		seen[string(data)] = name
	}
	back, err := codec.Decode(nil)
	require.NoError(t, err)
	require.Nil(t, back)

	var nodes []*cluster.Cache[[]byte]
	var seeds []string
	for range 2 {
		r, err := registry.Open(t.Context(), registry.Config{Seeds: seeds})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, r.Close()) })
		seeds = []string{r.Addr()}
		var handler swapped
		handler.Store(http.NotFoundHandler())
		server := httptest.NewServer(&handler)
		t.Cleanup(server.Close)
		c, err := cluster.New(cluster.Options[[]byte]{
			Registry: r, URL: server.URL, PeerTimeout: 5 * time.Second,
			Load: func(_ context.Context, key string) ([]byte, error) { return values[key], nil },
		})
		require.NoError(t, err)
		handler.Store(c.Handler())
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		nodes = append(nodes, c)
	}
	require.Eventually(t, func() bool {
		return len(nodes[0].Stats().Peers) == 1 && len(nodes[1].Stats().Peers) == 1
	},
		20*time.Second, time.Millisecond)
	for name, v := range values {
		for _, n := range nodes {
			got, err := n.Fetch(t.Context(), name)
			require.NoError(t, err)
			require.Equal(t, v, got, name)
			require.Equal(t, v == nil, got == nil, name)
		}
	}
	require.NotZero(t, nodes[0].Stats().Asked+nodes[1].Stats().Asked)
}
