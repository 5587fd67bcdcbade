package ownership

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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

// A key of a slot that nobody holds has one home, the same on all nodes that know of each other, who may claim it at once.
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

func TestRing(t *testing.T) {
	var lost atomic.Pointer[func(string) bool]
	u := NewRing(Config{Self: "a", Lost: func(match func(string) bool) { lost.Store(&match) }})
	require.Equal(t, Owner{}, u.Owner("k"))
	u.SetMembers([]string{"a", "b", "c"})
	require.Nil(t, lost.Load(), "there was nothing to lose")
	counts, before := make(map[string]int), make(map[string]string)
	for i := range 3000 {
		key := fmt.Sprint("key", i)
		owner := u.Owner(key)
		require.True(t, owner.Held)
		counts[owner.Node]++
		before[key] = owner.Node
	}
	for node, n := range counts {
		require.InDelta(t, 1000, n, 400, node)
	}
	u.SetMembers([]string{"a", "b", "c", "d"})
	moved := 0
	for key, was := range before {
		is := u.Owner(key).Node
		if is != was {
			require.Equal(t, "d", is)
			moved++
		}
		told := (*lost.Load())(key)
		assert.Equal(t, told, is != "a", "%s: told that it is lost", key)
	}
	require.InDelta(t, 750, moved, 400)
	claim, err := u.Claim(t.Context(), "key1")
	require.NoError(t, err)
	require.Equal(t, u.Owner("key1"), claim)
	u.Arrived("k")
	u.Left("k")
	require.Zero(t, u.Stats())
	require.NoError(t, u.Close(t.Context()))
}

// Nothing is claimed without need before the members have been the same for a while: a node that was stopped sees nobody when it
// wakes up, for a moment.
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
