package ownership

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRing(t *testing.T) {
	told := make(chan string, 10_000)
	has := new(entries)
	u := NewRing(Config{Self: "a", Keys: has.all, Lost: func(key string) { told <- key }})
	require.Empty(t, u.Owner("k"))
	u.SetMembers([]string{"a", "b", "c"})
	counts, before := make(map[string]int), make(map[string]string)
	for i := range 3000 {
		key := fmt.Sprint("key", i)
		owner := u.Owner(key)
		counts[owner]++
		before[key] = owner
		has.set(u, owner == "a", key)
	}
	for node, n := range counts {
		require.InDelta(t, 1000, n, 400, node)
	}
	u.SetMembers([]string{"c", "a", "b", "a"})
	u.SetMembers([]string{"a", "b", "c", "d"})
	moved := 0
	lost := make(map[string]bool)
	for key, was := range before {
		is := u.Owner(key)
		if is != was {
			require.Equal(t, "d", is)
			moved++
		}
		if lost[key] = is != was && was == "a"; !lost[key] {
			delete(lost, key)
		}
	}
	require.InDelta(t, 750, moved, 400)
	for range len(lost) {
		key := <-told
		require.True(t, lost[key])
		has.set(u, false, key)
	}
	require.Zero(t, u.Stats())

	u.SetMembers(nil)
	for range counts["a"] - len(lost) {
		has.set(u, false, <-told)
	}
	require.NoError(t, u.Close(t.Context()))
	u.SetMembers([]string{"a"})
	require.NoError(t, u.Close(t.Context()))
	require.Empty(t, told, "there is nothing to tell where nothing changes, nor after Close")
}

// All nodes have the same ring, whatever the order of the members; the first point follows the last
// one.
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
