package clustertest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSplit takes a cluster apart, in the registry, in HTTP or in both, and puts it together again.
func TestSplit(t *testing.T) {
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		one, other := []int{0, 1}, c.all()[2:]
		for _, x := range []struct {
			name string
			ways int
		}{
			{"registry", overRegistry},
			{"http", overHTTP},
			{"both", overBoth},
		} {
			if testing.Short() && x.ways != overBoth {
				continue
			}
			warm := []string{c.owned(1, 1, x.name+"/warm")[0], c.owned(2, 1, x.name+"/hot")[0]}
			values(t, c.fetch(60, warm))
			lost := c.lost()

			c.split(x.ways, one, other)
			c.apply()
			// At once, before anybody has noticed: a load per node at most.
			cold := series(x.name+"/cold", 5)
			results := c.fetch(100, append(cold, warm...))
			values(t, results)
			c.within(results, 0)
			for _, key := range cold {
				c.oncePerNode(key, 0, x.name+": just split")
			}

			// When it has been noticed: a load per side at most, or, where it can't be noticed since the registry is whole, per
			// node that can't reach the owner and time that a copy is kept.
			cold = series(x.name+"/later", 5)
			if x.ways&overRegistry != 0 {
				c.settle(one, other)
				results = c.fetch(300, cold)
				for _, key := range cold {
					require.Equal(t, 2, c.origin.count(key), "%s: loads of %q, one on each side: %v", x.name, key, c.origin.of(key))
				}
			} else {
				began := time.Now()
				results = c.fetch(300, cold)
				often := 1 + int(time.Since(began)/c.base.CopyTTL)
				for _, key := range cold {
					require.LessOrEqual(t, c.origin.count(key), often*len(c.nodes), "%s: loads of %q", x.name, key)
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
	}, spec{TTL: shortTTL, CopyTTL: 500 * time.Millisecond},
		cell{"key", 3, always}, cell{"slot", 3, notShort}, cell{"ring", 3, whenAll}, cell{"key", 5, whenAll}, cell{"slot", 5, whenAll})
}

// lost returns how many names the nodes have lost in conflicts.
func (c *testCluster) lost() (n uint64) {
	c.tb.Helper()
	for i := range c.nodes {
		n += c.state(i).Stats.Lost
	}
	return n
}

// TestSlowRegistry has all that registries send take a third of a second longer: who sees a name late still goes to the node
// that is to claim it.
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
				require.GreaterOrEqual(t, c.value(k, key).Issued, r.Begin, "%s got a value of %q from before its delete", nameOf(k), key)
			}
		}
		c.heal()
		c.settle()
		c.oneLoad("healed")
	}, spec{}, cell{"key", 3, notShort}, cell{"slot", 3, whenAll})
}
