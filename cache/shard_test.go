package cache

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/internal/evict"
)

// A hit whose entry leaves before it is noted changes nothing.
func TestTouchOfWhatHasLeft(t *testing.T) {
	c, err := New(Options[int, int]{Capacity: 3, Policy: LRU})
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

// Room is taken from the shards that hold more than their share, so that all eventually hold the
// same.
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

// Uses are reported to the window without a shard's lock.
func TestUsesAreRecordedWithoutLocks(t *testing.T) {
	c, err := New(Options[int, int]{Capacity: 16 * minShardEntries})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	records, locked := 0, false
	c.window = evict.NewAdaptiveWindow(func() int {
		for i := range c.shards {
			if s := &c.shards[i]; s.mu.TryLock() {
				s.mu.Unlock()
			} else {
				locked = true
			}
		}
		records++
		return c.room()
	})
	for i := range c.shards {
		c.shards[i].window = c.window
	}
	for key := range 16 * minShardEntries {
		c.Set(key, 0)
	}
	inserted := records
	require.Positive(t, inserted)
	for key := range minShardEntries {
		c.Get(15*minShardEntries + key)
	}
	require.Greater(t, records, inserted, "of hits")
	require.False(t, locked)
}
