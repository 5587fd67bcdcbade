package clustertest

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry"
)

// listener accepts connections and calls each with every one.
func listener(tb testing.TB, each func(net.Conn)) (addr string) {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	var wg sync.WaitGroup
	var mu sync.Mutex // guards conns
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() { each(c) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// closedPort returns an address at which no socket listens.
func closedPort(tb testing.TB) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	defer func() { require.NoError(tb, l.Close()) }()
	return l.Addr().String()
}

// TestBadInput opens registries with wrong configurations. The messages are compared in full,
// because users rely on them. In those of a joining node SEED stands for the seed's address, and in
// those of the other side NODE for the node's, which the test does not choose.
func TestBadInput(t *testing.T) {
	t.Parallel()
	keyA, keyB := []byte("0123456789abcdef"), []byte("fedcba9876543210")
	rubbish := listener(t, func(c net.Conn) {
		_, _ = c.Write([]byte("SSH-2.0-OpenSSH_9.9\r\n"))
		_ = c.Close()
	})
	page := listener(t, func(c net.Conn) {
		_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n400 Bad " +
			"Request"))
		_ = c.Close()
	})
	hangsUp := listener(t, func(c net.Conn) { _ = c.Close() })
	silent := listener(t, func(net.Conn) {})
	plain, plainSees := openPlain(t, registry.Config{NodeName: "seed"})
	locked, lockedSees := openPlain(t, registry.Config{NodeName: "seed", Keys: [][]byte{keyA}})

	type (
		mismatch = registry.MismatchError
		foreign  = registry.ForeignError
		key      = registry.KeyError
	)
	for _, x := range []struct {
		what string
		seed string
		with registry.Config
		want string
		is   error
		as   any // a pointer to the type of an error that must be wrapped
		sees *registry.Watcher
		seen string
		bump *registry.Registry // its count of rejected messages must grow
	}{{
		what: "a seed that answers with rubbish", seed: rubbish,
		want: `registry: could not join any of SEED: seed SEED: what answers there is not a node of this module: another program listens, or the port is wrong (it says "SSH-2.0-")`, as: new(*foreign),
	}, {
		what: "a seed that is a web server", seed: page,
		want: `registry: could not join any of SEED: seed SEED: what answers there is not a node of this module: another program listens, or the port is wrong (it says "HTTP/1.1")`, as: new(*foreign),
	}, {
		what: "a seed that hangs up", seed: hangsUp,
		want: `registry: could not join any of SEED: seed SEED: it takes connections but does not answer: another program may listen there, or the node is shutting down or overloaded; set Config.StartAlone if this node may start without the others`, is: registry.ErrNoAnswer,
	}, {
		what: "a seed that takes the connection and is silent", seed: silent,
		want: `registry: could not join any of SEED: seed SEED: it takes connections but does not answer: another program may listen there, or the node is shutting down or overloaded; set Config.StartAlone if this node may start without the others`, is: registry.ErrNoAnswer,
	}, {
		what: "a seed that can't be reached", seed: closedPort(t), is: syscall.ECONNREFUSED,
		want: `registry: could not join any of SEED: seed SEED: it can't be reached: dial tcp SEED: connect: connection refused; set Config.StartAlone if this node may start without the others`,
	}, {
		what: "another number of partitions", seed: plain.Addr(), with: registry.Config{Partitions: 8},
		want: `registry: could not join any of SEED: seed SEED: node "seed" at SEED does not match this one: partitions is "16" there, "8" here`,
		as:   new(*mismatch), sees: plainSees,
		seen: `node "newcomer" at NODE does not match this one: partitions is "8" there, "16" here`,
	}, {
		what: "another resolver", seed: plain.Addr(),
		with: registry.Config{Resolver: registry.KeepOldest},
		want: `registry: could not join any of SEED: seed SEED: node "seed" at SEED does not match this one: resolver is "keep-newest" there, "keep-oldest" here`,
		as:   new(*mismatch), sees: plainSees,
		seen: `node "newcomer" at NODE does not match this one: resolver is "keep-oldest" there, "keep-newest" here`,
	}, {
		what: "another cluster, and other things", seed: plain.Addr(),
		with: registry.Config{Cluster: "staging", Partitions: 32},
		want: `registry: could not join any of SEED: seed SEED: node "seed" at SEED does not match this one: cluster is "snowfence" there, "staging" here, partitions is "16" there, "32" here`,
		as:   new(*mismatch), sees: plainSees,
		seen: `node "newcomer" at NODE does not match this one: cluster is "staging" there, "snowfence" here, partitions is "32" there, "16" here`,
	}, {
		what: "a node name that is taken", seed: plain.Addr(), with: registry.Config{NodeName: "seed"},
		want: `registry: could not join any of SEED: seed SEED: the node name "seed" is taken by a live member at SEED; if that node has crashed, its name is free once it is declared dead, at most about 3s after the crash (at once for a node at the same address)`,
		as:   new(*registry.DuplicateNameError), sees: plainSees,
		seen: `the node name "seed" is taken by a live member at NODE; if that node has crashed, its name is free once it is declared dead, at most about 3s after the crash (at once for a node at the same address)`,
	}, {
		what: "a wrong key", seed: locked.Addr(), with: registry.Config{Keys: [][]byte{keyB}},
		want: `registry: could not join any of SEED: seed SEED: the encryption keys don't match: both nodes encrypt, with different keys: the key that a node sends under, its first, must be among the Config.Keys of all others`, as: new(*key), bump: locked,
	}, {
		what: "a key where the seed has none", seed: plain.Addr(),
		with: registry.Config{Keys: [][]byte{keyB}},
		want: `registry: could not join any of SEED: seed SEED: the encryption keys don't match: this node encrypts and the other does not: all nodes need Config.Keys, or none`, as: new(*key), bump: plain,
	}, {
		what: "no key where the seed has one", seed: locked.Addr(),
		want: `registry: could not join any of SEED: seed SEED: the encryption keys don't match: the other node encrypts and this one has no key: set Config.Keys`, as: new(*key), bump: locked,
	}} {
		t.Run(x.what, func(t *testing.T) {
			c := x.with
			if c.NodeName == "" {
				c.NodeName = "newcomer"
			}
			c.Seeds = []string{x.seed}
			c.ProbeInterval, c.SuspicionMult = 500*time.Millisecond, 4
			var rejected uint64
			if x.bump != nil {
				rejected = x.bump.Stats().Network.Rejected
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			r, err := registry.Open(ctx, c)
			if err == nil {
				require.NoError(t, r.Close())
			}
			require.Error(t, err)
			t.Logf("%s:\n\t%v", x.what, err)
			require.Equal(t, x.want, strings.ReplaceAll(err.Error(), x.seed, "SEED"))
			var join *registry.JoinError
			require.ErrorAs(t, err, &join)
			require.Equal(t, c.Seeds, join.Seeds)
			var s *registry.SeedError
			require.ErrorAs(t, err, &s)
			if x.is != nil {
				require.ErrorIs(t, err, x.is)
			}
			if x.as != nil {
				//nolint:testifylint // the target is behind an any
				require.True(t, errors.As(err, x.as), "%T is not within", x.as)
			}
			if x.sees != nil {
				e, err := x.sees.Next(ctx)
				require.NoError(t, err)
				require.Equal(t, registry.NodeRefused, e.Kind)
				t.Logf("and the other side:\n\t%v", e.Err)
				require.Equal(t, x.seen, strings.ReplaceAll(strings.ReplaceAll(e.Err.Error(), x.seed, "SEED"),
					e.Addr, "NODE"))
			}
			if x.bump != nil {
				require.Greater(t, x.bump.Stats().Network.Rejected, rejected, "the other side counts it")
			}
		})
	}
	for _, r := range []*registry.Registry{plain, locked} {
		require.Len(t, r.Members(), 1, "no node was admitted")
	}
	lockedSees.Close()
}

// openPlain opens a registry that others join, and watches it.
func openPlain(tb testing.TB, c registry.Config) (*registry.Registry, *registry.Watcher) {
	tb.Helper()
	c.ProbeInterval, c.SuspicionMult = 500*time.Millisecond, 4
	r, err := registry.Open(tb.Context(), c)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, r.Close()) })
	w := r.Watch(tb.Context())
	return r, w
}

// TestBadConfig calls Open with configurations that are rejected before any work.
func TestBadConfig(t *testing.T) {
	t.Parallel()
	taken, _ := openPlain(t, registry.Config{NodeName: "first"})
	_, text, err := net.SplitHostPort(taken.Addr())
	require.NoError(t, err)
	port, err := strconv.Atoi(text)
	require.NoError(t, err)
	for _, x := range []struct {
		what string
		with registry.Config
		want string
		is   error
	}{
		{"a port in use", registry.Config{BindPort: port},
			`registry: can't listen on 127.0.0.1:PORT: address already in use: is another node running here?`, syscall.EADDRINUSE},
		{"a key of 5 bytes", registry.Config{Keys: [][]byte{[]byte("short")}},
			`registry: Config.Keys[0]: 5 bytes: want 16, 24 or 32 bytes`, nil},
		{"no partitions", registry.Config{Partitions: -1},
			`registry: Config.Partitions: -1: want 1 to 4096`, nil},
		{"a seed without a port", registry.Config{Seeds: []string{"db1.example.org"}},
			`registry: Config.Seeds[0]: "db1.example.org": want host:port or dnssrv+name: it has no port`,
			nil},
		{"a seed elsewhere, from loopback", registry.Config{Seeds: []string{"192.0.2.1:7946"}},
			`registry: Config.BindAddr: 127.0.0.1: want an address that other machines can reach, since Seeds[0] is 192.0.2.1:7946`, nil},
		{"a host name to listen on", registry.Config{BindAddr: "localhost"},
			`registry: Config.BindAddr: "localhost": want an IP address`, nil},
		{"metadata without bound", registry.Config{MaxMeta: 1 << 20},
			`registry: Config.MaxMeta: 1048576: want 0 (the default) to 65535`, nil},
	} {
		t.Run(x.what, func(t *testing.T) {
			_, err := registry.Open(t.Context(), x.with)
			require.Error(t, err)
			t.Logf("%s:\n\t%v", x.what, err)
			require.Equal(t, x.want, strings.ReplaceAll(err.Error(), ":"+text+":", ":PORT:"))
			if x.is != nil {
				require.ErrorIs(t, err, x.is)
			}
		})
	}
}

// TestBadNames makes registrations that are invalid.
func TestBadNames(t *testing.T) {
	t.Parallel()
	r, _ := openPlain(t, registry.Config{NodeName: "a"})
	longest := strings.Repeat("n", registry.MaxName)
	for _, x := range []struct {
		what, name string
		meta       int
		want       string
		as         any
	}{
		{"a name of 0 bytes", "", 0, `registry: name of 0 bytes: want 1 to 65535`,
			new(*registry.NameError)},
		{"a name of 65,536 bytes", longest + "n", 0, `registry: name of 65536 bytes: want 1 to 65535`,
			new(*registry.NameError)},
		{"metadata over the limit", "x", registry.DefaultMaxMeta + 1,
			`registry: metadata of 4097 bytes for name "x": want at most 4096 (Config.MaxMeta)`,
			new(*registry.MetaError)},
		{
			"metadata over the limit for a long name", longest, 5000,
			`registry: metadata of 5000 bytes for name "` + longest[:80] +
				`"... (65535 bytes): want at most 4096 (Config.MaxMeta)`, new(*registry.MetaError),
		},
	} {
		t.Run(x.what, func(t *testing.T) {
			_, err := r.Register(t.Context(), x.name, make([]byte, x.meta))
			require.Error(t, err)
			t.Logf("%s:\n\t%v", x.what, err)
			require.EqualError(t, err, x.want)
			//nolint:testifylint // the target is behind an any
			require.True(t, errors.As(err, x.as), "%T", x.as)
		})
	}
	require.Zero(t, r.Len())
	for _, name := range []string{longest, "x"} {
		g, err := r.Register(t.Context(), name, make([]byte, registry.DefaultMaxMeta))
		require.NoError(t, err, "the largest that is allowed")
		require.NoError(t, g.Release())
	}
}
