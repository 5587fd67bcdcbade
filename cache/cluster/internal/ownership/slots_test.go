package ownership

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/partition"
	"github.com/snowfence/snowfence/registry"
)

const testSlots = 60

// A slotNode is a node that takes part in holding slots.
type slotNode struct {
	*slots
	r    *registry.Registry
	has  entries      // of 1,000 keys
	lost atomic.Int64 // of these, those that were lost
}

func openSlots(t *testing.T, name string, seeds ...string) *slotNode {
	t.Helper()
	n := &slotNode{r: openRegistry(t, name, seeds...)}
	n.slots = openOwners(t, newSlots, Config{
		Registry: n.r, Slots: testSlots, Settle: 250 * time.Millisecond, Round: 20 * time.Millisecond,
		Has: n.has.has, Keys: n.has.all, Lost: func(string) { n.lost.Add(1) },
	})
	for i := range 1000 {
		n.has.set(n, true, fmt.Sprint("key", i))
	}
	return n
}

// together makes the nodes each other's members.
func together(nodes ...*slotNode) {
	var names []string
	for _, n := range nodes {
		names = append(names, n.r.NodeName())
	}
	for _, n := range nodes {
		n.SetMembers(names)
	}
}

// even waits until the nodes hold as many slots each, one more or less, and agree on the holders.
func even(t *testing.T, nodes ...*slotNode) {
	t.Helper()
	soon(t, "the slots are spread evenly", func() bool {
		all := 0
		for _, n := range nodes {
			held := n.Stats().Held
			all += held
			if held < testSlots/len(nodes) {
				return false
			}
			for i := range 200 {
				key := fmt.Sprint("key", i)
				if owner, held := n.ownerOf(n.partitions.Of(key)); !held || owner != nodes[0].Owner(key) {
					return false
				}
			}
		}
		return all == testSlots
	})
}

func claimed(nodes ...*slotNode) (n uint64) {
	for _, node := range nodes {
		n += node.Stats().Claimed
	}
	return n
}

func TestSlotsAreSpread(t *testing.T) {
	a := openSlots(t, "a")
	together(a)
	even(t, a)
	require.EqualValues(t, testSlots, claimed(a))

	b := openSlots(t, "b", a.r.Addr())
	together(a, b)
	even(t, a, b)
	require.EqualValues(t, testSlots+testSlots/2, claimed(a, b), "half have moved, and none twice")
	require.NotZero(t, a.lost.Load(), "Lost is called for the keys of a slot that is handed over")
	require.Zero(t, b.lost.Load())

	c := openSlots(t, "c", a.r.Addr())
	together(a, b, c)
	even(t, a, b, c)
	require.EqualValues(t, testSlots+testSlots/2+testSlots/3, claimed(a, b, c), "a third has moved")

	// One leaves: its slots go to the others, and no others move.
	before, lost := claimed(a, b), a.lost.Load()+b.lost.Load()
	require.NoError(t, c.Close(context.Background()))
	together(a, b)
	even(t, a, b)
	require.Equal(t, before+testSlots/3, claimed(a, b))
	require.Equal(t, lost, a.lost.Load()+b.lost.Load())

	// Nothing moves when the slots are even.
	still := claimed(a, b)
	for range 20 {
		together(a, b)
		time.Sleep(10 * time.Millisecond)
	}
	require.Equal(t, still, claimed(a, b))
}

// A key of a slot that nobody holds has one home, the same on all nodes that see each other. The
// home claims the slot when it has an entry.
func TestSlotIsClaimedOnDemand(t *testing.T) {
	a := openSlots(t, "a")
	b := openSlots(t, "b", a.r.Addr())
	together(a, b)
	for i := range 100 {
		key := fmt.Sprint("key", i)
		if owner, held := a.ownerOf(a.partitions.Of(key)); owner == "a" && !held {
			a.Changed(key)
		}
	}
	even(t, a, b)
}

// Both sides of a split hold all slots; when they meet each slot has one holder.
func TestSlotsAfterASplit(t *testing.T) {
	a, b := openSlots(t, "a"), openSlots(t, "b")
	together(a)
	together(b)
	even(t, a)
	even(t, b)
	_, err := b.r.Join(t.Context(), a.r.Addr())
	require.NoError(t, err)
	together(a, b)
	even(t, a, b)
	require.NotZero(t, a.Stats().Lost+b.Stats().Lost)
	require.Equal(t, testSlots, a.r.Len())
}

func TestSlotsClose(t *testing.T) {
	a := openSlots(t, "a")
	together(a)
	even(t, a)
	require.NoError(t, a.Close(context.Background()))
	require.Zero(t, a.r.Len())
	require.Equal(t, Stats{Claimed: testSlots, Released: testSlots}, a.Stats())
}

// restart closes the node, if it is open, and returns a new one.
func (n *slotNode) restart(t *testing.T, seeds ...string) *slotNode {
	t.Helper()
	require.NoError(t, n.Close(context.Background()))
	require.NoError(t, n.r.Leave(t.Context()))
	require.NoError(t, n.r.Close())
	return openSlots(t, n.r.NodeName(), seeds...)
}

// In a rolling restart each node's slots go to others and come back, and no others move.
func TestSlotsInARollingRestart(t *testing.T) {
	nodes := []*slotNode{openSlots(t, "a")}
	for _, name := range []string{"b", "c"} {
		nodes = append(nodes, openSlots(t, name, nodes[0].r.Addr()))
	}
	together(nodes...)
	even(t, nodes...)
	for i := range nodes {
		others := slices.Delete(slices.Clone(nodes), i, i+1)
		before, lost := claimed(others...), int64(0)
		for _, n := range others {
			lost += n.lost.Load()
		}
		require.NoError(t, nodes[i].Close(context.Background()))
		together(others...)
		even(t, others...)
		require.EqualValues(t, testSlots/3, claimed(others...)-before, "its slots went to the others")
		for _, n := range others {
			lost -= n.lost.Load()
		}
		require.Zero(t, lost, "none of theirs moved")

		nodes[i] = nodes[i].restart(t, others[0].r.Addr())
		together(nodes...)
		even(t, nodes...)
		moved := claimed(others...) - before
		require.EqualValues(t, testSlots/3, moved, "none went from one of the others to the other")
		require.EqualValues(t, testSlots/3, nodes[i].Stats().Claimed, "and each came back once")
	}
}

// A node that is back before the members were the same for a while finds its slots free, and
// nothing else has moved.
func TestSlotsOfAQuickRestart(t *testing.T) {
	c := Config{Slots: testSlots, Settle: time.Hour, Round: time.Hour} // the test makes the rounds
	open := func(name string, seeds ...string) (*registry.Registry, *slots) {
		r := openRegistry(t, name, seeds...)
		c.Registry = r
		return r, openOwners(t, newSlots, c)
	}
	round := func(list ...*slots) {
		for _, s := range list {
			v, _ := s.round(false)
			s.claimOpen(v)
		}
		for _, s := range list {
			soon(t, "all see all", func() bool {
				v, _ := s.round(false)
				return !slices.Contains(v.holders, "")
			})
		}
	}
	ra, a := open("a")
	rb, b := open("b", ra.Addr())
	a.SetMembers([]string{"a", "b"})
	b.SetMembers([]string{"b", "a"})
	round(a, b)
	half := Stats{Held: testSlots / 2, Claimed: testSlots / 2}
	soon(t, "each holds half", func() bool { return a.Stats() == half && b.Stats() == half })

	require.NoError(t, b.Close(t.Context()))
	a.SetMembers([]string{"a"})
	_, calm := a.round(false)
	require.False(t, calm)
	require.NoError(t, rb.Leave(t.Context()))
	require.NoError(t, rb.Close())
	rb, b = open("b", ra.Addr())
	a.SetMembers([]string{"a", "b"})
	b.SetMembers([]string{"b", "a"})
	soon(t, "a sees b", func() bool {
		return len(ra.Members()) == 2 && len(rb.Members()) == 2 &&
			ra.Len() == testSlots/2 && rb.Len() == testSlots/2
	})
	for i := range 1000 {
		key := fmt.Sprint("key", i)
		require.Equal(t, a.Owner(key), b.Owner(key))
	}
	round(a, b)
	soon(t, "each holds half again", func() bool { return a.Stats() == half && b.Stats() == half })
}

// Slots are handed over an eighth at a time, and Lost is called for their keys.
func TestSlotsMoveInRounds(t *testing.T) {
	const n = 64
	r := openRegistry(t, "a")
	var moved sync.Map
	has := new(entries)
	s := openOwners(t, newSlots, Config{
		Registry: r, Slots: n, Settle: time.Nanosecond, Round: time.Hour, Has: has.has, Keys: has.all,
		Lost: func(key string) {
			_, held := r.Lookup(slotOf(key, n))
			assert.False(t, held)
			moved.Store(slotOf(key, n), true)
		},
	})
	for i := range 1000 {
		has.set(s, true, fmt.Sprint("key", i)) // some of each slot
	}
	s.SetMembers([]string{"a"})
	v, calm := s.round(false)
	require.True(t, calm)
	s.claimOpen(v)
	soon(t, "all are held", func() bool { return s.Stats().Held == n })
	s.SetMembers([]string{"a", "b"})
	for i := range n / 2 / (n / 8) {
		v, _ = s.round(false)
		s.handOver(v)
		require.EqualValues(t, (i+1)*n/8, s.Stats().Released)
		soon(t, "Lost is called", func() bool {
			told := 0
			moved.Range(func(any, any) bool { told++; return true })
			return told == (i+1)*n/8
		})
	}
	v, _ = s.round(false)
	s.handOver(v)
	require.EqualValues(t, n/2, s.Stats().Released, "that was all")
	s.claimOpen(v)
	require.Equal(t, n/2, s.Stats().Held, "those that are free are b's")
	for slot := range n {
		name := fmt.Sprintf("cache/test/slot/%04d", slot)
		_, held := r.Lookup(name)
		_, told := moved.Load(name)
		require.Equal(t, !held, told, name)
	}
	for i := range 1000 {
		key := fmt.Sprint("key", i)
		owner, held := s.ownerOf(s.partitions.Of(key))
		require.Equal(t, owner == "a", held)
	}
}

// slotOf returns the name of a key's slot, computed as the doc says.
func slotOf(key string, n int) string {
	places, _ := partition.New(n)
	return fmt.Sprintf("cache/test/slot/%04d", places.Of(key))
}

// An outdated plan claims nothing more.
func TestClaimsByAnOutdatedPlan(t *testing.T) {
	r := openRegistry(t, "a")
	s := openOwners(t, newSlots, Config{Registry: r, Slots: testSlots, Round: time.Hour})
	s.SetMembers([]string{"a"})
	v, _ := s.round(false)
	s.SetMembers([]string{"a", "b"})
	s.claimOpen(v)
	require.Zero(t, s.Stats().Held)
}

// A holder that is no member can't be asked: its slots have a home, and the holder keeps them.
func TestSlotOfAStranger(t *testing.T) {
	r := openRegistry(t, "a")
	other := openRegistry(t, "stranger", r.Addr())
	_, err := other.Register(t.Context(), slotOf("k", testSlots), nil)
	require.NoError(t, err)
	soon(t, "a sees it", func() bool { return r.Len() == 1 })
	s := openOwners(t, newSlots, Config{
		Registry: r, Slots: testSlots, Settle: time.Nanosecond, Round: time.Hour,
	})
	s.SetMembers([]string{"a"})
	require.Equal(t, "a", s.Owner("k"))
	require.Equal(t, map[string]int{"a": testSlots}, s.Shares())
	v, _ := s.round(false)
	s.claimOpen(v)
	soon(t, "all others are held", func() bool { return s.Stats().Held == testSlots-1 })
}

// A node that was stopped waits again before it claims slots that seem free.
func TestSlotsAfterAStop(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		const settle = 1500 * time.Millisecond
		s := newSlots(Config{
			Registry: r, Self: "a", Cache: "test", Slots: testSlots, Settle: settle,
			Has: new(entries).has, Keys: new(entries).all, Lost: func(string) {}, Round: time.Second,
			Logger: slog.New(slog.DiscardHandler),
		})
		defer func() { require.NoError(t, s.Close(context.Background())) }()
		var stopped atomic.Bool
		stop := func(name string) (registry.Claim, bool) {
			if !stopped.Swap(true) { // in the first round, after 1 s, before the members have settled
				time.Sleep(10 * time.Second)
			}
			return r.Registry.Lookup(name)
		}
		s.SetMembers([]string{"a"})
		r.lookup.Store(&stop)
		time.Sleep(11*time.Second + time.Millisecond)
		require.True(t, stopped.Load())
		require.Zero(t, s.Stats().Claimed, "it has been stopped until now, and has not looked around yet")
		time.Sleep(time.Second)
		require.Zero(t, s.Stats().Claimed)
		time.Sleep(time.Second)
		synctest.Wait()
		require.EqualValues(t, testSlots, s.Stats().Claimed)
	})
}

// No slot is claimed without need before the members have been the same for a while: a node that
// was stopped sees no other node for a moment when it wakes up.
func TestSlotsAreNotTakenInHaste(t *testing.T) {
	r := openRegistry(t, "a")
	has := new(entries)
	u := openOwners(t, NewSlots, Config{
		Registry: r, Slots: testSlots, Settle: time.Hour, Round: time.Millisecond, Has: has.has,
	})
	u.SetMembers([]string{"a"})
	time.Sleep(30 * time.Millisecond) // some rounds
	require.Zero(t, u.Stats().Held)
	has.set(u, true, "needed")
	soon(t, "it is held", func() bool { return u.Stats().Held == 1 })
}
