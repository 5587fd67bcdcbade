package clustertest

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPoison makes the load of one key among many end its process, with os.Exit. At most two nodes
// die of it, no caller of another key notices, and the key is served again when its load is
// harmless.
func TestPoison(t *testing.T) {
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		const poison = "poison"
		keys := slices.Insert(series("fine", 49), 20, poison)
		everywhere := len(keys) * len(c.nodes)
		values(t, c.fetch(everywhere, keys))
		all := c.running()
		for _, i := range all {
			_, err := c.nodes[i].do(command{Op: "poison", Keys: []string{poison}})
			require.NoError(t, err)
		}

		dead := func() (n int) {
			for _, i := range all {
				if !c.nodes[i].alive() {
					n++
				}
			}
			return n
		}
		quarantined := 0
		for began := time.Now(); quarantined < 10; {
			require.Less(t, time.Since(began), patience, "the key is not quarantined: %d nodes have died",
				dead())
			var fine []*result
			for _, r := range c.fetch(everywhere, keys, c.running()...) {
				switch {
				case r.Key != poison:
					fine = append(fine, r)
				case r.Error != "":
					require.Equal(t, "quarantined", r.Class, "%s: %s", r.Node, r.Error)
					quarantined++
				}
			}
			values(t, fine)
			c.within(fine, 0)
			require.LessOrEqual(t, dead(), 2, "nodes that have died")
		}
		require.Equal(t, 2, dead(), "nodes that have died")
		var trials uint64
		for i, p := range c.nodes {
			if !p.alive() {
				<-p.gone
				require.Equal(t, poisoned, p.cmd.ProcessState.ExitCode())
				continue
			}
			trials += c.state(i).Stats.Trials
			_, err := p.do(command{Op: "poison"})
			require.NoError(t, err)
		}
		t.Logf("%d trials of keys that were under way beside it", trials)
		running := c.running()
		took := waitUntil(t, "the key is served", func() string {
			for _, r := range c.fetch(len(running), []string{poison}, running...) {
				if r.Error != "" {
					return r.Error
				}
			}
			return ""
		})
		t.Logf("it is served after %v", took.Round(time.Millisecond))
		for i, p := range c.nodes {
			if !p.alive() {
				c.restart(i)
			}
		}
		c.settle()
		values(t, c.fetch(everywhere, keys))
		waitUntil(t, "no key is suspect", func() string {
			for _, i := range all {
				if s := c.state(i).Stats; s.Suspects+s.Quarantined > 0 {
					return nameOf(i) + " still has suspects"
				}
			}
			return ""
		})
	}, spec{TTL: 200 * time.Millisecond, CopyTTL: 50 * time.Millisecond, Quarantine: 6 * time.Second},
		cell{"slot", 5, always}, cell{"key", 5, notShort}, cell{"ring", 5, notShort})
}

// TestPoisonInBatch does what TestPoison does with callers that fetch all keys at once: at most two
// nodes die, and the other keys of the batch have their values.
func TestPoisonInBatch(t *testing.T) {
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		const poison = "poison"
		keys := slices.Insert(series("fine", 99), 50, poison)
		all := c.running()
		for _, i := range all {
			_, err := c.nodes[i].do(command{Op: "poison", Keys: []string{poison}})
			require.NoError(t, err)
		}
		for quarantined, began := 0, time.Now(); quarantined < 10; {
			require.Less(t, time.Since(began), patience, "the key is not quarantined")
			var fine []*result
			for _, r := range c.letMany(keys, c.running()...).wait() {
				switch {
				case r.Key != poison:
					fine = append(fine, r)
				case r.Error != "":
					require.Equal(t, "quarantined", r.Class, "%s: %s", r.Node, r.Error)
					quarantined++
				}
			}
			values(t, fine)
			require.GreaterOrEqual(t, len(c.running()), len(all)-2, "nodes that live")
		}
	}, spec{TTL: 200 * time.Millisecond, CopyTTL: 50 * time.Millisecond, Quarantine: time.Minute},
		cell{"slot", 5, always}, cell{"key", 5, notShort}, cell{"ring", 5, notShort})
}

// TestPoisonInBatchUnseen lets an owner die of a batch of its own caller, so that no other node
// sees which keys were under way. Then callers on the other nodes fetch the same batch, one after
// the other: their nodes don't die one after the other.
func TestPoisonInBatchUnseen(t *testing.T) {
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		keys := c.owned(0, 20, "batch")
		poison := keys[10]
		all := c.running()
		for _, i := range all {
			_, err := c.nodes[i].do(command{Op: "poison", Keys: []string{poison}})
			require.NoError(t, err)
		}
		_ = c.remove(0, poison)
		for range 2 {
			for _, i := range all {
				if !c.nodes[i].alive() {
					continue
				}
				for _, r := range c.letMany(keys, i).wait() {
					if r.Key != poison {
						require.Empty(t, r.Error, "%s: %s", r.Node, r.Key)
					}
				}
				require.GreaterOrEqual(t, len(c.running()), len(all)-3, "nodes that live")
			}
		}
	}, spec{TTL: 200 * time.Millisecond, CopyTTL: 50 * time.Millisecond, Quarantine: time.Minute},
		cell{"slot", 5, always}, cell{"key", 5, notShort}, cell{"ring", 5, notShort})
}
