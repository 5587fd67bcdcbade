package clustertest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRubbish makes a member send rubbish for answers.
func TestRubbish(t *testing.T) {
	t.Parallel()
	keys := [][]byte{[]byte("a key that both nodes share, long")}
	for _, x := range []struct {
		name   string
		shared [][]byte
		long   bool
	}{{"plain", nil, false}, {"authenticated", keys, true}} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			if x.long && testing.Short() {
				t.Skip("-short")
			}
			rubbish(t, start(t, 3, spec{SharedKeys: x.shared, CopyTTL: 100 * time.Millisecond}))
		})
	}
}

func rubbish(t *testing.T, c *testCluster) {
	const liar = 1
	modes := []string{"raw", "html", "fault", "noise", "endless", "cut", "half", "silent", "working"}
	const spares = 10
	keys := c.owned(liar, len(modes)+spares, "rubbish")
	for i, mode := range modes {
		key := keys[i]
		before := c.origin.count(key)
		failures := c.failures(0) + c.failures(2)
		c.sabotage(liar, mode)
		d := deadline
		if mode == "working" {
			d = 2 * c.base.PeerTimeout
			c.noticed(keys[len(modes):], 0, 2)
		}
		results := c.let(40, d, []string{key}, 0, 2).wait()
		c.within(results, 0)
		if mode == "working" {
			for _, r := range results {
				require.Equal(t, "deadline", r.Class, "%s: an owner at work is waited for; %s", mode, r.Error)
			}
		} else {
			values(t, results)
			// The owner may load for each request that arrives, since its answers do not.
			loads := c.origin.of(key)[before:]
			by := make(map[string]int)
			for k := range loads {
				by[loads[k].node]++
			}
			require.LessOrEqual(t, by[nameOf(0)], 1, "%s: loads: %v", mode, loads)
			require.LessOrEqual(t, by[nameOf(2)], 1, "%s: loads: %v", mode, loads)
			require.LessOrEqual(t, by[nameOf(liar)], 2, "%s: loads: %v", mode, loads)
			require.GreaterOrEqual(t, c.failures(0)+c.failures(2), failures+2, "%s: Stats.AskFailures", mode)
		}
		c.sabotage(liar, "")
		c.trusted(liar, 0, 2)
	}
	c.settle()
	c.oneLoad("with all answers right")
}

func (c *testCluster) sabotage(i int, mode string) {
	c.tb.Helper()
	_, err := c.nodes[i].do(command{Op: "sabotage", Mode: mode})
	require.NoError(c.tb, err)
}

// noticed waits until nodes have noticed that their connections to an owner were closed. The owner
// is now at work for ever. A request on a closed connection fails, and its key, each of which is
// used once, is then loaded elsewhere.
func (c *testCluster) noticed(keys []string, nodes ...int) {
	c.tb.Helper()
	for _, i := range nodes {
		waitUntil(c.tb, nameOf(i)+" waits for an owner at work", func() string {
			require.NotEmpty(c.tb, keys, "%s does not", nameOf(i))
			key := keys[0]
			keys = keys[1:]
			if r := c.let(1, c.base.PeerTimeout/2, []string{key}, i).wait(); r[0].Class != "deadline" {
				return fmt.Sprintf("%q: %s", r[0].Class, r[0].Error)
			}
			return ""
		})
	}
}

func (c *testCluster) failures(i int) uint64 {
	c.tb.Helper()
	f := c.state(i).Stats.AskFailures
	return f.Total() - f.Misplaced
}

// trusted waits until other nodes ask a node again.
func (c *testCluster) trusted(node int, others ...int) {
	c.tb.Helper()
	key := c.tb.Name() + "/trusted"
	waitUntil(c.tb, nameOf(node)+" is asked again", func() string {
		for _, i := range others {
			values(c.tb, c.fetch(20, series(key, 20), i))
			for _, p := range c.state(i).Stats.Peers {
				if p.Node == nameOf(node) && p.Breaker != "closed" {
					return "its breaker on " + nameOf(i) + " is " + p.Breaker
				}
			}
		}
		return ""
	})
}

// TestOtherOptions starts nodes whose caches have the same name and other options.
func TestOtherOptions(t *testing.T) {
	t.Parallel()
	c := start(t, 2, spec{Ownership: "slot", Slots: 32})
	odd := []struct {
		change func(*spec)
		differ string
	}{
		{func(s *spec) { s.Slots = 16 }, "slots"},
		{func(s *spec) { s.Ownership = "key" }, "ownership"},
		{func(s *spec) { s.Codec = "other" }, "codec"},
	}
	if testing.Short() {
		odd = odd[:1]
	}
	for i, x := range odd {
		s := c.base
		s.Name = nameOf(2 + i)
		x.change(&s)
		require.NoError(t, c.open(2+i, 0, &s))
	}
	waitUntil(t, "the nodes know what differs", func() string {
		for i := range c.nodes {
			s := c.state(i)
			if len(s.Stats.Peers) != len(c.nodes)-1 {
				return nameOf(i) + " does not see all"
			}
			for _, p := range s.Stats.Peers {
				alike := i < 2 && (p.Node == nameOf(0) || p.Node == nameOf(1))
				switch {
				case alike:
					require.Empty(t, p.Differs, "%s says what differs on %s", nameOf(i), p.Node)
				case p.Differs == "":
					return nameOf(i) + " takes " + p.Node + " for one of its own"
				}
			}
		}
		return ""
	})
	for i, x := range odd {
		for _, p := range c.state(0).Stats.Peers {
			if p.Node == nameOf(2+i) {
				require.Contains(t, strings.ToLower(p.Differs), x.differ, "what differs on %s", p.Node)
			}
		}
	}
	keys := series("options", 50)
	results := c.fetch(50*len(c.nodes), keys)
	values(t, results)
	c.within(results, 0)
	for _, key := range keys {
		by := make(map[string]int)
		for _, l := range c.origin.of(key) {
			name := l.node
			if name == nameOf(1) {
				name = nameOf(0)
			}
			by[name]++
		}
		for name, n := range by {
			require.Equal(t, 1, n, "loads of %q on %s (and those like it): %v", key, name, c.origin.of(key))
		}
	}
	for i := range c.nodes {
		s := c.state(i).Stats
		if i >= 2 {
			require.Zero(t, s.Asked, "%s has asked nodes that differ", nameOf(i))
			require.Zero(t, s.Served, "%s has been asked by nodes that differ", nameOf(i))
		}
		require.Zero(t, s.AskFailures.OtherVersion, "%s", nameOf(i))
	}
}
