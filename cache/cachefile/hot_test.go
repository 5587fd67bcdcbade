package cachefile_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachefile"
)

// A zipf draws keys that are asked for with a frequency of about one by their rank.
func newZipf(seed uint64) *rand.Zipf {
	return rand.NewZipf(rand.New(rand.NewPCG(seed, 1)), 1.01, 1, 100_000)
}

// serve asks c for n keys, stores those that are missing, and returns the share of hits.
func serve(c *cache.Cache[int, int], keys *rand.Zipf, n int) float64 {
	hits := 0
	for range n {
		key := int(keys.Uint64()) //nolint:gosec // below 100,001
		if _, ok := c.Get(key); ok {
			hits++
			continue
		}
		c.Set(key, key)
	}
	return float64(hits) / float64(n)
}

// A small cache that was loaded from the file of a large one has about as many hits at once as one
// of its size that is warm.
func TestHottestFirst(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	for _, policy := range []cache.Policy{cache.Adaptive, cache.LRU, cache.TinyLFU, cache.StrictLRU} {
		t.Run(policy.String(), func(t *testing.T) {
			path := tempPath(t)
			keys := newZipf(seed)
			large := newCache(t, cache.Options[int, int]{Capacity: 10_000, Policy: policy})
			serve(large, keys, 200_000)
			o := cachefile.Options[int, int]{}
			save(t, large, path, o)

			small := cache.Options[int, int]{Capacity: 1000, Policy: policy}
			warm, loaded, cold := newCache(t, small), newCache(t, small), newCache(t, small)
			serve(warm, newZipf(seed), 200_000)
			require.Equal(t, 1000, load(t, loaded, path, o).Entries)
			const next = 2000
			share := func(c *cache.Cache[int, int]) float64 { return serve(c, newZipf(seed+1), next) }
			warmHits, loadedHits, coldHits := share(warm), share(loaded), share(cold)
			t.Logf("hits: warm %.3f, loaded %.3f, cold %.3f", warmHits, loadedHits, coldHits)
			require.Greater(t, loadedHits, warmHits-0.03)
			require.Greater(t, loadedHits, coldHits+0.05)
			// And it stays warm.
			warmHits, loadedHits = share(warm), share(loaded)
			t.Logf("later: warm %.3f, loaded %.3f", warmHits, loadedHits)
			require.Greater(t, loadedHits, warmHits-0.03)
		})
	}
}

// After a Load the coldest entries are evicted first, even those of the policy's first order.
func TestColdestAreEvictedFirst(t *testing.T) {
	path := tempPath(t)
	from := newCache(t, cache.Options[int, int]{Policy: cache.StrictLRU, Capacity: 100})
	for i := range 100 {
		from.Set(i, i)
	}
	for i := range 50 { // the hottest
		from.Get(i)
	}
	save(t, from, path, cachefile.Options[int, int]{})
	to := newCache(t, cache.Options[int, int]{Policy: cache.StrictLRU, Capacity: 100})
	load(t, to, path, cachefile.Options[int, int]{})
	for i := range 50 {
		to.Set(1000+i, i)
	}
	for i := range 50 {
		require.True(t, to.Contains(i), i)
		require.False(t, to.Contains(50+i), 50+i)
	}
}
