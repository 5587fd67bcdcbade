package cache

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/internal/evict"
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

// TinyLFU's window reads the counters of all cores without a shard's lock, and less
// often than there are counters.
func TestWindowIsObservedWithoutLocks(t *testing.T) {
	c, err := New(Options[int, int]{Capacity: 16 * minShardEntries, Policy: TinyLFU})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	c.stripes = make(stripes, 1024) // as on 64 cores
	looks, locked := 0, false
	c.window = evict.NewWindow(func() uint64 {
		for i := range c.shards {
			if s := &c.shards[i]; s.mu.TryLock() {
				s.mu.Unlock()
			} else {
				locked = true
			}
		}
		looks++
		return c.stripes.hits()
	}, c.stripes.misses, c.Len)
	const n = 32 * minShardEntries
	for key := range n {
		c.Set(key, 0)
		c.Set(key, 1) // no insertion
	}
	require.False(t, locked)
	require.InDelta(t, n/len(c.stripes), looks, float64(len(c.shards)))
}
