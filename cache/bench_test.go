package cache_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/internal/workload"
)

const benchKeys = 100_000

// zipfKeys returns keys for benchmarks of hits, drawn before the timer starts.
func zipfKeys(b *testing.B) []int {
	b.Helper()
	z, err := workload.NewZipf(benchKeys, 1.01)
	require.NoError(b, err)
	r := workload.Stream(1)
	keys := make([]int, 1<<18)
	for i := range keys {
		keys[i] = int(z.Draw(r))
	}
	return keys
}

// parallelHits calls get for zipf-distributed keys, in as many goroutines as -cpu sets. Each begins
// at a different key.
func parallelHits(b *testing.B, get func(int) bool) {
	b.Helper()
	keys := zipfKeys(b)
	var place atomic.Uint64
	b.ReportAllocs()
	b.ResetTimer() // excludes making the keys and filling the cache
	b.RunParallel(func(pb *testing.PB) {
		i := int(place.Add(1)) * 7919
		for pb.Next() {
			if !get(keys[i&(len(keys)-1)]) {
				b.Error("a miss")
				return
			}
			i++
		}
	})
}

func full(b *testing.B, o cache.Options[int, int]) *cache.Cache[int, int] {
	b.Helper()
	o.Capacity = benchKeys
	c := newCache(b, o)
	for i := range benchKeys {
		c.Set(i, i)
	}
	return c
}

func BenchmarkHit(b *testing.B) {
	b.Run("cache", func(b *testing.B) {
		c := full(b, cache.Options[int, int]{})
		parallelHits(b, func(k int) bool { _, ok := c.Get(k); return ok })
	})
	b.Run("cache with TTL", func(b *testing.B) {
		c := full(b, cache.Options[int, int]{TTL: time.Hour})
		parallelHits(b, func(k int) bool { _, ok := c.Get(k); return ok })
	})
	b.Run("cache Fetch", func(b *testing.B) {
		c := full(b, cache.Options[int, int]{})
		ctx := b.Context()
		load := returns[int](0)
		parallelHits(b, func(k int) bool { _, err := c.Fetch(ctx, k, load); return err == nil })
	})
	b.Run("golang-lru", func(b *testing.B) {
		c, err := lru.New[int, int](benchKeys)
		require.NoError(b, err)
		for i := range benchKeys {
			c.Add(i, i)
		}
		parallelHits(b, func(k int) bool { _, ok := c.Get(k); return ok })
	})
}

// Each key is missing, loaded by a trivial function, and stored in place of
// another.
func BenchmarkFetchMiss(b *testing.B) {
	c := newCache(b, cache.Options[int, int]{Capacity: benchKeys})
	load := func(_ context.Context, k int) (int, error) { return k, nil }
	ctx := b.Context()
	var next atomic.Int64
	b.ReportAllocs()
	b.ResetTimer() // excludes making the keys and filling the cache
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Fetch(ctx, int(next.Add(1)), load); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkGetMiss(b *testing.B) {
	c := full(b, cache.Options[int, int]{})
	parallelHits(b, func(k int) bool { _, ok := c.Get(-1 - k); return !ok })
}

func BenchmarkSetReplace(b *testing.B) {
	for name, o := range map[string]cache.Options[int, int]{"no TTL": {}, "TTL": {TTL: time.Hour}} {
		b.Run(name, func(b *testing.B) {
			c := full(b, o)
			parallelHits(b, func(k int) bool { c.Set(k, k); return true })
		})
	}
}

func BenchmarkSetNew(b *testing.B) {
	c := full(b, cache.Options[int, int]{})
	b.ReportAllocs()
	i := benchKeys
	for b.Loop() {
		c.Set(i, i)
		i++
	}
}

func BenchmarkDelete(b *testing.B) {
	c := full(b, cache.Options[int, int]{})
	b.ReportAllocs()
	i := 0
	for b.Loop() { // every other one is stored
		c.Delete(i % benchKeys)
		if i&1 == 0 {
			c.Set(i%benchKeys, i)
		}
		i++
	}
}

// BenchmarkEmpty shows that the time per entry for emptying a cache does not grow with the number
// of entries.
func BenchmarkEmpty(b *testing.B) {
	for name, empty := range map[string]func(*cache.Cache[int, int]){
		"Clear": func(c *cache.Cache[int, int]) { c.Clear() },
		"Close": func(c *cache.Cache[int, int]) { _ = c.Close() },
		"All and Delete": func(c *cache.Cache[int, int]) {
			for k := range c.All() {
				c.Delete(k)
			}
		},
	} {
		for _, n := range []int{benchKeys / 10, 5 * benchKeys} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				for range b.N {
					b.StopTimer() // filling the next cache does not count
					c, err := cache.New(cache.Options[int, int]{Capacity: n})
					require.NoError(b, err)
					for i := range n {
						c.Set(i, i)
					}
					b.StartTimer()
					empty(c)
					b.StopTimer()
					require.Zero(b, c.Len())
					require.NoError(b, c.Close())
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/entry")
			})
		}
	}
}
