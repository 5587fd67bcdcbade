package mesh

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/stretchr/testify/require"
)

func TestJoinOfThree(t *testing.T) {
	nodes := cluster(t, 3, nil)
	a, b, c := nodes[0], nodes[1], nodes[2]
	require.Equal(t, []string{"a", "b", "c"}, a.names())
	require.Equal(t, []string{"a", "b", "c"}, c.names())
	for _, n := range nodes {
		soon(t, "one NodeUp for each other node", func() bool { return len(n.history()) == 2 })
		require.Len(t, n.Members(), 3)
	}
	require.ElementsMatch(t, []string{"up a 1", "up c 1"}, b.history())
	for _, m := range b.Members() {
		if m.Name == "a" {
			require.Equal(t, Member{Name: "a", Addr: a.Addr(), Incarnation: 1}, m)
		}
	}

	// The own address among the seeds, and a duplicate, change nothing.
	answered, err := a.Join(deadline(t), a.Addr(), b.Addr(), b.Addr())
	require.NoError(t, err)
	require.Equal(t, 1, answered)
	answered, err = a.Join(deadline(t), a.Addr())
	require.NoError(t, err)
	require.Equal(t, 0, answered)
}

func TestIdentityMustBeEqual(t *testing.T) {
	cases := []struct {
		field, ours, theirs string
		change              func(*Identity)
	}{
		{"cluster", "test", "other", func(i *Identity) { i.Cluster = "other" }},
		{"partitions", "16", "32", func(i *Identity) { i.Partitions = 32 }},
		{"resolver", "newest", "oldest", func(i *Identity) { i.Resolver = "oldest" }},
		{"protocol", "1", "2", func(i *Identity) { i.Protocol = 2 }},
	}
	for _, x := range cases {
		t.Run(x.field, func(t *testing.T) {
			a := open(t, config("a"))
			c := config("b")
			x.change(&c.Identity)
			b := open(t, c)

			answered, err := b.Join(deadline(t), a.Addr())
			require.Zero(t, answered)
			var mismatch *MismatchError
			require.ErrorAs(t, err, &mismatch)
			require.Equal(t, &MismatchError{Node: "a", Addr: a.Addr(),
				Differences: []Difference{{x.field, x.theirs, x.ours}}}, mismatch)
			var seed *SeedError
			require.ErrorAs(t, err, &seed)
			require.Equal(t, a.Addr(), seed.Seed)
			require.ErrorContains(t, err, fmt.Sprintf("%s is %q there, %q here", x.field, x.ours, x.theirs))

			soon(t, "the seed is notified", func() bool { return len(a.refusals0()) > 0 })
			r := a.refusals0()[0]
			require.Equal(t, "b", r.node)
			require.Equal(t, b.Addr(), r.addr)
			require.ErrorAs(t, r.err, &mismatch)
			require.Equal(t, []Difference{{x.field, x.ours, x.theirs}}, mismatch.Differences)
			soon(t, "the seed logs it", func() bool {
				return strings.Contains(a.log.String(), "node refused")
			})

			require.Equal(t, []string{"a"}, a.names())
			require.Equal(t, []string{"b"}, b.names())
			require.Empty(t, a.history())
			require.Empty(t, b.history())
		})
	}
}

func TestAllDifferencesAreNamed(t *testing.T) {
	a := open(t, config("a"))
	c := config("b")
	c.Identity = Identity{Cluster: "x", Partitions: 1, Resolver: "y", Protocol: 9}
	b := open(t, c)
	_, err := b.Join(deadline(t), a.Addr())
	for _, field := range []string{"cluster", "partitions", "resolver", "protocol"} {
		require.ErrorContains(t, err, field)
	}
}

func TestDuplicateName(t *testing.T) {
	nodes := cluster(t, 2, nil)
	a, b := nodes[0], nodes[1]
	for _, seed := range nodes { // the holder of the name itself, and another
		x := open(t, config("a"))
		answered, err := x.Join(deadline(t), seed.Addr())
		require.Zero(t, answered)
		var duplicate *DuplicateNameError
		require.ErrorAs(t, err, &duplicate)
		require.Equal(t, "a", duplicate.Name)
		require.Equal(t, a.Addr(), duplicate.Addr)
		require.Positive(t, duplicate.Free)
		require.ErrorContains(t, err, "after the crash")
		soon(t, "the seed refuses", func() bool {
			for _, r := range seed.refusals0() {
				if r.node == "a" && r.addr == x.Addr() && errors.As(r.err, &duplicate) {
					return true
				}
			}
			return false
		})
		require.Equal(t, []string{"a"}, x.names(), "it must not be half-joined")
		require.Empty(t, x.history())
		require.Len(t, b.Members(), 2)
		require.Equal(t, []string{"up b 1"}, a.history())
		require.Equal(t, []string{"up a 1"}, b.history())
	}
}

func TestRestartAtTheSameAddress(t *testing.T) {
	nodes := cluster(t, 3, nil)
	a, b, c := nodes[0], nodes[1], nodes[2]
	addr := c.Addr()
	require.NoError(t, c.Close())

	again := config("c")
	again.BindPort, again.Incarnation = port(t, addr), 2
	c = open(t, again)
	join(t, c, a)
	for _, n := range []*node{a, b} {
		soon(t, n.cfg.Node+" hears of the restart", func() bool { return n.heard("up c 2") })
		require.Empty(t, n.refusals0())
	}
	together(t, a, b, c)
}

// A pestered transport lets others send to the node while memberlist listens and has not added the
// node to its list yet. Just before it does, it calls for the address to advertise.
type pestered struct {
	memberlist.NodeAwareTransport
	calls  atomic.Int32
	pester func()
}

func (p *pestered) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	if p.calls.Add(1) == 3 { // the mesh calls first, then memberlist when it is made
		p.pester()
	}
	return p.NodeAwareTransport.FinalAdvertiseAddr(ip, port)
}

// TestWordOfTheRunBefore lets others send messages about its previous incarnation to a node that
// restarts, as soon as memberlist listens. Memberlist must not get them before it has added the
// node: whether they then cause an error depends on a few instructions.
func TestWordOfTheRunBefore(t *testing.T) {
	nodes := cluster(t, 2, nil)
	a, b := nodes[0], nodes[1]
	addr := b.Addr()
	require.NoError(t, b.Close())

	base, err := listen("127.0.0.1", port(t, addr))
	require.NoError(t, err)
	exchanged, early := make(chan struct{}), false
	transport := &pestered{NodeAwareTransport: base, pester: func() {
		go func() {
			defer close(exchanged)
			_, _ = a.list.Join([]string{addr})
		}()
		select {
		case <-exchanged:
			early = true
		case <-time.After(time.Second):
		}
	}}
	again := config("b")
	again.Transport, again.Incarnation = transport, 2
	b = open(t, again)
	<-exchanged
	require.False(t, early, "memberlist received messages too early")
	soon(t, "a hears of the restart", func() bool { return a.heard("up b 2") })
	together(t, a, b)
}

// TestRestartOfASeed restarts the first node of a cluster, which joins no other: the nodes that
// probe it detect that.
func TestRestartOfASeed(t *testing.T) {
	nodes := cluster(t, 2, nil)
	addr := nodes[0].Addr()
	require.NoError(t, nodes[0].Close())
	again := config("a")
	again.BindPort, again.Incarnation, again.RejoinInterval = port(t, addr), 2, -1
	a := open(t, again)
	soon(t, "b finds the new a", func() bool { return nodes[1].heard("up a 2") })
	together(t, a, nodes[1])
}

// TestAnswerOfAnotherRun checks that an answer to a probe with another incarnation leads to an
// exchange at once.
func TestAnswerOfAnotherRun(t *testing.T) {
	nodes := cluster(t, 2, nil)
	a, b := nodes[0], nodes[1]
	answer := func(incarnation uint64) {
		tcp, err := net.ResolveTCPAddr("tcp", b.Addr())
		require.NoError(t, err)
		n := &memberlist.Node{Name: "b", Addr: tcp.IP, Port: uint16(port(t, b.Addr()))}
		payload := binary.BigEndian.AppendUint64(nil, identity.hash())
		(&delegate{a.Mesh}).NotifyPingComplete(n, 0, binary.BigEndian.AppendUint64(payload, incarnation))
	}
	answer(1)
	require.Empty(t, a.rejoin.kicked)
	require.Zero(t, a.Stats().RejoinAttempts, "nothing is new")
	answer(2)
	soon(t, "an exchange", func() bool { return a.Stats().Rejoined > 0 })
}

// TestRestartAsAnotherKind checks that a node is found dead even if a new process answers its
// probes.
func TestRestartAsAnotherKind(t *testing.T) {
	nodes := cluster(t, 3, nil)
	addr := nodes[2].Addr()
	require.NoError(t, nodes[2].Close())
	again := config("c")
	again.BindPort, again.Incarnation = port(t, addr), 2
	again.Identity.Cluster = "other"
	c := open(t, again)
	for _, n := range nodes[:2] {
		soon(t, "the old c is found dead", func() bool { return n.heard("down c false") })
	}
	require.Equal(t, []string{"c"}, c.names())
	require.NoError(t, c.Close())

	again.Identity = identity // with the right identity it is admitted at once
	again.Incarnation = 3
	c = open(t, again)
	join(t, c, nodes[0])
	together(t, nodes[0], nodes[1], c)
}

func TestCrashedNameAtAnotherAddress(t *testing.T) {
	nodes := cluster(t, 3, nil)
	require.NoError(t, nodes[2].Close())
	again := config("c")
	again.Incarnation = 2
	c := open(t, again)
	ctx := deadline(t)
	for {
		_, err := c.Join(ctx, nodes[0].Addr())
		if err == nil {
			break
		}
		var duplicate *DuplicateNameError
		require.ErrorAs(t, err, &duplicate)
	}
	for _, n := range nodes[:2] {
		soon(t, "the new c is known", func() bool { return n.heard("up c 2") })
	}
	require.True(t, nodes[0].heard("down c false"), "only what was declared dead is replaced")
	together(t, nodes[0], nodes[1], c)
}

func port(t *testing.T, addr string) int {
	t.Helper()
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	require.NoError(t, err)
	return tcp.Port
}

func TestKeysMustMatch(t *testing.T) {
	one, two := []byte("0123456789abcdef"), []byte("fedcba9876543210")
	cases := []struct {
		name         string
		seed, joiner [][]byte
		says         string
	}{
		{"different keys", [][]byte{one}, [][]byte{two}, "different keys"},
		{"only the joiner has one", nil, [][]byte{two}, "does not"},
		{"only the seed has one", [][]byte{one}, nil, "no key"},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			c := config("a")
			c.Keys = x.seed
			a := open(t, c)
			c = config("b")
			c.Keys = x.joiner
			b := open(t, c)
			answered, err := b.Join(deadline(t), a.Addr())
			require.Zero(t, answered)
			require.ErrorIs(t, err, ErrKey)
			require.ErrorContains(t, err, a.Addr())
			require.ErrorContains(t, err, x.says)
			soon(t, "the seed reports it", func() bool {
				a.mu.Lock()
				defer a.mu.Unlock()
				return len(a.rejected) > 0 && errors.Is(a.rejected[0], ErrKey)
			})
			require.Contains(t, a.log.String(), "bytes rejected")
			require.Equal(t, []string{"a"}, a.names())
		})
	}
}

// serve answers each connection to a listener with f, until the test ends.
func serve(t *testing.T, f func(net.Conn)) (addr string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			_ = c.Close() // the other side may have closed first
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		<-done
	})
	return l.Addr().String()
}

func TestSeedsThatAreNoNodes(t *testing.T) {
	hang := make(chan struct{})
	junk := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = io.ReadAtLeast(c, make([]byte, 1), 1)
			_, _ = c.Write([]byte(text))
		}
	}
	unused := serve(t, func(net.Conn) {})
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := l.Addr().String()
	require.NoError(t, l.Close())
	silent := serve(t, func(net.Conn) { <-hang })
	t.Cleanup(func() { close(hang) })

	n := open(t, config("a"))
	cases := []struct {
		name, seed string
		is         error // nil: a *ForeignError
	}{
		{"another protocol", serve(t, junk("HTTP/1.1 400 Bad Request\r\n\r\n")), nil},
		{"junk after a known first byte", serve(t, junk("\x06\x83\xff\xff\xff\xff\xff\xff\xff\xff")),
			nil},
		{"a promise of much", serve(t,
			junk("\x06\x83\xa5Nodes\xce\x7f\xff\xff\xff\xa4Join\xc3\xacUserStateLen\x00")), nil},
		{"compressed junk", serve(t, junk("\x09\x82\xa4Algo\x00\xa3Buf\xa4\xff\xff\xff\xff")), nil},
		{"an empty compressed message", serve(t, junk("\x09\x82\xa4Algo\x00\xa3Buf\xa0")), nil},
		{"hangs up", unused, ErrNoAnswer},
		{"silent", silent, ErrNoAnswer},
		{"nobody there", closed, ErrUnreachable},
		{"no such name", "no-such-host.invalid:7946", ErrNoAddress},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			answered, err := n.Join(deadline(t), x.seed)
			require.Zero(t, answered)
			if x.is == nil {
				var foreign *ForeignError
				require.ErrorAs(t, err, &foreign)
			} else {
				require.ErrorIs(t, err, x.is)
			}
			require.Equal(t, x.is == nil, Refused(err))
			var seed *SeedError
			require.ErrorAs(t, err, &seed)
			require.Equal(t, x.seed, seed.Seed)
			require.ErrorContains(t, err, x.seed)
		})
	}
	_, err = n.Join(deadline(t), closed)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)

	for _, bad := range []string{"host:port:more", ":7946", "127.0.0.1:0", "127.0.0.1:99999",
		"127.0.0.1:x"} {
		_, err = n.Join(deadline(t), bad)
		var seed *SeedError
		require.ErrorAs(t, err, &seed, bad)
	}

	// If one seed is a node, Join succeeds whatever the others are.
	b := open(t, config("b"))
	answered, err := b.Join(deadline(t), closed, n.Addr(), unused)
	require.NoError(t, err)
	require.Equal(t, 1, answered)

	// A join ends with its context, even if the seed is silent.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = n.Join(ctx, silent)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, silent)
}

// TestCloseEndsAJoin closes while a seed is silent.
func TestCloseEndsAJoin(t *testing.T) {
	hang, accepted := make(chan struct{}), make(chan struct{})
	silent := serve(t, func(net.Conn) { close(accepted); <-hang })
	t.Cleanup(func() { close(hang) })
	n := open(t, config("a"))
	result := make(chan error, 1)
	go func() {
		_, err := n.Join(deadline(t), silent)
		result <- err
	}()
	<-accepted
	require.NoError(t, n.Close())
	require.ErrorIs(t, <-result, ErrClosed)
	_, err := n.Join(deadline(t), silent)
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, n.Leave(deadline(t)), ErrClosed)
}

func TestPortInUse(t *testing.T) {
	a := open(t, config("a"))
	c := config("b")
	c.BindPort = port(t, a.Addr())
	_, err := try(t, c)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.ErrorContains(t, err, a.Addr())
}
