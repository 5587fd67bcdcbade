package cluster_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/registry"
)

func TestBadOptions(t *testing.T) {
	r, err := registry.Open(t.Context(), registry.Config{})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	var from origin
	cases := map[string]struct {
		change func(o *cluster.Options[string])
		want   string
	}{
		"no registry": {func(o *cluster.Options[string]) { o.Registry = nil },
			"cluster: Options.Registry: nil: want the registry of this node"},
		"no load": {func(o *cluster.Options[string]) { o.Load = nil },
			"cluster: Options.Load: nil: want a function"},
		"no URL": {func(o *cluster.Options[string]) {
			o.URL = ""
		}, `cluster: Options.URL: "": want an absolute http or https URL without query, such as "http://10.0.0.7:8080/_cache"`},
		"relative URL": {func(o *cluster.Options[string]) {
			o.URL = "/_cache"
		}, `cluster: Options.URL: "/_cache": want an absolute http or https URL without query, such as "http://10.0.0.7:8080/_cache"`},
		"scheme": {func(o *cluster.Options[string]) {
			o.URL = "ftp://x/"
		}, `cluster: Options.URL: "ftp://x/": want an absolute http or https URL without query, such as "http://10.0.0.7:8080/_cache"`},
		"no host": {func(o *cluster.Options[string]) {
			o.URL = "http://:8080/_cache"
		}, `cluster: Options.URL: "http://:8080/_cache": want the host by which other nodes reach this one`},
		"any host": {func(o *cluster.Options[string]) {
			o.URL = "http://0.0.0.0:8080/"
		}, `cluster: Options.URL: "http://0.0.0.0:8080/": want the host by which other nodes reach this one`},
		"any IPv6 host": {func(o *cluster.Options[string]) { o.URL = "http://[::]:8080/" },
			`cluster: Options.URL: "http://[::]:8080/": want the host by which other nodes reach this one`},
		"port 0": {func(o *cluster.Options[string]) { o.URL = "http://10.0.0.7:0/" },
			`cluster: Options.URL: "http://10.0.0.7:0/": want the port that the server listens at`},
		"no port of TCP": {func(o *cluster.Options[string]) { o.URL = "http://10.0.0.7:80810/" },
			`cluster: Options.URL: "http://10.0.0.7:80810/": want the port that the server listens at`},
		"http and keys": {func(o *cluster.Options[string]) {
			o.SharedKeys = [][]byte{make([]byte, 32)}
		}, `cluster: Options.URL: "http://127.0.0.1:1/_cache": want an https URL, since SharedKeys are set: serve Handler with SharedKeyTLS`},
		"http and TLS": {func(o *cluster.Options[string]) {
			o.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
		}, `cluster: Options.URL: "http://127.0.0.1:1/_cache": want an https URL, since TLS is set`},
		"keys and TLS": {func(o *cluster.Options[string]) {
			o.URL, o.SharedKeys, o.TLS = "https://127.0.0.1:1", [][]byte{make([]byte, 32)},
				&tls.Config{MinVersion: tls.VersionTLS13}
		}, "cluster: Options.TLS: a configuration: want nil, since SharedKeys are set: they make the " +
			"configuration of TLS"},
		"escaped path": {func(o *cluster.Options[string]) {
			o.URL = "http://x/a%20b"
		}, `cluster: Options.URL: "http://x/a%20b": want a path without escapes, empty elements and dots, since the handler takes no other`},
		"path": {func(o *cluster.Options[string]) {
			o.URL = "http://x//a"
		}, `cluster: Options.URL: "http://x//a": want a path without escapes, empty elements and dots, since the handler takes no other`},
		"query": {func(o *cluster.Options[string]) {
			o.URL = "http://x/?a"
		}, `cluster: Options.URL: "http://x/?a": want an absolute http or https URL without query, such as "http://10.0.0.7:8080/_cache"`},
		"name": {func(o *cluster.Options[string]) { o.Name = "a/b" },
			`cluster: Options.Name: "a/b": want 1 to 64 letters, digits, dots, dashes and underscores`},
		"ownership": {func(o *cluster.Options[string]) { o.Ownership = 9 },
			"cluster: Options.Ownership: 9: want BySlot, ByKey or ByRing"},
		"slots": {func(o *cluster.Options[string]) { o.Slots = 65537 },
			"cluster: Options.Slots: 65537: want 1 to 65536"},
		"idle": {func(o *cluster.Options[string]) { o.IdleRelease = -1 },
			"cluster: Options.IdleRelease: -1ns: want 0 (the default) or more"},
		"peer timeout": {func(o *cluster.Options[string]) { o.PeerTimeout = -time.Second },
			"cluster: Options.PeerTimeout: -1s: want at least 1ms"},
		"copies": {func(o *cluster.Options[string]) { o.CopyCapacity = -1 },
			"cluster: Options.CopyCapacity: -1: want 0 (the default) or more"},
		"copy weight": {func(o *cluster.Options[string]) { o.CopyWeight = 1 },
			"cluster: Options.CopyWeight: 1: want 0, since Cache.Weigher is not set"},
		"local loads": {func(o *cluster.Options[string]) { o.MaxLocalLoads = -1 },
			"cluster: Options.MaxLocalLoads: -1: want 0 (the default) or more"},
		"peer requests": {func(o *cluster.Options[string]) { o.MaxPeerRequests = -1 },
			"cluster: Options.MaxPeerRequests: -1: want 0 (the default) or more"},
		"key": {func(o *cluster.Options[string]) { o.MaxKey = 1 << 21 },
			"cluster: Options.MaxKey: 2097152: want 1 to 1048576 bytes"},
		"value": {func(o *cluster.Options[string]) { o.MaxValue = -1 },
			"cluster: Options.MaxValue: -1: want 1 to 1073741824 bytes"},
		"delete log": {func(o *cluster.Options[string]) { o.DeleteLog = -1 },
			"cluster: Options.DeleteLog: -1: want 1 to 16777216"},
		"short key": {func(o *cluster.Options[string]) { o.SharedKeys = [][]byte{make([]byte, 31)} },
			"cluster: Options.SharedKeys[0]: 31 bytes: want at least 32"},
		"error name": {func(o *cluster.Options[string]) {
			o.Errors = map[string]error{"a b": errNotFound}
		}, `cluster: Options.Errors["a b"]: not found: want an error under a name of 1 to 64 letters, digits, dots, dashes and underscores`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := cluster.Options[string]{Registry: r, Load: from.Load, URL: "http://127.0.0.1:1/_cache"}
			c.change(&o)
			_, err := cluster.New(o)
			var e *cluster.OptionError
			require.ErrorAs(t, err, &e)
			require.EqualError(t, err, c.want)
		})
	}
	_, err = cluster.New(cluster.Options[string]{
		Registry: r, Load: from.Load, URL: "http://127.0.0.1:1/_cache",
		Cache: cache.Options[string, string]{TTL: -1},
	})
	require.ErrorAs(t, err, new(*cache.OptionError))

	_, err = cluster.SharedKeyTLS()
	require.EqualError(t, err, "cluster: Options.SharedKeys: none: want one key at least")
	_, err = cluster.SharedKeyTLS(make([]byte, 32), make([]byte, 31))
	require.EqualError(t, err, "cluster: Options.SharedKeys[1]: 31 bytes: want at least 32")
}

// A second open cache of one name is refused, since other nodes would mix up the two.
func TestSecondCacheOfAName(t *testing.T) {
	r, err := registry.Open(t.Context(), registry.Config{})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	var from origin
	o := cluster.Options[string]{Registry: r, Load: from.Load, URL: "http://127.0.0.1:1/_cache"}
	users, err := cluster.New(o)
	require.NoError(t, err)

	_, err = cluster.New(o)
	require.ErrorAs(t, err, new(*cluster.OptionError))
	require.EqualError(t, err, `cluster: Options.Name: "cache": want a name of its own, since another cache over this registry has that one and is open`)

	o.Name = "orders"
	orders, err := cluster.New(o)
	require.NoError(t, err)
	require.NoError(t, orders.Close())
	require.NoError(t, users.Close())
	o.Name = ""
	users, err = cluster.New(o)
	require.NoError(t, err, "the name is free again")
	require.NoError(t, users.Close())
}

func TestNewOnAClosedRegistry(t *testing.T) {
	r, err := registry.Open(t.Context(), registry.Config{})
	require.NoError(t, err)
	require.NoError(t, r.Close())
	var from origin
	_, err = cluster.New(cluster.Options[string]{Registry: r, Load: from.Load,
		URL: "http://127.0.0.1:1/_cache"})
	require.ErrorIs(t, err, registry.ErrClosed)
}

// Nodes whose options of the cluster differ do not ask each other, and Stats and the log say why.
func TestNodesThatDiffer(t *testing.T) {
	var from origin
	var logged bytes.Buffer
	a := startNode(t, "a", nil, cluster.Options[string]{Load: from.Load, Ownership: cluster.BySlot,
		Slots: 8})
	b := startNode(t, "b", []string{a.registry.Addr()}, cluster.Options[string]{
		Load: from.Load, Ownership: cluster.BySlot, Slots: 16,
		Logger: slog.New(slog.NewTextHandler(&logged, nil)),
	})
	require.Eventually(t, func() bool {
		return len(a.Stats().Peers) == 1 && len(b.Stats().Peers) == 1
	}, 20*time.Second, 5*time.Millisecond)
	require.Equal(t, "slots are 16 there, 8 here", a.Stats().Peers[0].Differs)
	require.Equal(t, "slots are 8 there, 16 here", b.Stats().Peers[0].Differs)
	for _, n := range []*node{a, b} {
		for i := range 20 {
			_, err := n.Fetch(t.Context(), string(rune('a'+i)))
			require.NoError(t, err)
		}
		require.Zero(t, n.Stats().Asked)
		require.NoError(t, n.Delete(t.Context(), "k"))
	}
	b.stop(t)
	require.Contains(t, logged.String(), "slots are 8 there, 16 here")
}

func TestParseOwnership(t *testing.T) {
	for _, o := range ownerships {
		got, err := cluster.ParseOwnership(o.String())
		require.NoError(t, err)
		require.Equal(t, o, got)
	}
	_, err := cluster.ParseOwnership("none")
	require.EqualError(t, err, `cluster: ownership "none": want slot, key or ring`)
}

// The default codec fits the type.
func TestCodecs(t *testing.T) {
	type user struct{ Name string }
	codec := cluster.JSON[user]()
	require.Equal(t, "json", codec.Name())
	data, err := codec.Encode(user{"x"})
	require.NoError(t, err)
	back, err := codec.Decode(data)
	require.NoError(t, err)
	require.Equal(t, user{"x"}, back)
	_, err = codec.Decode([]byte("{"))
	assert.Error(t, err)
}

// A value that can't be encoded, or that the asker can't decode, costs no caller the value.
func TestCodecThatFails(t *testing.T) {
	var from origin
	codec := &brokenCodec{}
	nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) { o.Codec = codec })
	for i := range 20 {
		key := strconv.Itoa(i)
		v, err := nodes[0].Fetch(t.Context(), key)
		require.NoError(t, err)
		require.Contains(t, v, key+"#")
	}
	stats := nodes[0].Stats()
	require.NotZero(t, stats.Asked)
	require.Equal(t, stats.Asked, stats.AskFailures.Rubbish+stats.AskFailures.PassedOver)
	require.Equal(t, stats.Asked, stats.LocalLoads)
}

// The same holds for a codec that panics, and other keys of a batch are not affected.
func TestCodecThatPanics(t *testing.T) {
	for _, method := range []string{"encode", "decode"} {
		t.Run(method, func(t *testing.T) {
			var from batches
			nodes := startMany(t, 2, &from,
				func(_ int, o *cluster.Options[string]) { o.Codec = panicCodec(method) })
			keys := append(keysOf(20), "bad 1", "bad 2", "bad 3", "bad 4")
			for _, n := range nodes {
				for _, key := range keys[18:] {
					v, err := n.Fetch(t.Context(), key)
					require.NoError(t, err)
					require.Contains(t, v, key+"#")
				}
				require.NoError(t, n.Clear(t.Context()))
				got, err := n.FetchMany(t.Context(), keys)
				require.NoError(t, err)
				require.Len(t, got, len(keys))
			}
		})
	}
}

// A panicCodec panics in one method, for some values.
type panicCodec string

func (panicCodec) Name() string { return "panics" }

func (c panicCodec) Encode(v string) ([]byte, error) {
	if c == "encode" && strings.HasPrefix(v, "bad") {
		panic(v)
	}
	return []byte(v), nil
}

func (c panicCodec) Decode(data []byte) (string, error) {
	if c == "decode" && strings.HasPrefix(string(data), "bad") {
		panic(string(data))
	}
	return string(data), nil
}

type brokenCodec struct{}

func (*brokenCodec) Name() string                    { return "broken" }
func (*brokenCodec) Encode(v string) ([]byte, error) { return []byte(v), nil }
func (*brokenCodec) Decode(_ []byte) (string, error) { return "", errors.New("no such thing") }
