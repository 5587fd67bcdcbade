package clustertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestBusyNodeKilled kills a node with kill -9 while a hundred harmless loads are under way there:
// no key is quarantined, and all callers get their values, in turns.
func TestBusyNodeKilled(t *testing.T) {
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		const victim, count, load = 1, 100, 50 * time.Millisecond
		keys := c.owned(victim, count, "busy")
		before := c.origin.count(keys...)
		release := c.origin.hold("busy/")
		h := c.let(count*(len(c.nodes)-1), deadline, keys, c.others(victim)...)
		c.untilLoads(before+count, keys...)
		c.origin.treat("busy/", treatment{delay: load})
		c.nodes[victim].kill()
		release() // a node that took the busy victim for silent may have begun a load
		began := time.Now()
		results := h.wait()
		values(t, results)
		var trials uint64
		for _, i := range c.running() {
			s := c.state(i).Stats
			require.Zero(t, s.Quarantined, nameOf(i))
			trials += s.Trials
		}
		t.Logf("%d keys, whose loads take %v, have their values after %v; %d trials",
			count, load, time.Since(began).Round(time.Millisecond), trials)
		c.settle()
		c.oneLoad("without the victim")
	}, spec{TTL: time.Minute}, cell{"slot", 5, always}, cell{"key", 5, whenAll},
		cell{"ring", 5, whenAll})
}

// TestBusyNodeLeaves closes nodes one after the other while loads are under way there, which is no
// death.
func TestBusyNodeLeaves(t *testing.T) {
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		for victim := range c.nodes {
			prefix := fmt.Sprint("leaves", victim)
			keys := c.owned(victim, 20, prefix)
			before := c.origin.count(keys...)
			release := c.origin.hold(prefix + "/")
			h := c.let(len(keys)*(len(c.nodes)-1), deadline, keys, c.others(victim)...)
			c.untilLoads(before+len(keys), keys...)
			left := c.nodes[victim].begin(command{Op: "close"})
			c.origin.treat(prefix+"/", treatment{})
			_, err := left.wait()
			require.NoError(t, err)
			release()
			values(t, h.wait())
			for _, i := range c.others(victim) {
				s := c.state(i).Stats
				require.Zero(t, s.Suspects+s.Quarantined, nameOf(i))
				require.Zero(t, s.Trials, nameOf(i))
			}
			c.nodes[victim].kill()
			c.restart(victim)
			c.settle()
		}
	}, spec{TTL: time.Minute}, cell{"slot", 3, always}, cell{"key", 3, whenAll},
		cell{"ring", 3, whenAll})
}

// others returns the running nodes without one.
func (c *testCluster) others(but int) (list []int) {
	for _, i := range c.running() {
		if i != but {
			list = append(list, i)
		}
	}
	return list
}
