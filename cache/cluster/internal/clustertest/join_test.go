package clustertest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestJoin adds a node that owns nothing yet. By key it takes nothing from the others; by slot it
// takes an even share.
func TestJoin(t *testing.T) {
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		keys := series("join", 60)
		values(t, c.fetch(3*len(keys), keys))
		require.Equal(t, len(keys), c.origin.count(keys...), "loads")
		c.add(len(c.nodes))
		c.settle()
		waitUntil(t, "no copies are left", func() string {
			for i := range c.nodes {
				if n := c.state(i).Stats.Copies; n > 0 {
					return nameOf(i) + " has some"
				}
			}
			return ""
		})
		values(t, c.fetch(len(c.nodes)*len(keys), keys))
		again := c.origin.count(keys...) - len(keys)
		if c.base.Ownership == "key" {
			require.Zero(t, again, "keys that were loaded again because a node joined")
		} else {
			require.NotZero(t, again, "keys that were loaded again because a node took its share")
			require.Less(t, again, len(keys)/2, "keys that were loaded again: more than an even share")
		}
	}, spec{CopyTTL: 200 * time.Millisecond}, cell{"key", 3, always}, cell{"slot", 3, notShort})
}
