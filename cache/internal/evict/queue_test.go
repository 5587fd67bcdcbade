package evict

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func contents(all func(func(*Node) bool)) []*Node { return slices.Collect(all) }

// A queue behaves like a list, whatever its holes and positions.
func TestQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.SampledFrom([]uint32{0, posMask - 70, posMask - 5}).Draw(t,
			"start") &^ (chunkLen - 1)
		q := queue{id: 2, head: start, tail: start}
		var want []*Node
		steps := rapid.IntRange(1, 600).Draw(t, "steps")
		for range steps {
			switch op := rapid.IntRange(0, 9).Draw(t, "op"); {
			case op < 5 || len(want) == 0:
				n := new(Node)
				q.push(n)
				want = append(want, n)
			case op < 7:
				at := rapid.IntRange(0, len(want)-1).Draw(t, "at")
				q.remove(want[at])
				want = slices.Delete(want, at, at+1)
			case op < 8:
				at := rapid.IntRange(0, len(want)-1).Draw(t, "at")
				n := new(Node)
				q.replace(want[at], n)
				want[at] = n
			default:
				if got := q.pop(); got != want[0] {
					t.Fatal("pop is not the oldest")
				}
				want = want[1:]
			}
			if q.n != len(want) || len(want) > 0 && q.oldest() != want[0] {
				t.Fatalf("%d nodes, want %d", q.n, len(want))
			}
			for _, n := range want {
				if !q.contains(n) {
					t.Fatal("a node has the wrong queue")
				}
			}
		}
		if !slices.Equal(contents(q.all), want) {
			t.Fatal("the order differs")
		}
	})
}

// Holes do not accumulate, and a queue of constant length allocates nothing.
func TestQueueRoom(t *testing.T) {
	var q queue
	nodes := make([]Node, 10_000)
	for i := range nodes {
		q.push(&nodes[i])
	}
	for i := range nodes {
		if i%10 != 0 {
			q.remove(&nodes[i])
		}
	}
	require.Less(t, q.span(), 2*q.n+chunkLen)
	require.Zero(t, testing.AllocsPerRun(1000, func() { q.push(q.pop()) }))
	for i := range nodes {
		if i%10 == 0 {
			q.remove(&nodes[i])
		}
	}
	require.Zero(t, q.n)
	require.Empty(t, q.chunks)
	require.Less(t, cap(q.chunks), 2*chunkLen)
}
