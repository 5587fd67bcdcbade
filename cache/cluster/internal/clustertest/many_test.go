package clustertest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestKilledBatch kills an owner with kill -9 in the middle of a load of many keys that callers on
// other nodes wait for.
func TestKilledBatch(t *testing.T) {
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		const owner = 1
		keys := append(c.owned(owner, 10, "killed"), c.owned(0, 3, "well")...)
		before := make(map[string]int)
		loads := 0
		for _, key := range keys {
			before[key] = c.origin.count(key)
			loads += before[key]
		}
		release := c.origin.hold("killed/")
		h := c.letMany(keys, 0, 2)
		c.untilLoads(loads+len(keys), keys...)
		require.Equal(t, loads+len(keys), c.origin.count(keys...), "each key is loaded once")
		c.nodes[owner].kill()
		release()
		results := h.wait()
		require.Len(t, results, 2*len(keys))
		values(t, results)
		c.within(results, 0)
		for _, key := range keys {
			c.oncePerNode(key, before[key], "with the owner killed")
		}
		for _, i := range []int{0, 2} {
			s := c.state(i).Stats
			require.LessOrEqual(t, s.LocalLoads, uint64(10), "keys that %s has loaded in place of the owner",
				nameOf(i))
		}
		c.settle()
		results = c.letMany(series("cold", 30), 0, 2).wait()
		values(t, results)
		require.Equal(t, 30, c.origin.count(series("cold", 30)...), "without the owner")
	}, spec{TTL: shortTTL}, cell{"key", 3, always}, cell{"slot", 3, notShort},
		cell{"ring", 3, whenAll})
}

// TestStoppedBatch stops an owner with SIGSTOP: its keys cost the callers of many keys one wait,
// and the keys of other owners none.
func TestStoppedBatch(t *testing.T) {
	if stopSignal == nil {
		t.Skip(errNoPause)
	}
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		const owner = 1
		sick, well := c.owned(owner, 20, "sick"), append(c.owned(0, 5, "mine"), c.owned(2, 5, "well")...)
		release := c.origin.hold("sick")
		require.NoError(t, c.nodes[owner].pause())
		began := time.Now()
		h := c.letMany(append(sick, well...), 0, 2)
		waitUntil(t, "the owner is silent", func() string {
			values(t, c.fetch(20, well, 0, 2)) // which wait for no sick key: these are held
			for _, i := range []int{0, 2} {
				if c.state(i).Stats.AskFailures.Silent == 0 {
					return nameOf(i) + " has not noticed it"
				}
			}
			return ""
		})
		values(t, c.fetch(20, well, 0, 2)) // nor for their loads
		held := time.Since(began)
		release()
		results := h.wait()
		values(t, results)
		c.within(results, held)
		require.NoError(t, c.nodes[owner].resume())
		c.settle()
		c.oneLoad("with the owner back")
	}, spec{TTL: shortTTL, CopyTTL: -1}, cell{"key", 3, always}, cell{"slot", 3, whenAll},
		cell{"ring", 3, whenAll})
}
