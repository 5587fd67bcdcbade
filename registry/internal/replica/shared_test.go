package replica

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func shared(name string) bool { return strings.HasPrefix(name, "group/") }

func TestClaimsOnASharedNameLiveSideBySide(t *testing.T) {
	c := newCluster(t)
	for i, n := range []string{"a", "b", "c"} {
		c.start(n, uint64(i+1), Config{Shared: shared})
	}
	c.pump(time.Second)
	for n, p := range c.nodes {
		own, taken := p.Register(c.at, "group/g", []byte(n))
		require.NotNil(t, own)
		require.Nil(t, taken)
		own, taken = p.Register(c.at, "group/g", nil)
		require.Nil(t, own)
		require.Equal(t, n, taken.Node, "one for each node")
	}
	c.pump(2 * time.Second)
	for n, p := range c.nodes {
		require.Len(t, p.Claims("group/g"), 3)
		require.Equal(t, "a", p.Lookup("group/g").Node, "the least name stands for all")
		require.Empty(t, c.lost[n])
		require.Zero(t, p.Stats().Conflicts)
		require.Equal(t, 3, count(c.event[n], SharedChanged))
		require.Zero(t, count(c.event[n], Registered))
		require.Equal(t, 1, p.Len())
	}
	c.nodes["c"].Unregister(c.at, "group/g", WhyReleased)
	own, taken := c.nodes["c"].Register(c.at, "group/g", nil)
	require.Nil(t, taken, "the claims of others do not matter")
	require.NotNil(t, own)
	c.nodes["b"].Unregister(c.at, "group/g", WhyEnded)
	c.pump(time.Second)
	last := c.event["c"][len(c.event["c"])-1]
	require.Equal(t, SharedChanged, last.Type)
	require.True(t, last.Record.Dead)
	require.Equal(t, WhyEnded, last.Record.Why)
	require.Len(t, c.nodes["a"].Claims("group/g"), 2)

	c.split("a", "c")
	c.pump(time.Second)
	require.Len(t, c.nodes["a"].Claims("group/g"), 1)
	last = c.event["a"][len(c.event["a"])-1]
	require.True(t, last.Record.Dead)
	require.Equal(t, WhyNodeDown, last.Record.Why)
	require.Equal(t, "c", last.Record.Node)
	c.heal("a", "c")
	c.pump(2 * time.Second)
	require.Len(t, c.nodes["a"].Claims("group/g"), 2)
	last = c.event["a"][len(c.event["a"])-1]
	require.False(t, last.Record.Dead)
	require.Equal(t, "c", last.Record.Node)
}

// A partition that does not compare digests by itself sleeps, however many claims stand on its
// names, as long as there is no unresolved conflict.
func TestClaimsSideBySideLeaveThePartitionAsleep(t *testing.T) {
	c := newCluster(t)
	for i, n := range []string{"a", "b", "c"} {
		c.start(n, uint64(i+1), Config{Shared: shared, Compared: true})
	}
	c.pump(time.Second)
	for _, n := range c.order {
		c.nodes[n].Register(c.at, "group/g", nil)
	}
	c.nodes["a"].Register(c.at, "x", nil)
	c.pump(5 * time.Second)
	for n, p := range c.nodes {
		due, ok := p.Next(c.at)
		require.False(t, ok, "%s has something to do at %v", n, due)
	}

	c.split("a", "b")
	c.nodes["b"].Register(c.at, "x", nil)
	require.Len(t, c.nodes["b"].contests["x"].claims, 2, "one is hidden")
	due, ok := c.nodes["b"].Next(c.at)
	require.True(t, ok)
	require.Equal(t, c.nodes["b"].tables["a"].downAt+c.nodes["b"].cfg.ForgetAfter, due)
}
