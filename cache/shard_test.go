package cache

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A hit whose entry leaves before it is noted changes nothing.
func TestTouchOfWhatHasLeft(t *testing.T) {
	c, err := New(Options[int, int]{Capacity: 3})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	for key := range 3 {
		c.Set(key, 0)
	}
	s, hash := c.shardOf(1)
	e := s.index.find(hash, 1)
	c.Delete(1)
	s.touch(e)
	require.NoError(t, c.Audit())
	require.Equal(t, 2, s.policy.Len())
}

// Room is taken from those that hold more than their share, so that all come to
// hold the same.
func TestSharesAreEqual(t *testing.T) {
	const capacity = 16 * minShardEntries
	c, err := New(Options[int, int]{Capacity: capacity})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	require.Greater(t, len(c.shards), 1)
	for key := range 5 * capacity {
		c.Set(key, 0)
	}
	for i := range c.shards {
		require.InDelta(t, capacity/len(c.shards), c.shards[i].size.Load(), 1)
	}
}
