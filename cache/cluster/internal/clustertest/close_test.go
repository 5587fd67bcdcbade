package clustertest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestClose closes the cache of a node: other nodes own its keys at once.
func TestClose(t *testing.T) {
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		const closing = 1
		keys := c.owned(closing, 10, "closed")
		values(t, c.fetch(60, keys))
		before := c.origin.count(keys...)
		asked := c.state(0).Stats.AskFailures
		r, err := c.nodes[closing].do(command{Op: "close cache"})
		require.NoError(t, err)
		require.Empty(t, r.Error)
		for _, x := range c.fetch(10, keys, closing) {
			require.Equal(t, "closed", x.Class, "a caller of the node that is closed: %s", x.Error)
		}
		took := waitUntil(t, "the closed node holds nothing", func() string {
			for i := range c.nodes {
				s := c.state(i)
				for name, holder := range s.Names {
					if holder == nameOf(closing) {
						return fmt.Sprintf("%s still sees %q", nameOf(i), name)
					}
				}
				if i != closing {
					for _, p := range s.Stats.Peers {
						if p.Node == nameOf(closing) {
							return nameOf(i) + " still sees it"
						}
					}
				}
			}
			return ""
		})
		t.Logf("its names are gone everywhere after %v", took.Round(time.Millisecond))
		waitUntil(t, "no copies are left", func() string {
			for _, i := range []int{0, 2} {
				for _, key := range keys {
					r, err := c.nodes[i].do(command{Op: "get", Keys: []string{key}})
					require.NoError(t, err)
					if r.Results[0].Found {
						return nameOf(i) + " has one of " + key
					}
				}
			}
			return ""
		})
		results := c.fetch(100, keys, 0, 2)
		values(t, results)
		c.within(results, 0)
		require.Equal(t, before+len(keys), c.origin.count(keys...),
			"loads: one for each key that lost its owner")
		now := c.state(0).Stats.AskFailures
		require.Equal(t, asked.Silent, now.Silent, "no caller has waited for the closed node")
	}, spec{CopyTTL: 200 * time.Millisecond}, cell{"key", 3, always}, cell{"slot", 3, notShort},
		cell{"ring", 3, whenAll})
}

// TestRollingRestart restarts the nodes one after the other, as a deployment does, while callers on
// all nodes fetch.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	grid(t, func(t *testing.T, c *testCluster) {
		keys := series("rolling", 200)
		var fetched, loads atomic.Int64
		drive := func(i int) (stop func()) {
			quit := make(chan struct{})
			p := c.nodes[i]
			var wg sync.WaitGroup
			for k := range 2 {
				wg.Go(func() {
					for at := k * 7; ; at += 13 {
						select {
						case <-quit:
							return
						case <-time.After(20 * time.Millisecond):
						}
						r, err := p.do(command{Op: "fetch", Keys: []string{keys[at%len(keys)], keys[at*7%len(keys)]},
							Callers: 4, Deadline: deadline})
						if err != nil {
							t.Errorf("%v", err)
							return
						}
						for i := range r.Results {
							x := r.Results[i]
							fetched.Add(1)
							if text := c.origin.check(x); text != "" || x.Error != "" {
								t.Errorf("%s got of %q: %s %s", x.Node, x.Key, text, x.Error)
							}
							if x.took() > 2*c.base.PeerTimeout+slack {
								t.Errorf("%s waited %v for %q", x.Node, x.took(), x.Key)
							}
						}
					}
				})
			}
			return func() {
				close(quit)
				wg.Wait()
			}
		}
		stops := make([]func(), len(c.nodes))
		for i := range c.nodes {
			stops[i] = drive(i)
		}
		for i := range c.nodes {
			stops[i]()
			p := c.nodes[i]
			r, err := p.do(command{Op: "leave"})
			require.NoError(t, err)
			require.Empty(t, r.Error, "%s closes", p.spec.Name)
			require.Empty(t, r.Left, "what is left on %s", p.spec.Name)
			p.queue.put(&command{Op: "exit"})
			<-p.gone
			c.restart(i)
			stops[i] = drive(i)
			c.settle()
		}
		for _, stop := range stops {
			stop()
		}
		loads.Store(int64(c.origin.count(keys...)))
		t.Logf("%d fetches of %d keys, %d loads during %d restarts", fetched.Load(), len(keys),
			loads.Load(), len(c.nodes))
		require.NotZero(t, fetched.Load())
	}, spec{CopyTTL: 200 * time.Millisecond}, cell{"slot", 3, notShort}, cell{"key", 3, whenAll},
		cell{"slot", 5, whenAll})
}
