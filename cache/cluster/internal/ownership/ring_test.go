package ownership

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRing(t *testing.T) {
	told := make(chan func(string) bool, 10)
	u := NewRing(Config{Self: "a", Lost: func(match func(string) bool) { told <- match }})
	require.Equal(t, Owner{}, u.Owner("k"))
	u.SetMembers([]string{"a", "b", "c"})
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
	u.SetMembers([]string{"c", "a", "b", "a"})
	u.SetMembers([]string{"a", "b", "c", "d"})
	lost := <-told
	moved := 0
	for key, was := range before {
		is := u.Owner(key).Node
		if is != was {
			require.Equal(t, "d", is)
			moved++
		}
		require.Equal(t, is != "a", lost(key))
	}
	require.InDelta(t, 750, moved, 400)
	claim, err := u.Claim(t.Context(), "key1")
	require.NoError(t, err)
	require.Equal(t, u.Owner("key1"), claim)
	u.Arrived("k")
	u.Left("k")
	require.Zero(t, u.Stats())

	u.SetMembers(nil)
	require.True(t, (<-told)("key1"))
	require.NoError(t, u.Close(t.Context()))
	u.SetMembers([]string{"a"})
	require.NoError(t, u.Close(t.Context()))
	require.Empty(t, told, "there is nothing to tell where nothing changes, nor after Close")
}

// All nodes have the same ring, in whatever order they hear of the members; and who is at its end begins it.
func TestRingIsTheSameForAll(t *testing.T) {
	ours, theirs := NewRing(Config{Self: "a"}), NewRing(Config{Self: "b"})
	ours.SetMembers([]string{"a", "b"})
	theirs.SetMembers([]string{"b", "a"})
	for i := range 10_000 {
		key := fmt.Sprint("key", i)
		require.Equal(t, ours.Owner(key), theirs.Owner(key))
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { ours.Owner("some key") }))
}
