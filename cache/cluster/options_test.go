package cluster_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strconv"
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
		"no registry":   {func(o *cluster.Options[string]) { o.Registry = nil }, "cluster: Options.Registry: nil: want the registry of this node"},
		"no load":       {func(o *cluster.Options[string]) { o.Load = nil }, "cluster: Options.Load: nil: want a function"},
		"no URL":        {func(o *cluster.Options[string]) { o.URL = "" }, `cluster: Options.URL: "": want an absolute http or https URL without query, such as "http://10.0.0.7:8080/_cache"`},
		"relative URL":  {func(o *cluster.Options[string]) { o.URL = "/_cache" }, `cluster: Options.URL: "/_cache": want an absolute http or https URL without query, such as "http://10.0.0.7:8080/_cache"`},
		"scheme":        {func(o *cluster.Options[string]) { o.URL = "ftp://x/" }, `cluster: Options.URL: "ftp://x/": want an absolute http or https URL without query, such as "http://10.0.0.7:8080/_cache"`},
		"query":         {func(o *cluster.Options[string]) { o.URL = "http://x/?a" }, `cluster: Options.URL: "http://x/?a": want an absolute http or https URL without query, such as "http://10.0.0.7:8080/_cache"`},
		"name":          {func(o *cluster.Options[string]) { o.Name = "a/b" }, `cluster: Options.Name: "a/b": want 1 to 64 letters, digits, dots, dashes and underscores`},
		"ownership":     {func(o *cluster.Options[string]) { o.Ownership = 9 }, "cluster: Options.Ownership: 9: want ByKey, BySlot or ByRing"},
		"slots":         {func(o *cluster.Options[string]) { o.Slots = 65537 }, "cluster: Options.Slots: 65537: want 1 to 65536"},
		"idle":          {func(o *cluster.Options[string]) { o.IdleRelease = -1 }, "cluster: Options.IdleRelease: -1ns: want 0 (the default) or more"},
		"peer timeout":  {func(o *cluster.Options[string]) { o.PeerTimeout = -time.Second }, "cluster: Options.PeerTimeout: -1s: want at least 1ms"},
		"copies":        {func(o *cluster.Options[string]) { o.CopyCapacity = -1 }, "cluster: Options.CopyCapacity: -1: want 0 (the default) or more"},
		"copy weight":   {func(o *cluster.Options[string]) { o.CopyWeight = 1 }, "cluster: Options.CopyWeight: 1: want 0, since Cache.Weigher is not set"},
		"local loads":   {func(o *cluster.Options[string]) { o.MaxLocalLoads = -1 }, "cluster: Options.MaxLocalLoads: -1: want 0 (the default) or more"},
		"peer requests": {func(o *cluster.Options[string]) { o.MaxPeerRequests = -1 }, "cluster: Options.MaxPeerRequests: -1: want 0 (the default) or more"},
		"key":           {func(o *cluster.Options[string]) { o.MaxKey = 1 << 21 }, "cluster: Options.MaxKey: 2097152: want 1 to 1048576 bytes"},
		"value":         {func(o *cluster.Options[string]) { o.MaxValue = -1 }, "cluster: Options.MaxValue: -1: want 1 to 1073741824 bytes"},
		"delete log":    {func(o *cluster.Options[string]) { o.DeleteLog = -1 }, "cluster: Options.DeleteLog: -1: want 1 to 16777216"},
		"short key":     {func(o *cluster.Options[string]) { o.SharedKeys = [][]byte{make([]byte, 31)} }, "cluster: Options.SharedKeys[0]: 31 bytes: want at least 32"},
		"error name":    {func(o *cluster.Options[string]) { o.Errors = map[string]error{"a b": errNotFound} }, `cluster: Options.Errors["a b"]: not found: want an error under a name of 1 to 64 letters, digits, dots, dashes and underscores`},
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
		Registry: r, Load: from.Load, URL: "http://127.0.0.1:1/_cache", Cache: cache.Options[string, string]{TTL: -1},
	})
	require.ErrorAs(t, err, new(*cache.OptionError))
}

func TestNewOnAClosedRegistry(t *testing.T) {
	r, err := registry.Open(t.Context(), registry.Config{})
	require.NoError(t, err)
	require.NoError(t, r.Close())
	var from origin
	_, err = cluster.New(cluster.Options[string]{Registry: r, Load: from.Load, URL: "http://127.0.0.1:1/_cache"})
	require.ErrorIs(t, err, registry.ErrClosed)
}

// Nodes whose options of the cluster differ do not ask each other, and say why.
func TestNodesThatDiffer(t *testing.T) {
	var from origin
	var logged bytes.Buffer
	a := startNode(t, "a", nil, cluster.Options[string]{Load: from.Load, Ownership: cluster.BySlot, Slots: 8})
	b := startNode(t, "b", []string{a.registry.Addr()}, cluster.Options[string]{
		Load: from.Load, Ownership: cluster.BySlot, Slots: 16, Logger: slog.New(slog.NewTextHandler(&logged, nil)),
	})
	require.Eventually(t, func() bool { return len(a.Stats().Peers) == 1 && len(b.Stats().Peers) == 1 }, 20*time.Second, 5*time.Millisecond)
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
	require.EqualError(t, err, `cluster: ownership "none": want key, slot or ring`)
}

// A codec that was not chosen is the one that fits the type.
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

type brokenCodec struct{}

func (*brokenCodec) Name() string                    { return "broken" }
func (*brokenCodec) Encode(v string) ([]byte, error) { return []byte(v), nil }
func (*brokenCodec) Decode(_ []byte) (string, error) { return "", errors.New("no such thing") }
