package cache_test

import (
	"fmt"
	"testing"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/internal/trace"
	"github.com/snowfence/snowfence/internal/workload"
)

// The hit ratio of LRU is no worse than that of golang-lru with equal capacity, although hits affect
// the order of eviction late and each shard has its own order.
func TestHitRatio(t *testing.T) {
	small, err := trace.Load("../testdata/traces/small.arc", trace.Options{})
	require.NoError(t, err)
	distinct := len(small.Keys)
	for _, capacity := range []int{distinct / 50, distinct / 10, distinct / 4, distinct / 2} {
		compareHitRatio(t, "small.arc", max(1, capacity), small.IDs)
	}

	requests := 1_000_000
	if testing.Short() {
		requests = 200_000
	}
	if raceEnabled {
		requests = 20_000 // one goroutine, so the race detector finds nothing
	}
	for _, skew := range []float64{0.8, 1.01, 1.2} {
		const keys = 100_000
		z, err := workload.NewZipf(keys, skew)
		require.NoError(t, err)
		r := workload.Stream(1, 2)
		ids := make([]uint32, requests)
		for i := range ids {
			ids[i] = uint32(z.Draw(r))
		}
		for _, capacity := range []int{100, 1000, 2048, 10_000, 50_000} {
			compareHitRatio(t, fmt.Sprintf("zipf %v", skew), capacity, ids)
		}
	}
}

func compareHitRatio(t *testing.T, name string, capacity int, ids []uint32) {
	t.Helper()
	c := newCache(t, cache.Options[int, int]{Capacity: capacity, Policy: cache.LRU})
	lru, err := simplelru.NewLRU[int, int](capacity, nil)
	require.NoError(t, err)
	hits, lruHits := 0, 0
	for _, id := range ids {
		key := int(id)
		if _, ok := c.Get(key); ok {
			hits++
		} else {
			c.Set(key, 0)
		}
		if _, ok := lru.Get(key); ok {
			lruHits++
		} else {
			lru.Add(key, 0)
		}
	}
	got := 100 * float64(hits) / float64(len(ids))
	want := 100 * float64(lruHits) / float64(len(ids))
	t.Logf("%-10s capacity %6d, %2d shards: %6.2f %%, golang-lru %6.2f %%", name, capacity, c.Shards(),
		got, want)
	require.Greater(t, got, want-0.5, "%s, capacity %d", name, capacity)
}
