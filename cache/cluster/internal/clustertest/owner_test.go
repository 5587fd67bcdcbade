package clustertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestKilled kills an owner with kill -9 in the middle of a load that callers on all nodes wait
// for.
func TestKilled(t *testing.T) {
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		const owner = 1
		key := c.owned(owner, 1, "killed")[0]
		before := c.origin.count(key)
		release := c.origin.hold("killed/")
		h := c.let(300, deadline, []string{key})
		c.untilLoads(before+1, key)
		c.joinedBy(0, 1)
		c.joinedBy(2, 1)
		require.Equal(t, before+1, c.origin.count(key), "loads")
		c.nodes[owner].kill()
		release()
		results := h.wait()
		require.Len(t, results, 300-300/len(c.nodes), "callers on the other nodes")
		values(t, results)
		c.within(results, 0)
		c.oncePerNode(key, before, "with the owner killed")

		c.settle()
		c.oneLoad("without the owner")
		c.restart(owner)
		c.settle()
		c.oneLoad("with the owner back")
	}, spec{TTL: shortTTL}, cell{"key", 3, always}, cell{"slot", 5, notShort},
		cell{"slot", 3, whenAll}, cell{"key", 5, whenAll}, cell{"ring", 3, whenAll})
}

// oncePerNode checks that no node has loaded a key twice after its first loads, whose number is
// before.
func (c *testCluster) oncePerNode(key string, before int, when string) {
	c.tb.Helper()
	loads := c.origin.of(key)[before:]
	by := make(map[string]int)
	for i := range loads {
		node := loads[i].node
		by[node]++
		require.LessOrEqual(c.tb, by[node], 1, "%s: loads of %q: %v", when, key, loads)
	}
	c.tb.Logf("%s: %d loads on %d nodes (at most one on each)", when, len(loads), len(c.nodes))
}

// oneLoad checks that a cold key is loaded once, by callers on all nodes that run.
func (c *testCluster) oneLoad(when string) {
	c.tb.Helper()
	key := "once/" + when
	running := c.running()
	results := c.fetch(100, []string{key}, running...)
	values(c.tb, results)
	require.Equal(c.tb, 1, c.origin.count(key), "%s: loads", when)
}

// TestStopped stops an owner with SIGSTOP: it keeps its connections, but says nothing.
func TestStopped(t *testing.T) {
	if stopSignal == nil {
		t.Skip(errNoPause)
	}
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		const owner = 1
		sick := c.owned(owner, 30, "sick")
		healthy := append(c.owned(0, 5, "healthy"), c.owned(2, 5, "well")...)
		key := sick[0]
		before := c.origin.count(key)
		release := c.origin.hold(key)
		h := c.let(60, deadline, []string{key}, 0, 2)
		c.untilLoads(before+1, key)
		c.joinedBy(0, 1)
		c.joinedBy(2, 1)
		require.NoError(t, c.nodes[owner].pause())
		release()

		// While callers wait for the sick owner, the keys of healthy owners are as quick as ever. They
		// are asked for each time, since copies are not kept.
		more := c.let(300, deadline, sick[1:], 0, 2)
		const quick = 500 * time.Millisecond // much less than PeerTimeout
		late, fetched := 0, 0
		for end := time.Now().Add(2 * c.base.PeerTimeout); time.Now().Before(end); {
			results := c.fetch(20, healthy, 0, 2)
			values(t, results)
			for i := range results {
				fetched++
				if results[i].took() > quick {
					late++
				}
			}
		}
		t.Logf("%d callers of healthy keys, %d of which took longer than %v", fetched, late, quick)
		require.LessOrEqual(t, late, fetched/50, "callers, of %d, that a sick owner has slowed", fetched)

		for _, h := range []*herd{h, more} {
			results := h.wait()
			values(t, results)
			c.within(results, 0)
		}
		c.oncePerNode(key, before, "with the owner stopped")
		for _, i := range []int{0, 2} {
			require.NotZero(t, c.state(i).Stats.AskFailures.Silent,
				"%s has noticed that the owner is silent", nameOf(i))
		}

		require.NoError(t, c.nodes[owner].resume())
		c.settle()
		c.agree("with the owner back", key)
		c.oneLoad("with the owner back")
	}, spec{TTL: shortTTL, CopyTTL: -1}, cell{"key", 3, always}, cell{"slot", 3, whenAll},
		cell{"ring", 3, whenAll})
}

// shortTTL bounds how long it takes until nodes that had to load for themselves agree with the
// owner.
const shortTTL = 5 * time.Second

// agree waits until all nodes return one value for a key, and no node loads it.
func (c *testCluster) agree(when, key string) {
	c.tb.Helper()
	running := c.running()
	const often = 4
	agreed, loads := 0, c.origin.count(key)
	var last uint64
	took := waitUntil(c.tb, when+": one value for "+key, func() string {
		results := c.fetch(len(running), []string{key}, running...)
		values(c.tb, results)
		now := c.origin.count(key)
		for i := range results {
			if results[i].Version != last || now != loads {
				text := fmt.Sprintf("version %d on %s, %d elsewhere or before; %d loads, %d before",
					results[i].Version, results[i].Node, last, now, loads)
				last, loads, agreed = results[i].Version, now, 0
				return text
			}
		}
		agreed++
		if agreed < often {
			return fmt.Sprintf("seen %d times", agreed)
		}
		return ""
	})
	c.tb.Logf("%s: one value on all nodes after %v", when, took.Round(time.Millisecond))
}

// TestUnreachable cuts an owner off from one of two nodes that ask it, in one direction.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		const asker, owner, other = 0, 1, 2
		keys := c.owned(owner, 6, "unreachable")
		for i, x := range []struct {
			name     string
			ways     int
			from, to int
			refuse   bool
		}{
			{"requests arrive, answers do not", overHTTP, owner, asker, false},
			{"requests do not arrive", overHTTP, asker, owner, false},
			{"requests arrive, answers and gossip do not", overBoth, owner, asker, false},
			{"requests and gossip do not arrive", overBoth, asker, owner, false},
			{"no connection", overHTTP, asker, owner, true},
		} {
			before := c.origin.count(keys[i])
			c.refuse = x.refuse
			c.cutOneWay(x.ways, x.from, x.to)
			c.apply()
			results := c.fetch(90, keys[i:i+1], asker, other)
			values(t, results)
			c.within(results, 0)
			c.oncePerNode(keys[i], before, x.name)
			for _, r := range results {
				if r.Node == nameOf(other) {
					loads := c.origin.of(keys[i])
					require.Equal(t, c.origin.byVersion(r.Version), nameOf(owner),
						"%s: the node that loaded the value of the node that reaches the owner; %v", x.name, loads)
				}
			}
			c.heal()
			c.settle()
		}
		for _, key := range keys {
			c.agree("healed", key)
		}
	}, spec{TTL: 2 * time.Second, CopyTTL: time.Second}, cell{"key", 3, notShort},
		cell{"slot", 3, whenAll})
}

// TestOverloaded limits an owner to two requests at a time: it answers further ones that it is
// busy, and their nodes load for themselves, as many at a time as they may.
func TestOverloaded(t *testing.T) {
	t.Parallel()
	const owner, requests, loads = 1, 2, 3
	grid(t, func(t *testing.T, c *testCluster) {
		keys := c.owned(owner, 20, "busy")
		release := c.origin.hold("busy/")
		for i := range c.nodes {
			c.origin.mostAt(nameOf(i))
		}
		h := c.let(6*len(keys), deadline, keys, 0, 2)
		waitUntil(t, "the nodes are at their limits", func() string {
			if got := c.state(owner).Stats.Refused.Busy; got == 0 {
				return "the owner has refused no request"
			}
			for _, i := range []int{0, 2} {
				if s := c.state(i).Stats; s.LocalLoads < loads || s.AskFailures.Busy == 0 {
					return fmt.Sprintf("%s has been refused %d times and makes %d loads", nameOf(i),
						s.AskFailures.Busy, s.LocalLoads)
				}
			}
			return ""
		})
		release()
		values(t, h.wait())
		for _, i := range []int{0, 2} {
			require.LessOrEqual(t, c.origin.mostAt(nameOf(i)), loads, "loads of %s at a time", nameOf(i))
		}
		require.LessOrEqual(t, c.origin.mostAt(nameOf(owner)), requests, "loads of the owner at a time")
		c.settle()
		for _, key := range keys {
			values(t, c.fetch(2, []string{key}, 0, 2))
		}
	}, spec{MaxPeerRequests: requests, MaxLocalLoads: loads}, cell{"key", 3, always},
		cell{"slot", 3, whenAll})
}
