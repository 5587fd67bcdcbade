package ownership

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
