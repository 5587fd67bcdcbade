package group

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab/cutnet"
	"github.com/snowfence/snowfence/registry"
)

// patience bounds the waits of a test. A passing test does not reach it.
const patience = 60 * time.Second

// A node is a registry on loopback sockets, and its groups.
type node struct {
	*registry.Registry
	groups *Groups
}

func open(tb testing.TB, c registry.Config) *registry.Registry {
	tb.Helper()
	c.GossipInterval, c.ProbeInterval = 20*time.Millisecond, 200*time.Millisecond
	c.ProbeTimeout, c.SuspicionMult = 100*time.Millisecond, 2
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	r, err := registry.Open(ctx, c)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, r.Close()) })
	return r
}

func start(tb testing.TB, c registry.Config) node {
	tb.Helper()
	r := open(tb, c)
	g, err := Open(tb.Context(), r)
	require.NoError(tb, err)
	return node{r, g}
}

// cluster starts nodes a, b and c, over links that can be cut.
func cluster(tb testing.TB) (*cutnet.Network, []node) {
	tb.Helper()
	cut := cutnet.New(1)
	var nodes []node
	var seeds []string
	for _, name := range []string{"a", "b", "c"} {
		tr, err := cut.Listen(name, "127.0.0.1", 0)
		require.NoError(tb, err)
		n := start(tb, registry.Config{NodeName: name, Seeds: seeds, Transport: tr})
		seeds = []string{n.Addr()}
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		eventually(tb, "together", func() bool { return n.Stats().Members == 3 })
	}
	return cut, nodes
}

func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	require.Eventually(tb, cond, patience, 5*time.Millisecond, what)
}

// show returns the metadata of a group's members, in the order in which they are shown.
func show(g *Groups, name string) []string {
	words := []string{}
	for _, m := range g.Members(name) {
		words = append(words, m.Node+" "+string(m.Meta))
	}
	return words
}

func join(tb testing.TB, ctx context.Context, n node, name, meta string) *Membership {
	tb.Helper()
	m, err := n.groups.Join(ctx, name, []byte(meta))
	require.NoError(tb, err)
	return m
}

func TestThreeNodes(t *testing.T) {
	_, nodes := cluster(t)
	a, b, c := nodes[0], nodes[1], nodes[2]
	one := join(t, t.Context(), a, "g", "1")
	require.Equal(t, []string{"a 1"}, show(a.groups, "g"), "at once")
	join(t, t.Context(), b, "g", "2")
	join(t, t.Context(), a, "g", "3")
	life, end := context.WithCancel(t.Context())
	join(t, life, c, "g", "4")
	_, err := c.Register(t.Context(), "g", nil)
	require.NoError(t, err, "names are separate from groups")
	for _, n := range nodes {
		eventually(t, "all are seen", func() bool { return n.groups.Len("g") == 4 && n.Len() == 1 })
		require.Equal(t, []string{"a 1", "a 3", "b 2", "c 4"}, show(n.groups, "g"))
		require.Equal(t, a.groups.Members("g"), n.groups.Members("g"))
	}
	require.NoError(t, one.Update(t.Context(),
		func(m []byte) []byte { return append([]byte("no longer "), m...) }))
	end()
	for _, n := range nodes {
		eventually(t, "one is updated, one has ended", func() bool {
			return n.groups.Len("g") == 3 && show(n.groups, "g")[0] == "a no longer 1"
		})
	}
	require.NoError(t, one.Leave())
	require.NoError(t, b.Leave(t.Context()))
	for _, n := range []node{a, c} {
		eventually(t, "one has left, and so has a node", func() bool { return n.groups.Len("g") == 1 })
		require.Equal(t, []string{"a 3"}, show(n.groups, "g"))
		require.Zero(t, n.groups.Stats().Unreadable)
		require.Zero(t, n.Stats().Rejected)
		require.Zero(t, n.Stats().Network.Rejected)
	}
}

// Groups can have many members, with lists that do not fit into a packet.
func TestManyMembers(t *testing.T) {
	_, nodes := cluster(t)
	const each = 500
	for _, n := range nodes {
		for i := range each {
			join(t, t.Context(), n, "big", fmt.Sprintf("%s/%060d", n.groups.space.Node(), i))
			join(t, t.Context(), n, fmt.Sprint("small ", i), "x")
		}
	}
	for _, n := range nodes {
		eventually(t, "all are seen", func() bool {
			s := n.groups.Stats()
			return s.Groups == each+1 && s.Members == 6*each && n.groups.Len("big") == 3*each
		})
		s := n.groups.Stats()
		require.Equal(t, 2*each, s.Local)
		var sent, groups uint64
		for _, p := range s.Partitions {
			sent += p.Sent.Updates
			groups += uint64(p.Registrations) //nolint:gosec // not negative
		}
		require.Equal(t, uint64(each+1), groups)
		require.Less(t, sent, uint64(2*each), "many changes go into one message")
	}
	late := start(t, registry.Config{NodeName: "d", Seeds: []string{nodes[1].Addr()},
		SyncTimeout: time.Minute}) // for a busy machine
	require.Equal(t, 3*each, late.groups.Len("big"), "at the moment when Open returns")
}

func TestSplitAndHeal(t *testing.T) {
	cut, nodes := cluster(t)
	a, b, c := nodes[0], nodes[1], nodes[2]
	const groups = 50
	name := func(i int) string { return fmt.Sprint("group ", i) }
	var early []*Membership
	for i := range groups {
		for _, n := range nodes {
			early = append(early, join(t, t.Context(), n, name(i), "early"))
		}
	}
	for _, n := range nodes {
		eventually(t, "all are seen", func() bool { return n.groups.Stats().Members == 3*groups })
	}
	cut.Split([]string{"a"}, []string{"b", "c"})
	eventually(t, "apart", func() bool {
		return a.groups.Stats().Members == groups && b.groups.Stats().Members == 2*groups &&
			c.groups.Stats().Members == 2*groups
	})
	for i := range groups {
		join(t, t.Context(), a, name(i), "late")
		join(t, t.Context(), b, name(i), "late")
		require.NoError(t, early[3*i+2].Leave(), "c leaves while a can't be notified")
	}
	cut.Heal()
	want := []string{"a early", "a late", "b early", "b late"}
	for _, n := range nodes {
		for i := range groups {
			eventually(t, "united, none lost, none doubled", func() bool {
				return fmt.Sprint(show(n.groups, name(i))) == fmt.Sprint(want)
			})
		}
		require.Equal(t, 4*groups, n.groups.Stats().Members)
		for _, p := range n.groups.Stats().Partitions {
			require.Zero(t, p.Conflicts)
		}
	}
	for i, m := range early {
		if i%3 != 2 {
			require.NoError(t, m.Context().Err(), "no membership ends")
		}
	}
}

func TestCrashAndRestart(t *testing.T) {
	a := start(t, registry.Config{NodeName: "a"})
	b := start(t, registry.Config{NodeName: "b", Seeds: []string{a.Addr()}})
	join(t, t.Context(), a, "g", "stays")
	old := join(t, t.Context(), b, "g", "old")
	before, ok := old.Member()
	require.True(t, ok)
	eventually(t, "seen", func() bool { return a.groups.Len("g") == 2 })
	w := a.groups.Watch(t.Context(), "g")
	require.NoError(t, b.Close()) // does not notify the others
	require.ErrorIs(t, context.Cause(old.Context()), registry.ErrClosed)
	require.ErrorIs(t, old.Leave(), registry.ErrClosed)
	e, err := w.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, Event{Kind: Left, Group: "g", Member: before, Reason: registry.ReasonNodeDown}, e)
	require.Equal(t, []string{"a stays"}, show(a.groups, "g"))

	again := start(t, registry.Config{NodeName: "b", Seeds: []string{a.Addr()}})
	join(t, t.Context(), again, "g", "new")
	e, err = w.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, Joined, e.Kind)
	require.Equal(t, "new", string(e.Member.Meta))
	require.NotEqual(t, before.ID, e.Member.ID)
	require.Equal(t, []string{"a stays", "b new"}, show(a.groups, "g"),
		"what the run before had is gone")
}

// A node that opens its groups wakes those of all nodes.
func TestWoken(t *testing.T) {
	a := open(t, registry.Config{NodeName: "a"})
	b := open(t, registry.Config{NodeName: "b", Seeds: []string{a.Addr()}})
	c := open(t, registry.Config{NodeName: "c", Seeds: []string{a.Addr()}})
	for _, r := range []*registry.Registry{a, b, c} {
		eventually(t, "together", func() bool { return r.Stats().Members == 3 })
	}
	ga, err := Open(t.Context(), a)
	require.NoError(t, err)
	join(t, t.Context(), node{a, ga}, "g", "1")
	for _, r := range []*registry.Registry{b, c} {
		g, err := Open(t.Context(), r)
		require.NoError(t, err)
		eventually(t, "seen", func() bool { return g.Len("g") == 1 })
		same, err := Open(t.Context(), r)
		require.NoError(t, err)
		require.Same(t, g, same)
	}
}
