package replica

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry/internal/hlc"
)

// A cluster runs partitions over a fast network that loses no message, except over links that are
// cut.
type cluster struct {
	t     *testing.T
	at    At
	nodes map[string]*Partition
	order []string
	cut   map[[2]string]bool
	lost  map[string][]Loss
	event map[string][]Event
}

func newCluster(t *testing.T, names ...string) *cluster {
	c := &cluster{t: t, at: At{Wall: 1e18, Mono: time.Second}, nodes: map[string]*Partition{},
		cut: map[[2]string]bool{}, lost: map[string][]Loss{}, event: map[string][]Event{}}
	for i, n := range names {
		c.start(n, uint64(i+1), Config{})
	}
	return c
}

func (c *cluster) start(name string, inc uint64, cfg Config) {
	cfg.Self, cfg.Incarnation, cfg.Seed = name, inc, inc
	cfg.Clock = hlc.New(10 * time.Second)
	if c.nodes[name] == nil {
		c.order = append(c.order, name)
	}
	c.nodes[name] = New(cfg)
	for _, o := range c.order {
		if o != name {
			c.nodes[o].NodeUp(c.at, name, inc)
			c.nodes[name].NodeUp(c.at, o, c.nodes[o].own.inc)
		}
	}
}

// pump delivers messages until none is sent, and lets d pass in steps of 50 ms.
func (c *cluster) pump(d time.Duration) {
	for end := c.at.Mono + d; ; {
		for busy := true; busy; {
			busy = false
			for _, n := range c.order {
				p := c.nodes[n]
				for _, u := range p.Flush(1200, 0) {
					busy = true
					for _, o := range c.order {
						if o != n && !c.cut[[2]string{n, o}] {
							c.nodes[o].Receive(c.at, n, u)
						}
					}
				}
				out := p.Take()
				c.lost[n] = append(c.lost[n], out.Lost...)
				c.event[n] = append(c.event[n], out.Events...)
				for _, e := range out.Send {
					busy = true
					if !c.cut[[2]string{n, e.To}] {
						c.nodes[e.To].Receive(c.at, n, e.Message)
					}
				}
			}
		}
		if c.at.Mono >= end {
			return
		}
		c.at.Mono += 50 * time.Millisecond
		c.at.Wall += int64(50 * time.Millisecond)
		for _, n := range c.order {
			c.nodes[n].Tick(c.at)
		}
	}
}

func (c *cluster) split(a, b string) {
	c.cut[[2]string{a, b}], c.cut[[2]string{b, a}] = true, true
	c.nodes[a].NodeDown(c.at, b, false)
	c.nodes[b].NodeDown(c.at, a, false)
}

func (c *cluster) heal(a, b string) {
	clear(c.cut)
	c.nodes[a].NodeUp(c.at, b, c.nodes[b].own.inc)
	c.nodes[b].NodeUp(c.at, a, c.nodes[a].own.inc)
}

func TestTwoNodesAgreeAfterASplit(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.pump(time.Second)
	require.True(t, c.nodes["a"].Synced())
	c.split("a", "b")
	for i := range 10 {
		own, taken := c.nodes["a"].Register(c.at, strconv.Itoa(i), nil)
		require.NotNil(t, own)
		require.Nil(t, taken)
	}
	c.pump(time.Second)
	for i := range 10 {
		own, _ := c.nodes["b"].Register(c.at, strconv.Itoa(i), nil)
		require.NotNil(t, own)
	}
	c.pump(time.Second)
	c.heal("a", "b")
	c.pump(5 * time.Second)
	for i := range 10 {
		require.Equal(t, "b", c.nodes["a"].Lookup(strconv.Itoa(i)).Node)
		require.Equal(t, "b", c.nodes["b"].Lookup(strconv.Itoa(i)).Node)
		require.Nil(t, c.nodes["a"].Own(strconv.Itoa(i)))
	}
	require.Len(t, c.lost["a"], 10)
	require.Empty(t, c.lost["b"])
	require.Zero(t, c.nodes["a"].Stats().Disagreements)
	require.True(t, c.nodes["a"].Synced() && c.nodes["b"].Synced())
}

func TestALateNodeGetsAllInChunks(t *testing.T) {
	c := newCluster(t)
	c.start("a", 1, Config{Limits: Limits{ChunkBytes: 400, Tombstones: 8}})
	for i := range 1000 {
		c.nodes["a"].Register(c.at, strconv.Itoa(i), []byte("meta"))
	}
	c.pump(time.Second)
	for i := range 500 {
		require.True(t, c.nodes["a"].Unregister(c.at, strconv.Itoa(2*i), WhyReleased))
	}
	c.pump(time.Second)
	c.start("b", 2, Config{})
	c.pump(5 * time.Second)
	require.Equal(t, 500, c.nodes["b"].Len())
	require.True(t, c.nodes["b"].Synced())
	require.EqualValues(t, 1, c.nodes["b"].Stats().Resyncs)
	require.Zero(t, c.nodes["b"].Stats().Checks, "it held nothing that could have ended")
	require.Greater(t, c.nodes["b"].Stats().Received[KindChunk], uint64(20))
}
