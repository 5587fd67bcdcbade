package clustertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMissedDelete deletes while a node can't be reached.
func TestMissedDelete(t *testing.T) {
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		t.Run("OwnerNotTold", func(t *testing.T) {
			c := *c
			c.tb = t
			ownerNotTold(t, &c)
		})
		t.Run("CutOff", func(t *testing.T) {
			if testing.Short() {
				t.Skip("-short")
			}
			c := *c
			c.tb = t
			cutOff(t, &c)
		})
	}, spec{CopyTTL: time.Second}, cell{"key", 3, always}, cell{"slot", 3, notShort},
		cell{"ring", 3, whenAll}, cell{"slot", 5, whenAll})
}

// ownerNotTold: node 0 deletes, and can't reach the owner. Node 1 asks the owner, and its request
// brings the delete.
func ownerNotTold(t *testing.T, c *testCluster) {
	const deleter, asker, owner = 0, 1, 2
	keys := c.owned(owner, 4, "nottold")
	values(t, c.fetch(30, keys))
	c.split(overHTTP, []int{deleter}, []int{owner})
	c.apply()
	for _, x := range []struct {
		key string
		op  string
	}{{keys[0], "delete"}, {keys[3], "tag"}, {keys[1], "clear"}} {
		r, err := c.nodes[deleter].do(command{Op: x.op, Keys: []string{x.key}, Deadline: deadline})
		require.NoError(t, err)
		require.Equal(t, []string{nameOf(owner)}, r.Unconfirmed, "%s: %s", x.op, r.Error)
		require.Less(t, time.Duration(r.End-r.Begin), 2*c.base.PeerTimeout+slack,
			"how long %s waits for a node that can't be reached", x.op)
		for _, i := range []int{asker, deleter, asker} {
			require.GreaterOrEqual(t, c.value(i, x.key).Issued, r.Begin,
				"%s got a value of %q from before %s on %s",
				nameOf(i), x.key, x.op, nameOf(deleter))
		}
	}
	r, err := c.nodes[deleter].do(command{Op: "delete", Keys: keys[2:3], Deadline: deadline})
	require.NoError(t, err)
	require.Equal(t, []string{nameOf(owner)}, r.Unconfirmed, r.Error)
	c.heal()
	c.repaired(keys[2], r.Begin, owner, deleter, asker)
	c.settle()
}

// repaired waits until a node returns no value of a key from before a time. Meanwhile the other
// nodes must never return one.
func (c *testCluster) repaired(key string, at int64, node int, others ...int) {
	c.tb.Helper()
	took := waitUntil(c.tb, "repair", func() string {
		for _, i := range others {
			require.GreaterOrEqual(c.tb, c.value(i, key).Issued, at,
				"%s got a value of %q from before its delete", nameOf(i), key)
		}
		if r := c.value(node, key); r.Issued < at {
			return fmt.Sprintf("%s got version %d of %q, from before its delete", r.Node, r.Version, key)
		}
		return ""
	})
	c.tb.Logf("%s has caught up after %v", nameOf(node), took.Round(time.Millisecond))
}

// cutOff: the cluster is split when keys are deleted. The node on the other side has older values,
// and for some keys it holds the name when the cluster is healed.
func cutOff(t *testing.T, c *testCluster) {
	last := len(c.nodes) - 1
	rest := c.all()[:last]
	theirs := c.owned(last, 3, "theirs") // owned on the side that misses the delete
	ours := c.owned(0, 2, "ours")        // claimed there during the split, later than on this side
	alone := c.owned(0, 1, "alone")[0]   // deleted there
	values(t, c.fetch(60, append(append(theirs[:3:3], ours...), alone)))
	c.split(overBoth, rest, []int{last})
	c.apply()
	c.settle(rest, []int{last})
	c.remove(last, ours[0]) // so that they are loaded there
	c.remove(last, ours[1])
	values(t, c.fetch(5, append(theirs[:3:3], ours...), last))

	tag, err := c.nodes[0].do(command{Op: "tag", Keys: theirs[2:], Deadline: deadline})
	require.NoError(t, err)
	require.Empty(t, tag.Error)
	tagged := theirs[2]
	for _, i := range rest { // before the clear
		require.GreaterOrEqual(t, c.value(i, tagged).Issued, tag.Begin)
	}
	require.Less(t, c.value(last, tagged).Issued, tag.Begin)
	single := c.remove(0, theirs[0])
	c.remove(0, ours[0])
	clearAll, err := c.nodes[1].do(command{Op: "clear", Deadline: deadline})
	require.NoError(t, err)
	require.Empty(t, clearAll.Error)
	deletedAt := map[string]int64{tagged: tag.Begin, theirs[0]: single.Begin, ours[0]: single.Begin,
		theirs[1]: clearAll.Begin, ours[1]: clearAll.Begin}
	for key, at := range deletedAt {
		for _, i := range rest {
			require.GreaterOrEqual(t, c.value(i, key).Issued, at,
				"%s got a value of %q from before its delete", nameOf(i), key)
		}
		require.Less(t, c.value(last, key).Issued, at,
			"the node that is cut off should still have the older value of %q", key)
	}
	values(t, c.fetch(5, []string{alone}, rest...))
	aloneAt := c.remove(last, alone).Begin
	require.Less(t, c.value(0, alone).Issued, aloneAt)
	c.heal()
	for key, at := range deletedAt {
		c.repaired(key, at, last, rest...)
	}
	c.settle()
	for key, at := range deletedAt {
		require.GreaterOrEqual(t, c.value(last, key).Issued, at, "the older value of %q has come back",
			key)
	}
	for i := range c.nodes {
		require.GreaterOrEqual(t, c.value(i, alone).Issued, aloneAt,
			"%s has not got the delete of the other side", nameOf(i))
		require.Zero(t, c.state(i).Stats.Resets, "%s has cleared its cache", nameOf(i))
	}
}
