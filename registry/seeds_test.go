package registry

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab/cutnet"
	"github.com/snowfence/snowfence/registry/internal/fakenames"
)

// tryReal opens a node on loopback sockets, whose address a network knows before.
func tryReal(
	t *testing.T, network *cutnet.Network, name string, change func(c *Config, addr string),
) (*Registry, error) {
	t.Helper()
	transport, err := network.Listen(name, "127.0.0.1", 0)
	require.NoError(t, err)
	c := Config{NodeName: name, Partitions: 4, Transport: transport, Preset: Loopback}
	change(&c, transport.Addr())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := Open(ctx, c)
	if err == nil {
		t.Cleanup(func() { require.NoError(t, r.Close()) })
	}
	return r, err
}

func members(n int, all ...*Registry) func() bool {
	return func() bool {
		for _, r := range all {
			if len(r.Members()) != n {
				return false
			}
		}
		return true
	}
}

// TestAllPodsStartAtOnce opens nodes at the same time, each of which finds only itself under their
// common name, or no record at all. They become one cluster when the name service has records of
// all.
func TestAllPodsStartAtOnce(t *testing.T) {
	const pods = 4
	network := cutnet.New(1)
	services := make([]*fakenames.Service, pods)
	all, errs := make([]*Registry, pods), make([]error, pods)
	var opened sync.WaitGroup
	for i := range pods {
		services[i] = fakenames.New()
		name := fmt.Sprint("pod-", i)
		transport, err := network.Listen(name, "127.0.0.1", 0)
		require.NoError(t, err)
		if i > 0 { // the first finds no record
			services[i].SetSRV("peers.test", transport.Addr())
		}
		c := Config{
			NodeName: name, Partitions: 4, Transport: transport, Preset: Loopback, StartAlone: true,
			NameService: services[i], Seeds: []string{"dnssrv+peers.test"},
		}
		opened.Go(func() { all[i], errs[i] = Open(t.Context(), c) })
	}
	opened.Wait()
	var addrs []string
	for i, r := range all {
		require.NoError(t, errs[i])
		t.Cleanup(func() { require.NoError(t, r.Close()) })
		require.Len(t, r.Members(), 1, "it sees only itself")
		_, err := r.Register(t.Context(), "leader", nil)
		require.NoError(t, err)
		addrs = append(addrs, r.Addr())
	}
	for _, s := range services {
		s.SetSRV("peers.test", addrs...)
	}
	eventually(t, "one cluster", members(pods, all...))
	eventually(t, "one leader", func() bool {
		held := 0
		for _, r := range all {
			if holderOf(r, "leader") != holderOf(all[0], "leader") {
				return false
			}
			held += len(r.Registrations())
		}
		return held == 1
	})
}

// TestOrderedStartByHostName starts nodes one after the other. Each gets the host names of all,
// including its own. A name has an address once its node listens.
func TestOrderedStartByHostName(t *testing.T) {
	const pods = 3
	network, names := cutnet.New(1), fakenames.New()
	var seeds []string
	var transports []*cutnet.Transport
	for i := range pods {
		transport, err := network.Listen(fmt.Sprint("pod-", i), "127.0.0.1", 0)
		require.NoError(t, err)
		transports = append(transports, transport)
		seeds = append(seeds, fmt.Sprintf("pod-%d.peers.test:%s", i, fakenames.Port(transport.Addr())))
	}
	var all []*Registry
	for i, transport := range transports {
		names.SetHost(fmt.Sprintf("pod-%d.peers.test", i), "127.0.0.1")
		r, err := Open(t.Context(), Config{
			NodeName: fmt.Sprint("pod-", i), Partitions: 4, Transport: transport, Preset: Loopback,
			NameService: names, Seeds: seeds,
		})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, r.Close()) })
		all = append(all, r)
		eventually(t, "all that are there", members(i+1, all...))
	}
}

// TestStartAlone opens nodes whose seed has no record.
func TestStartAlone(t *testing.T) {
	network, names := cutnet.New(1), fakenames.New()
	var log bytes.Buffer
	change := func(alone bool) func(*Config, string) {
		return func(c *Config, _ string) {
			c.NameService, c.Seeds, c.StartAlone = names, []string{"peers.test:7946", "127.0.0.1:1"}, alone
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		}
	}
	_, err := tryReal(t, network, "a", change(false))
	var j *JoinError
	require.ErrorAs(t, err, &j)
	require.ErrorIs(t, err, ErrNoAddress)
	require.ErrorIs(t, err, ErrUnreachable)
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)
	require.True(t, dns.IsNotFound)

	r, err := tryReal(t, network, "a", change(true))
	require.NoError(t, err)
	require.Len(t, r.Members(), 1)
	require.NoError(t, r.Close())
	require.Equal(t, 1, strings.Count(log.String(), "this node starts alone"))
	require.Contains(t, log.String(), `seeds="[peers.test:7946 127.0.0.1:1]" error="registry: `)

	log.Reset()
	r, err = tryReal(t, network, "first", func(c *Config, addr string) {
		c.Seeds, c.Logger = []string{addr}, slog.New(slog.NewTextHandler(&log, nil))
	})
	require.NoError(t, err, "the node finds itself")
	require.NoError(t, r.Close())
	require.Contains(t, log.String(), "this node starts alone")
	require.NotContains(t, log.String(), "error=")

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrReleased)
	_, err = Open(ctx, Config{StartAlone: true, Seeds: []string{"127.0.0.1:1"}})
	require.ErrorIs(t, err, ErrReleased, "the end of the context is not taken for silence")
}

// TestCutOffWhileOpening opens two nodes that list each other as seeds and can't reach each other.
func TestCutOffWhileOpening(t *testing.T) {
	network := cutnet.New(1)
	network.Cut("a", "b")
	transports := make(map[string]*cutnet.Transport)
	for _, name := range []string{"a", "b"} {
		transport, err := network.Listen(name, "127.0.0.1", 0)
		require.NoError(t, err)
		transports[name] = transport
	}
	var all []*Registry
	for name, transport := range transports {
		r, err := Open(t.Context(), Config{
			NodeName: name, Partitions: 4, Transport: transport, Preset: Loopback,
			Seeds: []string{transports["a"].Addr(), transports["b"].Addr()},
		})
		require.NoError(t, err, "its own address is among the seeds")
		t.Cleanup(func() { require.NoError(t, r.Close()) })
		_, err = r.Register(t.Context(), "leader", nil)
		require.NoError(t, err)
		all = append(all, r)
	}
	network.Heal()
	eventually(t, "they have met", members(2, all...))
	eventually(t, "one of them has the name", func() bool {
		return len(all[0].Registrations())+len(all[1].Registrations()) == 1 &&
			holderOf(all[0], "leader") == holderOf(all[1], "leader")
	})
}

// TestWhoeverIsKeptOutDoesNotOpen opens a node that one seed rejects, although it might open
// otherwise: its own address and that of a node that admits it are among the seeds, and it may
// start alone.
func TestWhoeverIsKeptOutDoesNotOpen(t *testing.T) {
	key := func(b byte) [][]byte { return [][]byte{bytes.Repeat([]byte{b}, 32)} }
	open := func(t *testing.T, network *cutnet.Network, name string, change func(*Config)) *Registry {
		t.Helper()
		r, err := tryReal(t, network, name, func(c *Config, _ string) { change(c) })
		require.NoError(t, err)
		return r
	}
	keyProblem := func(want KeyProblem) func(*testing.T, error) {
		return func(t *testing.T, err error) {
			t.Helper()
			var k *KeyError
			require.ErrorAs(t, err, &k)
			require.Equal(t, want, k.Problem)
		}
	}
	for _, x := range []struct {
		what        string
		here, there func(*Config)
		want        func(*testing.T, error)
	}{
		{
			"a wrong key", func(c *Config) { c.Keys = key(1) }, func(c *Config) { c.Keys = key(2) },
			keyProblem(KeyWrong),
		}, {
			"an outdated key", func(c *Config) { c.Keys = key(1) },
			func(c *Config) { c.Keys = append(key(2), key(1)...) },
			keyProblem(KeyWrong),
		}, {
			"a missing key", func(*Config) {}, func(c *Config) { c.Keys = key(2) },
			keyProblem(KeyMissing),
		}, {
			"a key too many", func(c *Config) { c.Keys = key(1) }, func(*Config) {},
			keyProblem(KeyUnexpected),
		}, {
			"another cluster", func(*Config) {}, func(c *Config) { c.Cluster = "other" },
			func(t *testing.T, err error) {
				t.Helper()
				var m *MismatchError
				require.ErrorAs(t, err, &m)
			},
		}, {
			"another program", func(*Config) {}, nil,
			func(t *testing.T, err error) {
				t.Helper()
				var f *ForeignError
				require.ErrorAs(t, err, &f)
				require.Equal(t, "HTTP/1.1", string(f.Said))
			},
		},
	} {
		t.Run(x.what, func(t *testing.T) {
			network := cutnet.New(1)
			seed := webServer(t)
			if x.there != nil {
				seed = open(t, network, "seed", x.there).Addr()
			}
			friend := open(t, network, "friend", x.here)
			watcher := friend.Watch(t.Context())
			for _, others := range [][]string{nil, {friend.Addr()}, {"127.0.0.1:1"}} {
				r, err := tryReal(t, network, "a", func(c *Config, addr string) {
					x.here(c)
					c.Seeds, c.StartAlone = append(append([]string{addr}, others...), seed), true
				})
				require.Nil(t, r)
				var j *JoinError
				require.ErrorAs(t, err, &j)
				x.want(t, err)
				var s *SeedError
				require.ErrorAs(t, err, &s)
			}
			_, err := friend.Join(t.Context(), seed)
			var j *JoinError
			require.ErrorAs(t, err, &j, "Join returns the same error")
			x.want(t, err)
			eventually(t, "the friend is alone again", members(1, friend))
			for {
				e, err := watcher.Next(t.Context())
				require.NoError(t, err)
				if e.Kind == NodeDown {
					require.Equal(t, ReasonNodeLeft, e.Reason, "the friend was notified")
					break
				}
			}
		})
	}
}

// webServer listens and responds to any request like a web server.
func webServer(t *testing.T) (addr string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 16))
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_ = c.Close() // the other side may have closed it
		}
	})
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		serving.Wait()
	})
	return l.Addr().String()
}

// TestOpenToStrangers opens a node that listens on all addresses, without keys.
func TestOpenToStrangers(t *testing.T) {
	var log bytes.Buffer
	c := Config{NodeName: "a", BindAddr: "0.0.0.0", Cluster: t.Name(),
		Logger: slog.New(slog.NewTextHandler(&log, nil))}
	want, err := c.advertised()
	if err != nil {
		t.Skip(err)
	}
	r, err := Open(t.Context(), c)
	require.NoError(t, err)
	host, _, err := net.SplitHostPort(r.Addr())
	require.NoError(t, err)
	require.Equal(t, want, host)
	require.NotNil(t, net.ParseIP(host).To4())
	require.True(t, isReachable(net.ParseIP(host)))
	require.NoError(t, r.Close())
	require.Equal(t, 1, strings.Count(log.String(), "open to strangers"))
	require.Contains(t, log.String(), "addr="+r.Addr())

	log.Reset()
	c.Keys = [][]byte{make([]byte, 16)}
	r, err = Open(t.Context(), c)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.NotContains(t, log.String(), "open to strangers")
}
