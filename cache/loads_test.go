package cache

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A key has one load, the latest: the end of an older one, which was stuck and abandoned, does not
// end it.
func TestLoadsOfOneKey(t *testing.T) {
	var s shard[int, int]
	older, newer := &load[int, int]{key: 1, hash: 4}, &load[int, int]{key: 1, hash: 4}
	other := &load[int, int]{key: 2, hash: 4}
	for _, l := range []*load[int, int]{older, other, newer} {
		s.loads.put(l)
	}
	require.Equal(t, 2, s.loads.n)
	s.unregister(older)
	require.True(t, s.loads.has(newer) && s.loads.has(other))
	s.unregister(newer)
	s.unregister(other)
	require.Zero(t, s.loads.n)
}

// The table grows with the loads under way, and is released after many.
func TestLoadsRoom(t *testing.T) {
	var s shard[int, int]
	all := make([]*load[int, int], 2*minShrinkSize)
	for i := range all {
		all[i] = &load[int, int]{key: i, hash: uint32(i) << hashReserved} //nolint:gosec // small
		s.loads.put(all[i])
	}
	require.GreaterOrEqual(t, len(s.loads.chains), len(all))
	for _, l := range all {
		require.True(t, s.loads.has(l))
		s.unregister(l)
		require.False(t, s.loads.has(l))
	}
	require.Empty(t, s.loads.chains)
}
