package clustertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCalm tests clusters without a disturbance.
func TestCalm(t *testing.T) {
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		for _, x := range []struct {
			name string
			f    func(*testing.T, *testCluster)
		}{
			{"OneLoad", oneLoad},
			{"SlowLoad", slowLoad},
			{"FailedLoad", failedLoad},
			{"Cancel", cancelled},
			{"Delete", deleted},
			{"Clear", cleared},
		} {
			c := *c
			t.Run(x.name, func(t *testing.T) {
				c.tb = t
				x.f(t, &c)
			})
		}
	}, spec{CopyTTL: 200 * time.Millisecond},
		cell{"key", 3, always}, cell{"slot", 5, notShort}, cell{"slot", 3, whenAll},
		cell{"ring", 3, whenAll}, cell{"key", 5, whenAll})
}

// oneLoad starts 1,000 callers on all nodes for keys that no node has: each key is loaded once.
func oneLoad(t *testing.T, c *testCluster) {
	const callers = 1000
	for _, x := range []struct {
		what  string
		keys  []string
		delay time.Duration
	}{
		{"one key", []string{"cold/one"}, 100 * time.Millisecond},
		{"one key, at once", []string{"cold/quick"}, 0},
		{"100 keys", series("cold/many", 100), 20 * time.Millisecond},
	} {
		c.origin.treat("cold/", treatment{delay: x.delay})
		results := c.fetch(callers, x.keys)
		require.Len(t, results, callers, x.what)
		values(t, results)
		c.within(results, x.delay)
		versions := make(map[string]uint64)
		for _, key := range x.keys {
			require.Equal(t, 1, c.origin.count(key), "%s: loads of %q: %v", x.what, key, c.origin.of(key))
		}
		for _, r := range results {
			if v, ok := versions[r.Key]; ok {
				require.Equal(t, v, r.Version, "%s: %s got another value of %q", x.what, r.Node, r.Key)
			}
			versions[r.Key] = r.Version
		}
	}
}

// slowLoad: callers wait for an owner that is at work, and no node loads again.
func slowLoad(t *testing.T, c *testCluster) {
	release := c.origin.hold("slow/")
	defer release()
	patient := c.let(30, deadline, []string{"slow/k"})
	hasty := c.let(30, 2*c.base.PeerTimeout, []string{"slow/k"})
	results := hasty.wait()
	require.Len(t, results, 30)
	for _, r := range results {
		require.Equal(t, "deadline", r.Class, "%s, whose caller gave up after two PeerTimeouts: %s", r.Node,
			r.Error)
		require.Greater(t, r.took(), c.base.PeerTimeout, "they gave up too early")
		require.Less(t, r.took(), 2*c.base.PeerTimeout+slack)
	}
	require.Equal(t, 1, c.origin.count("slow/k"), "loads")
	release()
	values(t, patient.wait())
	require.Equal(t, 1, c.origin.count("slow/k"), "loads")
}

// failedLoad: all callers on all nodes get the error of a load, with the owner's name, and no node
// loads again.
func failedLoad(t *testing.T, c *testCluster) {
	for _, x := range []struct {
		name string
		how  answer
		text string
	}{
		{"error", answer{Error: "the database is on fire"}, "the database is on fire"},
		{"panic", answer{Panic: "index out of range"}, "index out of range"},
		{"goexit", answer{Goexit: true}, "Goexit"},
	} {
		key := "failed/" + x.name
		gate := make(chan struct{})
		c.origin.treat(key, treatment{gate: gate, answer: x.how})
		h := c.let(60, deadline, []string{key})
		c.untilLoads(1, key)
		c.joined(60/len(c.nodes), key)
		close(gate)
		results := h.wait()
		loads := c.origin.of(key)
		require.Len(t, loads, 1, "%s: loads", x.name)
		require.Len(t, results, 60)
		for _, r := range results {
			require.Contains(t, r.Error, x.text, "%s: %s", x.name, r.Node)
			if r.Node != loads[0].node {
				require.Contains(t, r.Error, loads[0].node, "%s: what %s got names the node", x.name, r.Node)
				require.Equal(t, loads[0].node, r.Where, "%s: LoadError.Node", x.name)
			}
		}
		c.origin.treat(key, treatment{})
		values(t, c.fetch(len(c.nodes), []string{key})) // the key works again
	}
}

// joined waits until callers, as many on each node, wait for a key. On its owner, which loads it,
// these are its own callers and one request of each other node. So no caller comes after the load
// and starts another one.
func (c *testCluster) joined(callers int, key string) {
	c.tb.Helper()
	owner := c.origin.of(key)[0].node
	for i := range c.nodes {
		if nameOf(i) == owner {
			c.joinedBy(i, callers+len(c.nodes)-1)
		} else {
			c.joinedBy(i, callers)
		}
	}
}

// joinedBy waits until this number of callers waits on a node, with requests of other nodes.
func (c *testCluster) joinedBy(i, callers int) {
	c.tb.Helper()
	waitUntil(c.tb, "callers wait", func() string {
		s := c.state(i).Stats
		if waiting := s.Store.Courier.Waiting; waiting < callers {
			return fmt.Sprintf("%d of %d callers wait on %s", waiting, callers, nameOf(i))
		}
		return ""
	})
}

// cancelled: a load is given up when the last caller has left, on whichever node, and not before.
func cancelled(t *testing.T, c *testCluster) {
	owner := 1
	for _, key := range c.owned(owner, 2, "left") {
		before := c.origin.count(key)
		c.origin.treat("left/", treatment{never: true})
		first := c.let(20, deadline, []string{key}, 0)
		c.untilLoads(before+1, key)
		second := c.let(20, deadline, []string{key}, 2)
		c.joinedBy(owner, 2) // a request of each of the two nodes
		loads := c.origin.of(key)
		require.Len(t, loads, before+1, "loads")
		require.Equal(t, nameOf(owner), loads[before].node)

		first.cancel()
		for _, r := range first.wait() {
			require.Equal(t, "cancelled", r.Class, r.Error)
		}
		pause := time.Now().Add(time.Second)
		waitUntil(t, "a second", func() string {
			if l := c.origin.of(key); l[before].left {
				t.Fatalf("the load of %q was given up while %s waited", key, nameOf(2))
			}
			if time.Now().Before(pause) {
				return "time"
			}
			return ""
		})
		second.cancel()
		for _, r := range second.wait() {
			require.Equal(t, "cancelled", r.Class, r.Error)
		}
		waitUntil(t, "the load is given up", func() string {
			if l := c.origin.of(key); !l[before].left {
				return "its context has not ended"
			}
			return ""
		})
		c.origin.treat("left/", treatment{})
		c.value(0, key)
		require.Equal(t, before+2, c.origin.count(key), "loads")
	}
}

// cancel makes the callers leave.
func (h *herd) cancel() {
	h.c.tb.Helper()
	for _, call := range h.calls {
		_, err := call.p.do(command{Op: "cancel", Target: call.id})
		require.NoError(h.c.tb, err)
	}
}

// deleted: a confirmed delete on any node has an effect on all nodes.
func deleted(t *testing.T, c *testCluster) {
	keys := series("deleted", 20)
	values(t, c.fetch(len(c.nodes)*len(keys), keys))
	for i, key := range keys {
		by := i % len(c.nodes)
		r := c.remove(by, key)
		for k := range c.nodes {
			require.GreaterOrEqual(t, c.value(k, key).Issued, r.Begin,
				"%s got a value of %q from before its delete on %s",
				nameOf(k), key, nameOf(by))
		}
		require.Equal(t, 2, c.origin.count(key), "loads of %q", key)
	}
}

func cleared(t *testing.T, c *testCluster) {
	keys := series("cleared", 20)
	values(t, c.fetch(len(c.nodes)*len(keys), keys))
	r, err := c.nodes[1].do(command{Op: "clear", Deadline: deadline})
	require.NoError(t, err)
	require.Empty(t, r.Error)
	results := c.fetch(len(c.nodes)*len(keys), keys)
	values(t, results)
	for _, x := range results {
		require.GreaterOrEqual(t, x.Issued, r.Begin, "%s got a value of %q from before Clear", x.Node,
			x.Key)
	}
	for _, key := range keys {
		require.Equal(t, 2, c.origin.count(key), "loads of %q", key)
	}
}
