package cachevalkey

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valkey-io/valkey-go"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/internal/valkeytest"
)

func TestRoundTrip(t *testing.T) {
	server, s := start(t)
	require.NoError(t, s.Check(within(t)))
	before := read(t, s, "a", "b", "c")
	require.WithinDuration(t, time.Now(), before.Now, time.Hour, "it is the server's clock")
	for _, stored := range before.Stored {
		require.Nil(t, stored.Data)
	}
	require.NoError(t, s.Write(within(t), []cache.Record{
		{Key: "a", Data: []byte("x\x00\r\n"), Fence: before.Stored[0].Fence, Keep: time.Hour},
		{Key: "b", Data: []byte{}, Fence: before.Stored[1].Fence},
	}))
	after := read(t, s, "c", "b", "a")
	require.Nil(t, after.Stored[0].Data)
	require.NotNil(t, after.Stored[1].Data, "a record without bytes is a record")
	require.Empty(t, after.Stored[1].Data)
	require.Equal(t, "x\x00\r\n", string(after.Stored[2].Data))

	keep, ok := do(t, server, "PTTL", "snowfence:1:k:a").(int64)
	require.True(t, ok)
	require.Positive(t, keep)
	require.LessOrEqual(t, keep, time.Hour.Milliseconds())
	require.Equal(t, int64(-1), do(t, server, "PTTL", "snowfence:1:k:b"), "it is kept for ever")
	lease, ok := do(t, server, "PTTL", "snowfence:1:k:c").(int64)
	require.True(t, ok)
	require.Positive(t, lease)
	require.LessOrEqual(t, lease, DefaultLeaseFor.Milliseconds())

	// Nothing of these makes an error.
	require.NoError(t, s.Write(within(t), nil))
	require.NoError(t, s.Delete(within(t), nil))
	require.NoError(t, s.Invalidate(within(t), nil))
	require.Empty(t, read(t, s).Stored)
}

// Two Storages with different prefixes share a server, not data.
func TestPrefix(t *testing.T) {
	server, s := start(t)
	o := at(server.Addr())
	o.Prefix = "other"
	other := open(t, o)
	store(t, s, "k", "mine", "")
	require.Equal(t, "nothing", data(t, other, "k"))
	require.NoError(t, other.Delete(within(t), []string{"k"}))
	require.Equal(t, "mine", data(t, s, "k"))
}

func TestFence(t *testing.T) {
	server, a := start(t)
	b := open(t, at(server.Addr()))

	for name, outdate := range map[string]func(key, fence string){
		"a delete": func(key, _ string) {
			require.NoError(t, b.Delete(within(t), []string{key}))
		},
		"a write":                func(key, f string) { store(t, b, key, "other", f) },
		"an unconditional write": func(key, _ string) { store(t, b, key, "other", "") },
		"the loss of the record": func(key, _ string) { do(t, server, "DEL", "snowfence:1:k:"+key) },
		"the loss of all":        func(string, string) { do(t, server, "FLUSHALL") },
		"a restart with loss":    func(string, string) { require.NoError(t, server.Restart(within(t))) },
		"garbage": func(key, _ string) {
			do(t, server, "SET", "snowfence:1:k:"+key, "garbage")
		},
		"garbage of another type": func(key, _ string) { garbage(t, server, "snowfence:1:k:"+key) },
	} {
		for _, read := range []bool{false, true} {
			for _, stored := range []bool{false, true} {
				key := fmt.Sprint(name, read, stored)
				if stored {
					store(t, a, key, "old", "")
				}
				f := fence(t, a, key)
				require.Equal(t, f, fence(t, b, key), "all who find a lease share its fence")
				outdate(key, f)
				between := "nothing"
				if strings.HasSuffix(name, "write") {
					between = "other"
				}
				if read {
					require.NotEqual(t, f, fence(t, b, key), name)
				}
				store(t, a, key, "late", f)
				require.Equal(t, between, data(t, a, key), "after %s", name)

				// The fence that holds now still works.
				store(t, a, key, "new", fence(t, b, key))
				require.Equal(t, "new", data(t, b, key), "after %s", name)
			}
		}
	}
}

// garbage makes a key hold a list.
func garbage(tb testing.TB, server *valkeytest.Server, key string) {
	tb.Helper()
	do(tb, server, "DEL", key)
	do(tb, server, "RPUSH", key, "garbage")
}

// A lease ends by itself, and what is loaded later is not stored.
func TestLeaseEnds(t *testing.T) {
	server, s := start(t)
	f := fence(t, s, "k")
	do(t, server, "PEXPIRE", "snowfence:1:k:k", "1")
	for do(t, server, "EXISTS", "snowfence:1:k:k") != int64(0) {
		time.Sleep(time.Millisecond)
	}
	store(t, s, "k", "late", f)
	require.Equal(t, "nothing", data(t, s, "k"))
}

// What is no record of this format is none, is not deleted by reading, and can be replaced.
func TestGarbage(t *testing.T) {
	server, s := start(t)
	key := "snowfence:1:k:k"
	for name, spoil := range map[string]func(){
		"short":        func() { do(t, server, "SET", key, "R") },
		"empty":        func() { do(t, server, "SET", key, "") },
		"other kind":   func() { do(t, server, "SET", key, strings.Repeat("x", 30)) },
		"another type": func() { garbage(t, server, key) },
	} {
		spoil()
		require.Equal(t, "nothing", data(t, s, "k"), name)
		f := fence(t, s, "k")
		store(t, s, "k", "new", f)
		require.Equal(t, "new", data(t, s, "k"), name)
		store(t, s, "k", "newer", f)
		require.Equal(t, "new", data(t, s, "k"), "%s: the fence holds for garbage alone", name)
		require.NoError(t, s.Delete(within(t), []string{"k"}))
		store(t, s, "k", "late", f)
		require.Equal(t, "nothing", data(t, s, "k"), name)
	}
}

func TestTags(t *testing.T) {
	server, a := start(t)
	b := open(t, at(server.Addr()))
	first := read(t, a)
	require.Len(t, first.Log, 1, "a log begins with the invalidation of everything")
	require.Empty(t, first.Log[0].Tag)
	begin := first.Log[0].Version
	require.InDelta(t, first.Now.UnixMicro(), float64(begin), float64(time.Hour.Microseconds()))

	require.NoError(t, b.Invalidate(within(t), []string{"x", "y"}))
	require.NoError(t, a.Invalidate(within(t), []string{"y"}))
	version := make(map[string]uint64)
	all := read(t, a)
	for _, i := range all.Log {
		require.NotContains(t, version, i.Tag)
		version[i.Tag] = i.Version
	}
	require.Len(t, version, 3)
	require.Equal(t, begin, version[""])
	require.Greater(t, version["x"], begin)
	require.Greater(t, version["y"], version["x"])
	require.Zero(t, all.Forgotten)

	r, err := a.Read(within(t), nil, version["y"])
	require.NoError(t, err)
	require.Equal(t, []cache.Invalidation{{Tag: "y", Version: version["y"]}}, r.Log)

	require.NoError(t, b.Invalidate(within(t), []string{""}))
	r, err = a.Read(within(t), nil, version["y"]+1)
	require.NoError(t, err)
	require.Len(t, r.Log, 1)
	require.Empty(t, r.Log[0].Tag)
	require.Greater(t, r.Log[0].Version, version["y"])
}

// A log that is lost, or that another program has overwritten, begins anew, above all versions that
// were known: everything counts as invalidated.
func TestLogIsLost(t *testing.T) {
	server, s := start(t)
	log := "{snowfence:1}:tags"
	for name, lose := range map[string]func(){
		"lost":             func() { do(t, server, "DEL", log) },
		"a string":         func() { do(t, server, "SET", log, "garbage") },
		"a list":           func() { garbage(t, server, log) },
		"infinite version": func() { do(t, server, "ZADD", log, "inf", "garbage") },
		"huge version":     func() { do(t, server, "ZADD", log, "9e15", "garbage") },
		"restart":          func() { require.NoError(t, server.Restart(within(t))) },
	} {
		require.NoError(t, s.Invalidate(within(t), []string{"x"}))
		version := top(read(t, s))
		lose()
		r := read(t, s)
		require.Len(t, r.Log, 1, name)
		require.Empty(t, r.Log[0].Tag)
		require.Greater(t, r.Log[0].Version, version, name)
	}

	// The clock of the server may have gone back meanwhile.
	future := uint64(1) << 51
	do(t, server, "ZADD", log, decimal(future), "tx")
	require.Equal(t, future, top(read(t, s)))
	do(t, server, "DEL", log)
	require.Greater(t, read(t, s).Log[0].Version, future)
	do(t, server, "DEL", log)
	require.NoError(t, s.Invalidate(within(t), []string{"x"}))
	for _, i := range read(t, s).Log {
		require.Greater(t, i.Version, future)
	}
}

// top returns the highest version of a reading.
func top(r cache.Reading) (version uint64) {
	for _, i := range r.Log {
		version = max(version, i.Version)
	}
	return version
}

func TestLogIsBounded(t *testing.T) {
	server := valkeytest.Run(t, valkeytest.Options{})
	o := at(server.Addr())
	o.LogSize = 10
	s := open(t, o)
	var versions []uint64
	for i := range 30 {
		tag := fmt.Sprint("tag", i)
		require.NoError(t, s.Invalidate(within(t), []string{tag}))
		r := read(t, s)
		require.Equal(t, tag, r.Log[len(r.Log)-1].Tag)
		versions = append(versions, r.Log[len(r.Log)-1].Version)
	}
	require.Equal(t, int64(10), do(t, server, "ZCARD", "{snowfence:1}:tags"))
	require.Equal(t, int64(10), do(t, server, "ZCARD", "{snowfence:1}:notices"))
	r := read(t, s)
	require.Len(t, r.Log, 9)
	require.Equal(t, versions[20], r.Forgotten, "it is the newest that was dropped")
	require.Equal(t, versions[21], r.Log[0].Version)
	r, err := s.Read(within(t), nil, versions[21])
	require.NoError(t, err)
	require.Zero(t, r.Forgotten)
	require.Len(t, r.Log, 9)
}

// However many keys there are, a Read and a Write take one round trip each, and a Delete does.
func TestOneRoundTrip(t *testing.T) {
	server := valkeytest.Run(t, valkeytest.Options{})
	proxy := newProxy(t, server.Addr())
	o := at(proxy.addr)
	o.Client.Dialer.KeepAlive = time.Hour // no PING
	s := open(t, o)
	var keys []string
	var records []cache.Record
	for i := range 100 {
		keys = append(keys, fmt.Sprint("key", i))
		records = append(records, cache.Record{Key: keys[i], Data: []byte("value")})
	}
	actions := map[string]func(){
		"read":       func() { read(t, s, keys...) },
		"write":      func() { require.NoError(t, s.Write(within(t), records)) },
		"delete":     func() { require.NoError(t, s.Delete(within(t), keys)) },
		"invalidate": func() { require.NoError(t, s.Invalidate(within(t), keys)) },
	}
	for _, f := range actions { // it connects, and the server learns the scripts
		f()
	}
	for name, f := range actions {
		trips := proxy.trips.Load()
		f()
		require.Equal(t, int64(1), proxy.trips.Load()-trips, name)
	}
}

func TestTLS(t *testing.T) {
	server := valkeytest.Run(t, valkeytest.Options{TLS: true})
	s := open(t, withTLS(at(server.Addr()), server.TLS()))
	store(t, s, "k", "v", fence(t, s, "k"))
	require.Equal(t, "v", data(t, s, "k"))

	stranger := server.TLS()
	stranger.RootCAs = nil
	s = open(t, withTLS(at(server.Addr()), stranger))
	require.ErrorContains(t, s.Check(within(t)), "certificate")
}

func TestUnixSocketAndPassword(t *testing.T) {
	server := valkeytest.Run(t, valkeytest.Options{Unix: true})
	do(t, server, "ACL", "SETUSER", "app", "on", ">secret", "+@all", "~*")
	client, err := valkey.ParseURL("unix://app:secret@" + server.Socket())
	require.NoError(t, err)
	s := open(t, Options{Client: client})
	store(t, s, "k", "v", fence(t, s, "k"))
	require.Equal(t, "v", data(t, s, "k"))

	client.Password = "wrong"
	s = open(t, Options{Client: client})
	err = s.Check(within(t))
	require.ErrorContains(t, err, "WRONGPASS")
	refusal := new(valkey.ValkeyError)
	require.ErrorAs(t, err, &refusal)
}

func TestDatabase(t *testing.T) {
	server, s := start(t)
	o := at(server.Addr())
	o.Client.SelectDB = 3
	other := open(t, o)
	store(t, other, "k", "v", "")
	require.Equal(t, "nothing", data(t, s, "k"))
}

func TestClose(t *testing.T) {
	_, s := start(t)
	store(t, s, "k", "v", "")
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	_, err := s.Read(within(t), []string{"k"}, 0)
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, s.Write(within(t), []cache.Record{{Key: "k"}}), ErrClosed)
	require.ErrorIs(t, s.Delete(within(t), []string{"k"}), ErrClosed)
	require.ErrorIs(t, s.Invalidate(within(t), []string{"k"}), ErrClosed)
	require.ErrorIs(t, s.Check(within(t)), ErrClosed)
	s.Watch(func(cache.Notice) {})()

	unused, err := New(at("127.0.0.1:1"))
	require.NoError(t, err)
	require.NoError(t, unused.Close())
}

func TestOptions(t *testing.T) {
	for field, set := range map[string]func(*Options){
		"Client.InitAddress": func(o *Options) { o.Client.InitAddress = nil },
		"Client.OnInvalidations": func(o *Options) {
			o.Client.OnInvalidations = func([]valkey.ValkeyMessage) {}
		},
		"Client.ClientTrackingOptions": func(o *Options) { o.Client.ClientTrackingOptions = []string{} },
		"Client.ReplicaOnly":           func(o *Options) { o.Client.ReplicaOnly = true },
		"Client.SendToReplicas": func(o *Options) {
			o.Client.SendToReplicas = func(valkey.Completed) bool { return true }
		},
		"Client.DisableAutoPipelining": func(o *Options) { o.Client.DisableAutoPipelining = true },
		"Prefix":                       func(o *Options) { o.Prefix = "a{b" },
		"LeaseFor":                     func(o *Options) { o.LeaseFor = -time.Second },
		"LogSize":                      func(o *Options) { o.LogSize = 1 },
	} {
		o := at(net.JoinHostPort("localhost", "6379"))
		set(&o)
		_, err := New(o)
		bad := new(OptionError)
		require.ErrorAs(t, err, &bad, field)
		require.Equal(t, field, bad.Field)
		require.ErrorContains(t, err, "cachevalkey: Options."+field+": ")
	}
	for _, address := range []string{"", "host", "host:", "redis://host:6379", "::1"} {
		_, err := New(at("host:6379", address))
		require.ErrorContains(t, err, fmt.Sprintf("cachevalkey: Options.Client.InitAddress: [%q %q]: want "+
			"host:port", "host:6379", address))
	}
	_, err := New(Options{Client: valkey.ClientOption{InitAddress: []string{"a:1"}}, LogSize: -1})
	require.EqualError(t, err, "cachevalkey: Options.LogSize: -1: want 2 to 1048576")
}
