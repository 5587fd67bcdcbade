package ownership

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func listOf(nodes ...string) *memberList {
	var m members
	m.set(nodes)
	return m.seen.Load()
}

// situation draws members, and holders of slots who may be members or not.
func situation(t *rapid.T) (holders, nodes []string) {
	n := rapid.IntRange(1, 9).Draw(t, "members")
	for i := range n {
		nodes = append(nodes, fmt.Sprint("node", i))
	}
	known := append(slices.Clone(nodes), "", "gone")
	holders = rapid.SliceOfN(rapid.SampledFrom(known), 1, 200).Draw(t, "holders")
	return holders, nodes
}

func countOf(slots []string, node string) (n int) {
	for _, holder := range slots {
		if holder == node {
			n++
		}
	}
	return n
}

func TestPlanIsEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		holders, nodes := situation(t)
		targets := plan(holders, listOf(nodes...))
		least, most, all := len(holders), 0, 0
		for _, node := range nodes {
			n := countOf(targets, node)
			least, most, all = min(least, n), max(most, n), all+n
		}
		require.Equal(t, len(holders), all, "each slot has a member")
		require.LessOrEqual(t, most-least, 1)
	})
}

// The minimum that has to move is what members hold beyond an even share, if those that hold most
// get the larger shares.
func TestPlanMovesAsLittleAsPossible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		holders, nodes := situation(t)
		targets := plan(holders, listOf(nodes...))
		moved := 0
		for slot, holder := range holders {
			if slices.Contains(nodes, holder) && targets[slot] != holder {
				moved++
			}
		}
		var held []int
		for _, node := range nodes {
			held = append(held, countOf(holders, node))
		}
		slices.Sort(held)
		slices.Reverse(held)
		must := 0
		for i, n := range held {
			share := len(holders) / len(nodes)
			if i < len(holders)%len(nodes) {
				share++
			}
			must += max(0, n-share)
		}
		require.Equal(t, must, moved)
	})
}

func TestPlanIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		holders, nodes := situation(t)
		targets := plan(holders, listOf(nodes...))
		require.Equal(t, targets, plan(targets, listOf(nodes...)), "nothing moves once it is carried out")
		shuffled := rapid.Permutation(nodes).Draw(t, "order")
		again := plan(holders, listOf(shuffled...))
		require.Equal(t, targets, again, "the order of members means nothing")
	})
}

// The plan stays the same while it is carried out, one slot at a time in any order. So nodes that
// look at different moments agree on which member claims a slot.
func TestPlanWhileItIsCarriedOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		holders, nodes := situation(t)
		list := listOf(nodes...)
		targets := plan(holders, list)
		var twice []int // each slot
		for i := range 2 * len(holders) {
			twice = append(twice, i/2)
		}
		moves := 0
		for _, slot := range rapid.Permutation(twice).Draw(t, "slots") {
			was := holders[slot]
			switch _, member := slices.BinarySearch(list.nodes, was); {
			case was == targets[slot]:
			case member:
				holders[slot] = "" // it is handed over
			default:
				holders[slot] = targets[slot] // it is claimed
				moves++
			}
			require.Equal(t, targets, plan(holders, list), "slot %d of %q", slot, was)
		}
		require.LessOrEqual(t, moves, len(holders), "none moves twice")
	})
}

func TestPlanWithoutMembers(t *testing.T) {
	require.Equal(t, []string{"", ""}, plan([]string{"a", ""}, &memberList{}))
}

// A home is the same on all nodes, homes are spread, and a member that joins becomes the home of
// its share alone.
func TestHome(t *testing.T) {
	var before, after members
	before.set([]string{"a", "b", "c", "d"})
	after.set([]string{"e", "d", "c", "b", "a", "a"})
	require.Len(t, after.list(), 5)
	const names = 10_000
	homes, moved := make(map[string]int), 0
	for i := range names {
		unit := fmt.Sprint("unit", i)
		was, is := before.home(unit), after.home(unit)
		homes[is]++
		if was != is {
			require.Equal(t, "e", is, "it moves to the new member, or not at all")
			moved++
		}
	}
	for _, node := range after.list() {
		require.InDelta(t, names/5, homes[node], names/5/10)
	}
	require.InDelta(t, names/5, moved, names/5/10)
	require.Empty(t, new(members).home("x"))
	require.False(t, new(members).has("a"))
	require.False(t, after.set([]string{"a", "b", "c", "d", "e"}), "no change")
}

func TestHomeAllocatesNothing(t *testing.T) {
	var m members
	m.set([]string{"a", "b", "c"})
	require.Zero(t, testing.AllocsPerRun(100, func() { m.home("some key") }))
}

func TestShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		givers := rapid.SliceOfN(rapid.IntRange(0, 200), 1, 9).Draw(t, "givers")
		most := rapid.IntRange(1, 100).Draw(t, "most")
		all := 0
		for _, mine := range givers {
			all += mine
		}
		given, none := 0, 0
		for _, mine := range givers {
			n := share(mine, all, most)
			require.LessOrEqual(t, n, mine)
			require.True(t, n > 0 || mine == 0, "it goes on")
			if mine == 0 {
				none++
			}
			given += n
		}
		require.GreaterOrEqual(t, given, min(all, most))
		bound := max(min(all, most), most+len(givers)-none-1) // but for one each that is begun
		require.LessOrEqual(t, given, bound)
	})
}
