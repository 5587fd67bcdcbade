package mesh

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab/cutnet"
	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

func (n *node) has(origin string, partition int, upTo uint64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.seen[fmt.Sprintf("%s/%d/%d", origin, partition, upTo)]
}

// TestBroadcastReachesAll spreads updates by gossip; nodes forward those that are new to them.
func TestBroadcastReachesAll(t *testing.T) {
	const size, updates = 5, 200
	nodes := cluster(t, size, nil)
	for i := range updates {
		u := update("a", uint64(i+1), 20)
		soon(t, "room", func() bool { return nodes[0].Broadcast(i%16, u) })
	}
	// A node may miss a few, which the core repairs, but not most of them.
	for _, n := range nodes[1:] {
		soon(t, n.cfg.Node+" hears nearly all", func() bool {
			got := 0
			for i := range updates {
				if n.has("a", i%16, uint64(i+1)) {
					got++
				}
			}
			return got >= updates*9/10
		})
	}
	s := nodes[0].Stats()
	require.GreaterOrEqual(t, s.Gossip.FramesOut, uint64(updates))
	require.Positive(t, s.BroadcastHigh)
	soon(t, "the queues run dry", func() bool {
		return !slices.ContainsFunc(nodes, func(n *node) bool { return n.Stats().BroadcastDepth > 0 })
	})
	f := nodes[1].received()[0]
	require.Contains(t, []string{"a", "c", "d", "e"}, f.From)
	require.Positive(t, f.Sent)
}

func TestBroadcastIsBounded(t *testing.T) {
	nodes := cluster(t, 2, func(c *Config) {
		c.QueueLimit = 10
		c.GossipInterval = time.Hour // messages are sent only with probes
		c.ProbeInterval = time.Minute
		c.ProbeTimeout = time.Second
	})
	a := nodes[0]
	require.Zero(t, a.Backlog())
	for i := range 10 {
		require.True(t, a.Broadcast(0, update("a", uint64(i+1), 10)))
	}
	require.Equal(t, 10, a.Backlog())
	require.False(t, a.Broadcast(0, update("a", 11, 10)))
	s := a.Stats()
	require.Equal(t, 10, s.BroadcastDepth)
	require.Equal(t, 10, s.BroadcastHigh)
	require.EqualValues(t, 1, s.BroadcastsFull)

	// The largest that fits is accepted, and one byte more is not.
	fit := func(meta int) int { return wire.Item{Message: update("a", 1, meta)}.Size() }
	meta := 1000
	for fit(meta+1) <= a.broadcastSize() {
		meta++
	}
	require.False(t, a.Broadcast(0, update("a", 1, meta+1)))
	require.EqualValues(t, 1, a.counters.tooLarge.Load())
}

// TestSmallClustersNeedNoGossip checks that up to a size of cluster, updates are sent directly to
// each member and are not forwarded.
func TestSmallClustersNeedNoGossip(t *testing.T) {
	nodes := cluster(t, 3, func(c *Config) { c.GossipAbove = 3 })
	for i := range 100 {
		require.True(t, nodes[0].Broadcast(i%16, update("a", uint64(i+1), 10)))
	}
	for _, n := range nodes[1:] {
		soon(t, "all have come", func() bool {
			for i := range 100 {
				if !n.has("a", i%16, uint64(i+1)) {
					return false
				}
			}
			return true
		})
		n.Relay(0, update("a", 1, 10))
	}
	for _, n := range nodes {
		require.Zero(t, n.Stats().Gossip.FramesOut)
		require.Zero(t, n.Stats().BroadcastHigh)
	}
	require.Less(t, nodes[0].Stats().Packets.FramesOut, uint64(200), "updates share packets")

	fourth := open(t, func() Config { c := config("d"); c.GossipAbove = 3; return c }())
	join(t, fourth, nodes[0])
	together(t, append(nodes, fourth)...)
	require.True(t, nodes[0].Broadcast(0, update("a", 101, 10)))
	require.Positive(t, nodes[0].Stats().BroadcastHigh)
}

// TestLargestBroadcastTravels checks that broadcastSize leaves room for all headers.
func TestLargestBroadcastTravels(t *testing.T) {
	for _, keys := range [][][]byte{nil, {bytes.Repeat([]byte{1}, 32)}} {
		nodes := cluster(t, 2, func(c *Config) { c.Keys = keys })
		meta := 1000
		for (wire.Item{Message: update("a", 1, meta+1)}).Size() <= nodes[0].broadcastSize() {
			meta++
		}
		require.True(t, nodes[0].Broadcast(0, update("a", 1, meta)))
		soon(t, "it arrives", func() bool { return nodes[1].has("a", 0, 1) })
	}
}

func TestAloneThereIsNobodyToTell(t *testing.T) {
	c := config("a")
	c.QueueLimit = 3
	a := open(t, c)
	for i := range 10 {
		require.True(t, a.Broadcast(0, update("a", uint64(i+1), 10)))
	}
	require.Zero(t, a.Backlog())
	require.False(t, a.Send("b", 0, &replica.Summary{Root: 1}))
	require.False(t, a.Probe("b", 0, &replica.Summary{Root: 1}))
	require.Empty(t, a.SendAll(t.Context(), 0, update("a", 1, 1)))
	require.EqualValues(t, 2, a.counters.noMember.Load())
}

func TestSendCarriesMuch(t *testing.T) {
	nodes := cluster(t, 2, func(c *Config) { c.PeerQueueBytes = 64 << 20 })
	a, b := nodes[0], nodes[1]
	const count = 400
	for i := range count {
		require.True(t, a.Send("b", i%16, update("a", uint64(i+1), 10_000)))
	}
	// One message is larger than a usual frame, and one is larger than any frame may be.
	chunk := func(records int) *replica.Chunk {
		c := &replica.Chunk{Origin: "a", Incarnation: 1, UpTo: uint64(records), AsOf: uint64(records)}
		for i := range records {
			c.Records = append(c.Records, update("a", uint64(i+1), 60_000).Records...)
		}
		return c
	}
	require.True(t, a.Send("b", 0, chunk(12)))
	require.False(t, a.Send("b", 0, chunk(24)))

	items := func() (list []wire.Item) {
		for _, f := range b.received() {
			list = append(list, f.Items...)
		}
		return list
	}
	soon(t, "all arrive", func() bool { return len(items()) > count })
	seen := make(map[uint64]bool)
	for _, f := range b.received() {
		last := uint64(0)
		for _, i := range f.Items { // frames may overtake each other, messages within one do not
			if u, ok := i.Message.(*replica.Update); ok {
				require.Greater(t, u.UpTo, last)
				last = u.UpTo
				seen[last] = true
			}
		}
	}
	require.Len(t, seen, count)
	require.Less(t, len(b.received()), count/5, "messages share frames")
	soon(t, "both count the same", func() bool { // the sender counts when it has written
		s, r := a.Stats(), b.Stats()
		return uint64(len(b.received())) == r.Reliable.FramesIn &&
			s.Reliable.BytesOut == r.Reliable.BytesIn
	})
	require.Greater(t, a.Stats().PeerQueueHigh, 1<<20)
	soon(t, "nothing waits", func() bool { return a.Stats().PeerQueueBytes == 0 })
}

func TestProbesShareAPacket(t *testing.T) {
	nodes := cluster(t, 2, nil)
	a, b := nodes[0], nodes[1]
	const count = 40
	for i := range count {
		require.True(t, a.Probe("b", i%16, &replica.Summary{Root: uint64(i)}))
	}
	soon(t, "all arrive", func() bool {
		n := 0
		for _, f := range b.received() {
			n += len(f.Items)
		}
		return n == count
	})
	require.Less(t, b.Stats().Packets.FramesIn, uint64(count/2))
	require.False(t, a.Probe("b", 0, update("a", 1, 3000)), "too large for a packet")

	// A message that can't be encoded does not affect others.
	require.True(t, a.Probe("b", 0, &replica.Vector{Entries: []replica.Entry{{Origin: ""}}}))
	require.True(t, a.Probe("b", 0, &replica.Summary{Root: 77}))
	require.True(t, a.Send("b", 0, &replica.Vector{Entries: []replica.Entry{{Origin: ""}}}))
	require.True(t, a.Send("b", 0, &replica.Summary{Root: 78}))
	soon(t, "the sound ones arrive", func() bool {
		roots := map[uint64]bool{}
		for _, f := range b.received() {
			for _, i := range f.Items {
				if s, ok := i.Message.(*replica.Summary); ok {
					roots[s.Root] = true
				}
			}
		}
		return roots[77] && roots[78]
	})
	soon(t, "the others are counted", func() bool { return a.counters.invalid.Load() == 2 })
}

// TestSlowPeerHurtsOnlyItself blocks the queue of one of two members and fills it.
func TestSlowPeerHurtsOnlyItself(t *testing.T) {
	stalled := make(chan struct{})
	nodes := cluster(t, 3, func(c *Config) { c.PeerQueueBytes = 100_000 })
	a, c := nodes[0], nodes[2]
	b := a.members.get("b").peer
	b.mu.Lock() // as if its connection hung: nothing is taken out
	b.bytes += 1 << 20
	b.mu.Unlock()
	require.False(t, a.Send("b", 0, update("a", 1, 100)))
	for i := range 50 {
		require.Equal(t, []string{"b"}, a.SendAll(canceled(), 0, update("a", uint64(i+1), 1000)))
		soon(t, "c has it", func() bool { return c.has("a", 0, uint64(i+1)) })
	}
	require.EqualValues(t, 51, a.counters.queueFull.Load())

	// SendAll waits until there is room.
	go func() {
		defer close(stalled)
		if missed := a.SendAll(context.Background(), 1, update("a", 1, 100)); len(missed) > 0 {
			panic(missed)
		}
	}()
	soon(t, "c has it before b's queue moves", func() bool { return c.has("a", 1, 1) })
	b.release(1 << 20)
	<-stalled
	soon(t, "b has it too", func() bool { return nodes[1].has("a", 1, 1) })
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestCrash(t *testing.T) {
	nodes := cluster(t, 3, nil)
	require.NoError(t, nodes[1].Close())
	for _, n := range []*node{nodes[0], nodes[2]} {
		soon(t, "b is found dead", func() bool { return n.heard("down b false") })
		require.Equal(t, 1, n.Stats().Lost)
		require.False(t, n.Send("b", 0, &replica.Summary{}))
	}
	require.Equal(t, []string{"a", "c"}, nodes[0].names())
}

func TestLeave(t *testing.T) {
	nodes := cluster(t, 4, nil)
	b := nodes[1]
	require.NoError(t, b.Leave(deadline(t)))
	require.NoError(t, b.Leave(deadline(t)))
	for _, n := range []*node{nodes[0], nodes[2], nodes[3]} {
		soon(t, "b has left", func() bool { return n.heard("down b true") })
		require.Zero(t, n.Stats().Lost)
	}
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())

	c := config("b") // its name is free at once, anywhere
	c.Incarnation = 2
	again := open(t, c)
	join(t, again, nodes[0])
	together(t, again, nodes[0], nodes[2], nodes[3])
	require.True(t, nodes[0].heard("up b 2"))
}

func TestLeaveAlone(t *testing.T) {
	a := open(t, config("a"))
	require.NoError(t, a.Leave(deadline(t)))
}

// TestKeyRotation changes the key of three nodes while they send messages; none is lost because a
// node lacks a key.
func TestKeyRotation(t *testing.T) {
	old, key := bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 32)
	nodes := cluster(t, 3, func(c *Config) { c.Keys = [][]byte{old} })
	seq := uint64(0)
	check := func() {
		for i, from := range nodes {
			seq++
			require.Empty(t, from.SendAll(deadline(t), 0, update(from.cfg.Node, seq, 10)))
			for j, to := range nodes {
				if i != j {
					soon(t, "it arrives", func() bool { return to.has(from.cfg.Node, 0, seq) })
				}
			}
		}
	}
	check()
	for _, step := range []func(*node) error{
		func(n *node) error { return n.InstallKey(key) },
		func(n *node) error { return n.UseKey(key) },
		func(n *node) error { return n.RemoveKey(old) },
	} {
		for _, n := range nodes {
			require.NoError(t, step(n))
			check()
		}
	}
	for _, n := range nodes {
		require.Equal(t, [][]byte{key}, n.Keys())
		require.Zero(t, n.Stats().Rejected, n.log.String())
		for _, e := range n.history() {
			require.NotContains(t, e, "down")
		}
	}
	require.Error(t, nodes[0].RemoveKey(key), "the one in use")
	require.Error(t, nodes[0].UseKey(old), "not installed")
	require.Error(t, nodes[0].InstallKey([]byte("short")))

	plain := open(t, config("p"))
	require.ErrorIs(t, plain.InstallKey(key), ErrNotEncrypted)
	require.ErrorIs(t, plain.UseKey(key), ErrNotEncrypted)
	require.ErrorIs(t, plain.RemoveKey(key), ErrNotEncrypted)
	require.Empty(t, plain.Keys())
}

func TestSplitAndHeal(t *testing.T) {
	network := cutnet.New(1)
	nodes := cluster(t, 4, func(c *Config) {
		tr, err := network.Listen(c.Node, "127.0.0.1", 0)
		require.NoError(t, err)
		c.Transport = tr
	})
	network.Split([]string{"a", "b"}, []string{"c", "d"})
	for i, n := range nodes {
		for j, other := range nodes {
			if i/2 != j/2 {
				soon(t, "the others are down",
					func() bool { return n.heard("down " + other.cfg.Node + " false") })
			}
		}
	}
	require.Equal(t, []string{"a", "b"}, nodes[0].names())
	require.Equal(t, []string{"c", "d"}, nodes[3].names())
	network.Heal()
	together(t, nodes...)
	for _, n := range nodes { // up, down and up again, in this order
		for _, other := range nodes {
			last := ""
			for _, e := range n.history() {
				var kind, name, rest string
				_, err := fmt.Sscan(e, &kind, &name, &rest)
				require.NoError(t, err)
				if name == other.cfg.Node {
					require.NotEqual(t, last, kind, "%s: %v", n.cfg.Node, n.history())
					last = kind
				}
			}
		}
	}
}

// TestLongSplit makes memberlist forget dead nodes at once, as it does after half a minute: the
// mesh must still find them.
func TestLongSplit(t *testing.T) {
	network := cutnet.New(1)
	nodes := cluster(t, 2, func(c *Config) {
		tr, err := network.Listen(c.Node, "127.0.0.1", 0)
		require.NoError(t, err)
		c.Transport, c.forgetDead = tr, time.Nanosecond
	})
	a := nodes[0]
	network.Cut("a", "b")
	soon(t, "b is down", func() bool { return a.heard("down b false") })
	soon(t, "a is down", func() bool { return nodes[1].heard("down a false") })
	tries := a.Stats().RejoinAttempts
	soon(t, "b is looked for", func() bool { return a.Stats().RejoinAttempts > tries })
	require.Zero(t, a.Stats().Rejoined)
	network.Heal()
	together(t, nodes...)
	require.Positive(t, a.Stats().Rejoined+nodes[1].Stats().Rejoined)
}

func TestCloseWhileSending(t *testing.T) {
	nodes := cluster(t, 3, func(c *Config) { c.PeerQueueBytes = 1 << 20 })
	var wg sync.WaitGroup
	for i := range nodes {
		n := nodes[i]
		wg.Go(func() {
			for seq := uint64(1); n.ctx.Err() == nil; seq++ {
				u := update(n.cfg.Node, seq, 5000)
				n.SendAll(t.Context(), 0, u)
				n.Broadcast(1, update(n.cfg.Node, seq, 50))
				for _, m := range n.Members() {
					n.Send(m.Name, 2, u)
					n.Probe(m.Name, 3, &replica.Summary{Root: seq})
				}
				n.Stats()
			}
		})
	}
	for _, n := range nodes {
		soon(t, "much is under way", func() bool { return len(n.received()) > 20 })
	}
	for _, n := range nodes {
		require.NoError(t, n.Close())
		count := len(n.received())
		require.Len(t, n.received(), count)
		n.Stats() // harmless afterwards
	}
	wg.Wait()
}

// TestCloseWhileLeaving checks that Close and Leave neither hang nor panic in any order.
func TestCloseWhileLeaving(t *testing.T) {
	nodes := cluster(t, 2, nil)
	done := make(chan error, 1)
	go func() { done <- nodes[0].Leave(context.Background()) }()
	soon(t, "it has begun", nodes[0].leaving.begun.Load)
	require.NoError(t, nodes[0].Close())
	if err := <-done; err != nil {
		require.ErrorIs(t, err, ErrClosed)
	}
}
