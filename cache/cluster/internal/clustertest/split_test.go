package clustertest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type splitting struct {
	name string
	ways int
}

// TestConflict splits the registry alone, so that keys get an owner on each side. Entries live far
// longer than the test. So it is because the loser's entry becomes a copy that the nodes have one
// value again.
func TestConflict(t *testing.T) {
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		splitAndHeal(t, c, splitting{"registry", overRegistry})
	}, spec{TTL: time.Hour, CopyTTL: 500 * time.Millisecond},
		cell{"key", 3, always}, cell{"slot", 3, notShort}, cell{"ring", 3, whenAll},
		cell{"key", 5, whenAll}, cell{"slot", 5, whenAll})
}

// TestSplit splits a cluster in HTTP, and in both the registry and HTTP. A node that can't reach an
// owner loads for itself, and keeps the value for as long as an owner does.
func TestSplit(t *testing.T) {
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		splitAndHeal(t, c, splitting{"http", overHTTP})
		splitAndHeal(t, c, splitting{"both", overBoth})
	}, spec{TTL: shortTTL, CopyTTL: 500 * time.Millisecond},
		cell{"key", 3, notShort}, cell{"slot", 3, notShort}, cell{"ring", 3, whenAll},
		cell{"key", 5, whenAll}, cell{"slot", 5, whenAll})
}

func splitAndHeal(t *testing.T, c *testCluster, x splitting) {
	one, other := []int{0, 1}, c.all()[2:]
	warm := []string{c.owned(1, 1, x.name+"/warm")[0], c.owned(2, 1, x.name+"/hot")[0]}
	values(t, c.fetch(60, warm))
	lost := c.lost()

	c.split(x.ways, one, other)
	c.apply()
	// At once, before the split is noticed: at most one load per node.
	cold := series(x.name+"/cold", 5)
	results := c.fetch(100, append(cold, warm...))
	values(t, results)
	c.within(results, 0)
	for _, key := range cold {
		c.oncePerNode(key, 0, x.name+": just split")
	}

	// After it has been noticed: at most one load per side; or per node if it can't be noticed, since
	// the registry is whole.
	cold = series(x.name+"/later", 5)
	if x.ways&overRegistry != 0 {
		c.settle(one, other)
		results = c.fetch(300, cold)
		for _, key := range cold {
			require.Equal(t, 2, c.origin.count(key), "%s: loads of %q, one on each side: %v", x.name, key,
				c.origin.of(key))
		}
	} else {
		results = c.fetch(300, cold)
		for _, key := range cold {
			c.oncePerNode(key, 0, x.name+": split")
		}
	}
	values(t, results)
	c.within(results, 0)

	c.heal()
	c.settle()
	for _, key := range append(cold[:2:2], warm...) {
		c.agree(x.name+", healed", key)
	}
	if x.ways&overRegistry != 0 && c.base.Ownership != "ring" {
		require.Greater(t, c.lost(), lost, "names that were lost in a conflict")
	}
	c.oneLoad(x.name + ", healed")
}

// lost returns how many names the nodes have lost in conflicts.
func (c *testCluster) lost() (n uint64) {
	c.tb.Helper()
	for i := range c.nodes {
		n += c.state(i).Stats.Lost
	}
	return n
}

// TestSlowRegistry delays all that registries send by a third of a second: a node that sees a name
// late still asks the node that is to claim it.
func TestSlowRegistry(t *testing.T) {
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		c.delay = 300 * time.Millisecond
		c.apply()
		keys := series("slow", 20)
		results := c.fetch(300, keys)
		values(t, results)
		c.within(results, 0)
		for _, key := range keys {
			require.Equal(t, 1, c.origin.count(key), "loads of %q: %v", key, c.origin.of(key))
		}
		for i, key := range keys {
			r := c.remove(i%len(c.nodes), key)
			for k := range c.nodes {
				require.GreaterOrEqual(t, c.value(k, key).Issued, r.Begin,
					"%s got a value of %q from before its delete", nameOf(k), key)
			}
		}
		c.heal()
		c.settle()
		c.oneLoad("healed")
	}, spec{}, cell{"key", 3, notShort}, cell{"slot", 3, whenAll})
}
