package ownership

import (
	"context"
	"fmt"
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
	Units
	r    *registry.Registry
	lost atomic.Int64 // keys of some, by what Lost says
}

func openSlots(t *testing.T, name string, seeds ...string) *slotNode {
	t.Helper()
	n := &slotNode{r: openRegistry(t, name, seeds...)}
	n.Units = openUnits(t, NewSlots, Config{
		Registry: n.r, Slots: testSlots, Settle: 50 * time.Millisecond, Round: 20 * time.Millisecond,
		Lost: func(match func(string) bool) {
			for i := range 1000 {
				if match(fmt.Sprint("key", i)) {
					n.lost.Add(1)
				}
			}
		},
	})
	return n
}

// together tells all of the nodes who the members are.
func together(nodes ...*slotNode) {
	var names []string
	for _, n := range nodes {
		names = append(names, n.r.NodeName())
	}
	for _, n := range nodes {
		n.SetMembers(names)
	}
}

// even waits until the nodes hold as many slots each, one more or less, and see that alike.
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
				if owner := n.Owner(key); !owner.Held || owner != nodes[0].Owner(key) {
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
	require.EqualValues(t, testSlots+testSlots/2, claimed(a, b), "half of them have moved, and none twice")
	require.NotZero(t, a.lost.Load(), "who hands a slot over is told of the keys")
	require.Zero(t, b.lost.Load())

	c := openSlots(t, "c", a.r.Addr())
	together(a, b, c)
	even(t, a, b, c)
	require.EqualValues(t, testSlots+testSlots/2+testSlots/3, claimed(a, b, c), "a third has moved")

	// One leaves: what it had goes to the others, and nothing else moves.
	before, lost := claimed(a, b), a.lost.Load()+b.lost.Load()
	require.NoError(t, c.Close(context.Background()))
	together(a, b)
	even(t, a, b)
	require.Equal(t, before+testSlots/3, claimed(a, b))
	require.Equal(t, lost, a.lost.Load()+b.lost.Load())

	// Nothing moves once all is even.
	still := claimed(a, b)
	for range 20 {
		together(a, b)
		time.Sleep(10 * time.Millisecond)
	}
	require.Equal(t, still, claimed(a, b))
}

// A key of a slot that nobody holds has one home, the same on all nodes that know of each other, who may claim it at
// once.
func TestSlotIsClaimedOnDemand(t *testing.T) {
	a := openSlots(t, "a")
	b := openSlots(t, "b", a.r.Addr())
	together(a, b)
	for i := range 100 {
		key := fmt.Sprint("key", i)
		owner := a.Owner(key)
		require.NotEmpty(t, owner.Node)
		if owner.Node == "a" && !owner.Held {
			owner, err := a.Claim(t.Context(), key)
			require.NoError(t, err)
			require.True(t, owner.Held)
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

// restart has a node close, if it has not, and start anew; it returns the new one.
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
		require.EqualValues(t, testSlots/3, claimed(others...)-before, "no slot went from one of the others to the other")
		require.EqualValues(t, testSlots/3, nodes[i].Stats().Claimed, "and each came back once")
	}
}

// A node that is back before the members were the same for a while finds its slots free, and nothing else has moved.
func TestSlotsOfAQuickRestart(t *testing.T) {
	c := Config{Slots: testSlots, Settle: time.Hour, Round: time.Hour} // rounds are made by hand
	open := func(name string, seeds ...string) (*registry.Registry, *slots) {
		r := openRegistry(t, name, seeds...)
		c.Registry = r
		return r, openUnits(t, newSlots, c)
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
	require.Equal(t, Stats{Held: testSlots / 2, Claimed: testSlots / 2}, a.Stats())
	require.Equal(t, Stats{Held: testSlots / 2, Claimed: testSlots / 2}, b.Stats())

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
		return len(ra.Members()) == 2 && len(rb.Members()) == 2 && ra.Len() == testSlots/2 && rb.Len() == testSlots/2
	})
	for i := range 1000 {
		key := fmt.Sprint("key", i)
		require.Equal(t, a.Owner(key), b.Owner(key))
	}
	round(a, b)
	require.Equal(t, Stats{Held: testSlots / 2, Claimed: testSlots / 2}, a.Stats())
	require.Equal(t, Stats{Held: testSlots / 2, Claimed: testSlots / 2}, b.Stats())
}

// Slots are handed over an eighth at a time, and who loses them is told of all of a round at once.
func TestSlotsMoveInRounds(t *testing.T) {
	const n = 64
	r := openRegistry(t, "a")
	var calls atomic.Int64
	var moved sync.Map
	s := openUnits(t, newSlots, Config{
		Registry: r, Slots: n, Settle: time.Nanosecond, Round: time.Hour,
		Lost: func(match func(string) bool) {
			defer calls.Add(1)
			for i := range 1000 {
				key := fmt.Sprint("key", i)
				if _, held := r.Lookup(slotOf(key, n)); match(key) {
					assert.False(t, held)
					moved.Store(slotOf(key, n), true)
				}
			}
		},
	})
	s.SetMembers([]string{"a"})
	v, calm := s.round(false)
	require.True(t, calm)
	s.claimOpen(v)
	require.Equal(t, n, s.Stats().Held)
	s.SetMembers([]string{"a", "b"})
	for i := range n / 2 / (n / 8) {
		v, _ = s.round(false)
		s.handOver(v)
		require.EqualValues(t, (i+1)*n/8, s.Stats().Released)
		soon(t, "it is told", func() bool { return calls.Load() == int64(i+1) })
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
		if owner := s.Owner(key); owner.Node == "b" {
			require.False(t, owner.Held)
		} else {
			require.Equal(t, Owner{"a", true}, owner)
		}
	}
}

// slotOf is the name of a key's slot, made anew from what the doc says.
func slotOf(key string, n int) string {
	places, _ := partition.New(n)
	return fmt.Sprintf("cache/test/slot/%04d", places.Of(key))
}

// Once the plan is outdated nothing more is claimed by it.
func TestClaimsByAnOutdatedPlan(t *testing.T) {
	s := openUnits(t, newSlots, Config{Registry: openRegistry(t, "a"), Slots: testSlots, Round: time.Hour})
	s.SetMembers([]string{"a"})
	v, _ := s.round(false)
	s.SetMembers([]string{"a", "b"})
	s.claimOpen(v)
	require.Zero(t, s.Stats().Held)
}

// A holder that is no member can't be asked: its slots have a home, and are not taken from it.
func TestSlotOfAStranger(t *testing.T) {
	r := openRegistry(t, "a")
	other := openRegistry(t, "stranger", r.Addr())
	_, err := other.Register(t.Context(), slotOf("k", testSlots), nil)
	require.NoError(t, err)
	soon(t, "a sees it", func() bool { return r.Len() == 1 })
	s := openUnits(t, newSlots, Config{Registry: r, Slots: testSlots, Settle: time.Nanosecond, Round: time.Hour})
	s.SetMembers([]string{"a"})
	require.Equal(t, Owner{Node: "a"}, s.Owner("k"))
	owner, err := s.Claim(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, Owner{"stranger", true}, owner)
	v, _ := s.round(false)
	s.claimOpen(v)
	require.Equal(t, testSlots-1, s.Stats().Held)
}

// A node that was stopped waits again before it takes what seems free.
func TestSlotsAfterAStop(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		const settle = 1500 * time.Millisecond
		s := newSlots(Config{
			Registry: r, Self: "a", Cache: "test", Slots: testSlots, Settle: settle, Lost: func(func(string) bool) {},
		})
		defer func() { require.NoError(t, s.Close(context.Background())) }()
		var stopped atomic.Bool
		stop := func(name string) (registry.Claim, bool) {
			if !stopped.Swap(true) { // in the first round, after 1 s: the members are new still
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

// Nothing is claimed without need before the members have been the same for a while: a node that was stopped sees
// nobody when it wakes up, for a moment.
func TestSlotsAreNotTakenInHaste(t *testing.T) {
	r := openRegistry(t, "a")
	u := openUnits(t, NewSlots, Config{Registry: r, Slots: testSlots, Settle: time.Hour, Round: time.Millisecond})
	u.SetMembers([]string{"a"})
	time.Sleep(30 * time.Millisecond) // some rounds
	require.Zero(t, u.Stats().Held)
	owner, err := u.Claim(t.Context(), "needed")
	require.NoError(t, err)
	require.Equal(t, Owner{"a", true}, owner)
	require.Equal(t, 1, u.Stats().Held)
}
