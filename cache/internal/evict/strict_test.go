package evict

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// After any operations, a Strict has its nodes in the order of a slice to whose end a node is moved
// when it is used or replaced.
func TestStrictOrder(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	l := NewStrict()
	var want []*Node
	for step := range 20_000 {
		shrinks := step/5000%2 == 1 // so that slots are given back
		i := r.IntN(len(want) + 1)
		op := r.IntN(6)
		if i == len(want) && op > 1 {
			op = 0
		}
		switch {
		case op == 0 && !shrinks || len(want) == 0 || op == 1 && !shrinks:
			n := new(Node)
			l.Add(n)
			want = append(want, n)
		case op < 3 && i < len(want):
			l.Remove(want[i])
			want = slices.Delete(want, i, i+1)
		case op == 3:
			n := new(Node)
			l.Replace(want[i], n)
			want = append(slices.Delete(want, i, i+1), n)
		case op > 3:
			l.Use(want[i])
			n := want[i]
			want = append(slices.Delete(want, i, i+1), n)
		}
		require.Equal(t, len(want), l.Len())
		if step%100 == 0 {
			require.True(t, slices.Equal(want, slices.Collect(l.All)), "step %d", step)
			if len(want) > 1 {
				require.Same(t, want[0], l.Victim(nil))
				require.Same(t, want[1], l.Victim(want[0]))
			}
		}
	}
}

// Slots are used again, and given back when few are left.
func TestStrictRoom(t *testing.T) {
	l := NewStrict()
	nodes := make([]*Node, 100_000)
	for i := range nodes {
		nodes[i] = new(Node)
		l.Add(nodes[i])
	}
	for _, n := range nodes {
		l.Use(n)
		l.Remove(n)
		l.Add(n)
	}
	require.LessOrEqual(t, len(l.slots), len(nodes)+1)
	for _, n := range nodes[100:] {
		l.Remove(n)
	}
	require.LessOrEqual(t, cap(l.slots), minSlots)
	require.Equal(t, nodes[:100], slices.Collect(l.All))
}
