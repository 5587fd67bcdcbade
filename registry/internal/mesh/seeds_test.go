package mesh

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab/cutnet"
	"github.com/snowfence/snowfence/registry/internal/fakenames"
)

// service is the name of the nodes of these tests in the name service.
const service = "dnssrv+peers.test"

// setService sets the records of the name in one name service.
func setService(names *fakenames.Service, nodes ...*node) {
	var addrs []string
	for _, n := range nodes {
		addrs = append(addrs, n.Addr())
	}
	names.SetSRV("peers.test", addrs...)
}

// byHand returns a config of a node that searches for others only when a test calls search.
func byHand(name string, names NameService) Config {
	c := config(name)
	c.RejoinInterval, c.Names, c.Seeds = -1, names, []string{service}
	c.forgetDead = time.Nanosecond // memberlist does not find them by itself
	return c
}

// searchAll makes all nodes search for others once, at the same time.
func searchAll(nodes ...*node) {
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(n.search)
	}
	wg.Wait()
}

// TestAllStartAtOnce starts nodes, each of which finds only itself under the name, or one other.
// When the name service is up to date, one round makes one cluster of them.
func TestAllStartAtOnce(t *testing.T) {
	for _, group := range []int{1, 2} {
		t.Run(fmt.Sprintf("each sees %d", group), func(t *testing.T) {
			var nodes []*node
			var services []*fakenames.Service
			for i := range 4 {
				names := fakenames.New()
				services = append(services, names)
				nodes = append(nodes, open(t, byHand(string(rune('a'+i)), names)))
			}
			for i, n := range nodes {
				first := i / group * group
				setService(services[i], nodes[first:first+group]...)
				answered, err := n.Join(deadline(t), service)
				require.NoError(t, err)
				require.Equal(t, group-1, answered, "the node itself does not count")
			}
			for i, n := range nodes {
				together(t, nodes[i/group*group:i/group*group+group]...)
				n.search()
				require.Len(t, n.Members(), group, "the name service shows no other node yet")
			}
			for _, s := range services {
				setService(s, nodes...)
			}
			searchAll(nodes...)
			together(t, nodes...)
		})
	}
}

// TestAllAddressesAreReplaced cuts a node off while each other node leaves and a new one at a new
// address takes its place under the name. All members that the node knew are then dead, and it
// finds the new ones by the name.
func TestAllAddressesAreReplaced(t *testing.T) {
	network, names := cutnet.New(1), fakenames.New()
	start := func(name string) *node {
		transport, err := network.Listen(name, "127.0.0.1", 0)
		require.NoError(t, err)
		c := byHand(name, names)
		c.Transport = transport
		return open(t, c)
	}
	nodes := []*node{start("a"), start("b"), start("c")}
	setService(names, nodes...)
	for _, n := range nodes {
		_, err := n.Join(deadline(t), service)
		require.NoError(t, err)
	}
	together(t, nodes...)
	left := nodes[2]
	network.Isolate("c")
	soon(t, "c is alone", func() bool { return len(left.Members()) == 1 })
	old := map[string]bool{nodes[0].Addr(): true, nodes[1].Addr(): true}
	for i := range 2 {
		fresh := start(fmt.Sprint("new-", i))
		require.False(t, old[fresh.Addr()])
		setService(names, nodes[1-i], fresh)
		_, err := fresh.Join(deadline(t), service)
		require.NoError(t, err)
		require.NoError(t, nodes[i].Close())
		nodes[i] = fresh
	}
	setService(names, nodes[0], nodes[1])
	network.Heal()
	left.search()
	together(t, left, nodes[0], nodes[1])
}

// TestAnAddressIsGivenAway gives the address of a dead node to a node of another cluster, and then
// to a new one of this cluster. The first is not joined and logged once, the second is found.
func TestAnAddressIsGivenAway(t *testing.T) {
	names := fakenames.New()
	a, b := open(t, byHand("a", names)), open(t, byHand("b", names))
	setService(names, b)
	_, err := a.Join(deadline(t), service)
	require.NoError(t, err)
	together(t, a, b)
	addr := b.Addr()
	at := func(c Config) Config {
		c.BindPort, c.Seeds = port(t, addr), nil
		return c
	}
	require.NoError(t, b.Close())
	soon(t, "b is dead", func() bool { return len(a.Members()) == 1 })

	c := at(byHand("stranger", nil))
	c.Identity.Cluster = "other"
	stranger := open(t, c)
	const line = "is not of this cluster"
	for range 3 * restRounds {
		a.search()
	}
	require.EqualValues(t, 3, a.Stats().RejoinAttempts, "the address rests in between")
	require.Equal(t, 1, strings.Count(a.log.String(), line), "and is logged once")
	require.Len(t, a.Members(), 1)
	require.Len(t, stranger.Members(), 1)
	require.NoError(t, stranger.Close())

	fresh := open(t, at(byHand("fresh", nil)))
	for range restRounds {
		a.search()
	}
	together(t, a, fresh)
	require.Equal(t, 1, strings.Count(a.log.String(), line))
}

// TestDeadAddressesDoNotDelay heals a split while more addresses of dead nodes are remembered than
// one round takes, all of them lost after the other half.
func TestDeadAddressesDoNotDelay(t *testing.T) {
	const dead = 30
	network := cutnet.New(1)
	start := func(name string) *node {
		transport, err := network.Listen(name, "127.0.0.1", 0)
		require.NoError(t, err)
		c := byHand(name, fakenames.New())
		c.Transport, c.Seeds = transport, nil
		return open(t, c)
	}
	a, b := start("a"), start("b")
	join(t, a, b)
	together(t, a, b)
	network.Cut("a", "b")
	soon(t, "a and b are apart", func() bool { return len(a.Members()) == 1 && len(b.Members()) == 1 })
	for i := range dead {
		a.rejoin.lost(fmt.Sprint("dead-", i), fmt.Sprintf("127.0.0.1:%d", i+1)) // no node listens there
	}
	for range 5 { // all have been tried before the split heals
		a.search()
	}
	network.Heal()
	const most = (dead + 1 + maxJoins - 1) / maxJoins
	before := a.Stats()
	rounds := 0
	for a.Stats().Rejoined == before.Rejoined && rounds < most {
		a.search()
		rounds++
	}
	after := a.Stats()
	t.Logf("%d rounds, %d attempts", rounds, after.RejoinAttempts-before.RejoinAttempts)
	require.Equal(t, before.Rejoined+1, after.Rejoined, "b was met within %d rounds",
		most)
	// Each node considers the other dead. Unless memberlist has forgotten that, another exchange is
	// needed until both have refuted it.
	soon(t, "a and b are together", func() bool {
		a.search()
		return len(a.Members()) == 2 && len(b.Members()) == 2
	})
}

// TestRoundsAreFairAndBounded drives the memory of a node without a network.
func TestRoundsAreFairAndBounded(t *testing.T) {
	var r rejoin
	r.init(nil)
	addr := func(i int) string { return fmt.Sprintf("10.0.%d.%d:1", i/250, i%250) }
	const many = maxPlaces + 300
	for i := range many {
		r.lost(fmt.Sprint("n", i), addr(i))
	}
	require.Equal(t, maxPlaces, r.candidates(), "memory is bounded")
	round := func() (tried []string) {
		for _, p := range r.next(nil) {
			tried = append(tried, p.addr)
			r.ended(p.addr, greeting{}, false, ErrUnreachable)
		}
		require.LessOrEqual(t, len(tried), maxJoins, "so is the cost of a round")
		return tried
	}
	var newest []string
	for i := range maxJoins {
		newest = append(newest, addr(many-1-i))
	}
	require.ElementsMatch(t, newest, round(), "the addresses lost last are tried first")
	require.NotContains(t, r.places, addr(0), "the address lost longest ago is forgotten")
	seen := make(map[string]int)
	for range maxPlaces / maxJoins {
		for _, a := range round() {
			seen[a]++
		}
	}
	require.Len(t, seen, maxPlaces, "each is tried once before any is tried twice")
	r.lost("late", "10.9.9.9:1")
	require.Contains(t, round(), "10.9.9.9:1")
	r.found("late")
	require.NotContains(t, r.places, "10.9.9.9:1")

	require.Empty(t, r.seeds)
	for i := range 2 * maxGiven {
		s, err := parseSeed(fmt.Sprintf("host-%d.test:1", i))
		require.NoError(t, err)
		r.addSeed(s)
		r.addSeed(s)
	}
	require.Len(t, r.seeds, maxGiven)
	asked := make(map[string]bool)
	for range maxGiven / maxLookups {
		due := r.toLookUp()
		require.LessOrEqual(t, len(due), maxLookups)
		for _, s := range due {
			asked[s.seed.text] = true
		}
	}
	require.Len(t, asked, maxGiven, "all names are looked up in turn")
}

// TestOwnAddressBySpelling lists a node's own address in other spellings than that of Addr.
func TestOwnAddressBySpelling(t *testing.T) {
	names := fakenames.New()
	names.SetHost("localhost", "127.0.0.1")
	names.SetHost("pod-0.test", "127.0.0.1")
	c := byHand("a", names)
	c.BindAddr, c.AdvertiseAddr, c.Seeds = "0.0.0.0", "127.0.0.1", nil
	a := open(t, c)
	text := fakenames.Port(a.Addr())
	own := []string{a.Addr(), "localhost:" + text, "pod-0.test:" + text, "[::ffff:127.0.0.1]:" + text}
	own = append(own, otherIPs(t, text)...)
	for _, seed := range own {
		answered, err := a.Join(deadline(t), seed)
		require.NoError(t, err, seed)
		require.Zero(t, answered, seed)
	}
	require.EqualValues(t, 0, a.Stats().Rejoined)
	b := open(t, byHand("b", names))
	answered, err := b.Join(deadline(t), append(own, b.Addr())...)
	require.NoError(t, err)
	require.Positive(t, answered)
	together(t, a, b)
	for range 3 {
		a.search()
	}
	require.EqualValues(t, 0, a.Stats().Rejoined, "a node does not join itself")

	// Silence of the others says that the node itself was there.
	_, err = a.Join(deadline(t), a.Addr(), "127.0.0.1:1")
	require.ErrorIs(t, err, ErrSelf)
	require.ErrorIs(t, err, ErrUnreachable)
	require.False(t, Refused(err))
}

// otherIPs returns addresses of this machine besides 127.0.0.1, with a port.
func otherIPs(t *testing.T, port string) (addrs []string) {
	t.Helper()
	all, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range all {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLoopback() {
			addrs = append(addrs, net.JoinHostPort(prefix.Addr().String(), port))
		}
	}
	return addrs
}

// TestSeedsAreNames checks that seeds are looked up again, whether or not they answered at first.
func TestSeedsAreNames(t *testing.T) {
	names := fakenames.New()
	c := byHand("a", names)
	c.Seeds = nil
	a := open(t, c)
	_, err := a.Join(deadline(t), "b.test:1", service)
	require.ErrorIs(t, err, ErrNoAddress)
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)

	b := open(t, byHand("b", names))
	_, err = a.Join(deadline(t), "b.test:"+fakenames.Port(b.Addr()))
	require.ErrorIs(t, err, ErrNoAddress)
	names.SetHost("b.test", "127.0.0.1")
	a.search()
	together(t, a, b)
	require.NoError(t, b.Leave(deadline(t)))
	require.NoError(t, b.Close())
	soon(t, "b has left", func() bool { return len(a.Members()) == 1 })

	d := open(t, byHand("d", names))
	setService(names, d)
	a.search()
	together(t, a, d)
	lookups := names.Lookups()
	names.SetSRV("peers.test") // the name service has lost the record
	require.NoError(t, d.Close())
	addr := d.Addr()
	soon(t, "d is dead", func() bool { return len(a.Members()) == 1 })
	c = byHand("d", names)
	c.BindPort, c.Incarnation = port(t, addr), 2
	d = open(t, c)
	a.search()
	together(t, a, d)
	require.Greater(t, names.Lookups(), lookups)
}

// A stuckService answers only when the context ends.
type stuckService struct{}

func (stuckService) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func (stuckService) LookupSRV(ctx context.Context, _, _, _ string) (string, []*net.SRV, error) {
	<-ctx.Done()
	return "", nil, context.Cause(ctx)
}

// TestCloseEndsALookup closes while the name service is stuck.
func TestCloseEndsALookup(t *testing.T) {
	c := config("a")
	c.Names, c.Seeds, c.RejoinInterval = stuckService{}, []string{service}, time.Millisecond
	n := open(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := n.Join(ctx, "host.test:1")
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, n.Close())
}

func TestParseSeed(t *testing.T) {
	for text, want := range map[string]string{
		"host": "it has no port", "10.0.0.1": "it has no port", "": "it has no port",
		"host:": `its port "" is not within 1 to 65535`,
		":7946": "it has no host", "host:x": `its port "x" is not within 1 to 65535`,
		"host:0": `its port "0" is not within 1 to 65535`,
		"::1":    "too many colons in address", "[::1]": "missing port in address",
		"dnssrv+": "it has no name",
	} {
		_, err := SeedHost(text)
		require.EqualError(t, err, want, text)
	}
	for text, want := range map[string]string{
		"host:1": "host", "10.0.0.1:65535": "10.0.0.1", "[::1]:7946": "::1",
		"dnssrv+_registry._tcp.peers": "",
	} {
		host, err := SeedHost(text)
		require.NoError(t, err)
		require.Equal(t, want, host)
	}
}
