package cache_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

const mib = 1 << 20

func weightOf(_, v int) uint32 { return uint32(v) } //nolint:gosec // small

func weighted(tb testing.TB, budget uint64) *cache.Cache[int, int] {
	tb.Helper()
	return newCache(tb, cache.Options[int, int]{
		MaxWeight: budget,
		Weigher:   weightOf,
	})
}

func TestWeightBudgetIsHeld(t *testing.T) {
	for _, budget := range []uint64{1000, 8 * mib} {
		seed := rand.Uint64()
		t.Log("seed", seed)
		r := rand.New(rand.NewPCG(seed, 0))
		c := weighted(t, budget)
		most := int64(0)
		for i := range 6_000 {
			w := r.Uint64N(budget/100 + 1)
			if i%100 == 0 {
				w = r.Uint64N(budget + 1)
			}
			k := r.IntN(5000)
			c.Set(k, int(w))
			if got := c.Weight(); got > int64(budget) {
				t.Fatalf("weight %d after %d sets, at most %d", got, i+1, budget)
			}
			if v, ok := c.Get(k); !ok || uint64(v) != w {
				t.Fatal("the entry just stored is gone")
			}
			most = max(most, c.Weight())
			if i%1000 == 0 {
				require.NoError(t, c.Audit())
			}
		}
		require.Greater(t, most, int64(budget)*9/10, "the cache uses its budget")
	}
}

// An entry may be heavier than its shard's share, up to MaxWeight: other entries are evicted for
// it.
func TestEntryHeavierThanItsShardsShare(t *testing.T) {
	c := weighted(t, 8*mib)
	require.Greater(t, c.Shards(), 1)
	for i := range 8 * 1024 {
		c.Set(i, 1024)
	}
	require.Equal(t, int64(8*mib), c.Weight())
	for _, w := range []int{2 * mib, 7 * mib, 8 * mib} {
		c.Set(-1, w)
		require.LessOrEqual(t, c.Weight(), int64(8*mib))
		v, ok := c.Get(-1)
		require.True(t, ok)
		require.Equal(t, w, v)
		require.NoError(t, c.Audit())
		require.Greater(t, c.Weight(), int64(8*mib)-2048, "no more entries than necessary are evicted")
	}
	require.Equal(t, 1, c.Len())
	for i := range 100 { // now it has to go
		c.Set(i, mib)
		require.LessOrEqual(t, c.Weight(), int64(8*mib))
	}
	_, ok := c.Get(-1)
	require.False(t, ok)
}

func TestEntryHeavierThanTheBudget(t *testing.T) {
	c := weighted(t, 1000)
	c.Set(1, 10)
	c.Set(2, 20)
	c.Set(1, 1001)
	_, ok := c.Get(1)
	require.False(t, ok, "the older value is outdated")
	require.Equal(t, 1, c.Len(), "no other entry was evicted")
	v, err := c.Fetch(t.Context(), 3, returns[int](math.MaxInt32))
	require.NoError(t, err)
	require.Equal(t, math.MaxInt32, v, "its caller gets it")
	_, ok = c.Get(3)
	require.False(t, ok)
	require.Equal(t, uint64(2), c.Stats().Rejected)
	require.Equal(t, int64(20), c.Weight())
}

func TestWeightAndCapacity(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{
		Capacity:  10,
		MaxWeight: 100,
		Weigher:   weightOf,
	})
	for i := range 50 {
		c.Set(i, 1)
	}
	require.Equal(t, 10, c.Len())
	for i := range 50 {
		c.Set(i, 50)
	}
	require.Equal(t, 2, c.Len())
	c.Set(49, 0)
	require.Equal(t, int64(50), c.Weight())
}

// A Weigher that panics does so in its caller, or is an error of Fetch; the cache stays consistent.
func TestWeigherPanics(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{MaxWeight: 10, Weigher: func(k, _ int) uint32 {
		if k == 13 {
			panic("thirteen")
		}
		return 1
	}})
	require.Panics(t, func() { c.Set(13, 1) })
	_, err := c.Fetch(t.Context(), 13, returns[int](1))
	require.ErrorContains(t, err, "thirteen")
	require.Zero(t, c.Loads())
	c.Set(1, 1)
	require.Equal(t, 1, c.Len())
}

// A Weigher within a load is part of it: the load's time-out applies, and a late result is not
// stored.
func TestSlowWeigher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{
			MaxWeight: 10,
			Weigher:   func(string, int) uint32 { time.Sleep(time.Minute); return 1 },
			Courier:   []courier.Option{courier.WithTimeout(time.Second)},
		})
		start := time.Now()
		_, err := c.Fetch(t.Context(), "k", returns[string](1))
		require.ErrorIs(t, err, courier.ErrTimeout)
		require.Equal(t, time.Second, time.Since(start))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Zero(t, c.Len())
		require.Zero(t, c.Loads())
		require.Equal(t, uint64(1), c.Stats().LoadErrors)
	})
}

// perShard returns the number of entries in each shard, without that of except.
func perShard(c *cache.Cache[int, int], except int) []int {
	held := make([]int, c.Shards())
	for k := range c.All() {
		if k != except {
			held[c.ShardOf(k)]++
		}
	}
	return held
}

// A value heavier than its shard's share takes room from all shards alike, when it
// is stored and while it stays: other entries of its shard live as long as those of others.
func TestHeavyEntryTakesRoomFromAllShards(t *testing.T) {
	const light, n, heavy = 1024, 8 * 1024, -1
	c := weighted(t, n*light)
	require.Greater(t, c.Shards(), 1)
	for i := range n {
		c.Set(i, light)
	}
	c.Set(heavy, n*light/4)
	share := n * 3 / 4 / c.Shards()
	for _, held := range perShard(c, heavy) {
		require.InDelta(t, share, held, 3, "when it was stored")
	}
	for i := range 8 * n {
		_, ok := c.Get(heavy)
		require.True(t, ok, "the entry is in use")
		c.Set(i, light)
	}
	for _, held := range perShard(c, heavy) {
		require.InDelta(t, share, held, 3, "while it stays")
	}
}

// Entries of weight 0 stay when room is needed for weight, and only then.
func TestWeightless(t *testing.T) {
	for _, policy := range []cache.Policy{cache.Adaptive, cache.LRU, cache.TinyLFU} {
		t.Run(policy.String(), func(t *testing.T) {
			const n = 1000
			c := newCache(t, cache.Options[int, int]{
				Capacity:  n + 1,
				MaxWeight: 10,
				Weigher:   weightOf,
				Policy:    policy,
			})
			for i := range n {
				c.Set(i, 0)
			}
			c.Set(n, 10)
			c.Delete(0)
			c.Set(n+1, 10)
			require.Equal(t, uint64(1), c.Stats().Evictions)
			require.Equal(t, n, c.Len())
			_, ok := c.Get(n)
			require.False(t, ok)

			// When the number of entries is bounded, all are evicted in the order of their use.
			c.Set(n+2, 0)
			there := func() bool {
				_, _, ok := c.Peek(n + 1)
				return ok
			}
			for i := range n / 2 {
				c.Set(-1-i, 0)
			}
			require.True(t, there(), "older ones were evicted")
			for i := range n {
				c.Set(-1-n-i, 0)
			}
			require.False(t, there(), "it was the oldest")
			require.Equal(t, uint64(1+n/2+n), c.Stats().Evictions)

			c.Set(-2*n, 3) // a value of another kind in the place of one
			require.Equal(t, int64(3), c.Weight())
			require.NoError(t, c.Audit())
			c.Set(-2*n, 0)
			require.Zero(t, c.Weight())
		})
	}
}
