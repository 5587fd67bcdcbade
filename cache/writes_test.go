package cache_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
)

// Update is atomic, with any number of concurrent updates of a key and other writes.
func TestUpdateIsAtomic(t *testing.T) {
	c := newCache(t, cache.Options[string, int]{})
	const workers, each = 20, 200
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				c.Update("n", func(old int, _ bool) (int, cache.Op) { return old + 1, cache.Store })
				c.Touch("n", time.Hour)
			}
		})
	}
	wg.Wait()
	n, _ := c.Get("n")
	require.Equal(t, workers*each, n)
}

func TestUpdate(t *testing.T) {
	c := newCache(t, cache.Options[string, int]{})
	see := func(want int, there bool, v int, op cache.Op) func(int, bool) (int, cache.Op) {
		return func(old int, ok bool) (int, cache.Op) {
			require.Equal(t, there, ok)
			require.Equal(t, want, old)
			return v, op
		}
	}
	v, ok := c.Update("k", see(0, false, 7, cache.Keep))
	require.Equal(t, []any{0, false}, []any{v, ok})
	v, ok = c.Update("k", see(0, false, 1, cache.Store))
	require.Equal(t, []any{1, true}, []any{v, ok})
	v, ok = c.Update("k", see(1, true, 7, cache.Keep))
	require.Equal(t, []any{1, true}, []any{v, ok})
	require.Panics(t, func() { c.Update("k", func(int, bool) (int, cache.Op) { panic(errLoad) }) })
	require.Equal(t, map[string]int{"k": 1}, contents(c), "nothing has changed")
	v, ok = c.Update("k", see(1, true, 7, cache.Remove))
	require.Equal(t, []any{0, false}, []any{v, ok})
	require.Empty(t, contents(c))
}

// A value that can't be stored is dropped, and so is the old one.
func TestUpdateThatIsNotStored(t *testing.T) {
	c := newCache(t, cache.Options[string, int]{
		MaxWeight: 10, Weigher: func(_ string, v int) uint32 { return uint32(v) }, //nolint:gosec // small
	})
	c.Set("k", 1)
	heavy := func(int, bool) (int, cache.Op) { return 11, cache.Store }
	v, ok := c.Update("k", heavy)
	require.Equal(t, []any{0, false}, []any{v, ok})
	require.Empty(t, contents(c))
	require.NoError(t, c.Close())
	v, ok = c.Update("k", func(int, bool) (int, cache.Op) { return 1, cache.Store })
	require.Equal(t, []any{0, false}, []any{v, ok})
}

// A function that hangs in Update delays no other caller, and is called again if the key has
// changed.
func TestStuckUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{})
		c.Set("k", 1)
		release := make(chan struct{})
		calls := 0
		go c.Update("k", func(old int, _ bool) (int, cache.Op) {
			calls++
			<-release
			return 10 * old, cache.Store
		})
		synctest.Wait()
		c.Update("k", func(old int, _ bool) (int, cache.Op) { return old + 1, cache.Store })
		c.Set("other", 1)
		close(release)
		synctest.Wait()
		v, _ := c.Get("k")
		require.Equal(t, 20, v)
		require.Equal(t, 2, calls)
	})
}

func TestSetIfAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{TTL: staleTTL, StaleFor: staleFor})
		v, stored := c.SetIfAbsent("k", 1)
		require.Equal(t, []any{1, true}, []any{v, stored})
		v, stored = c.SetIfAbsent("k", 2)
		require.Equal(t, []any{1, false}, []any{v, stored})
		time.Sleep(staleTTL)
		v, stored = c.SetIfAbsent("k", 3)
		require.Equal(t, []any{3, true}, []any{v, stored}, "a stale value is no value")
		v, ok := c.GetAndDelete("k")
		require.Equal(t, []any{3, true}, []any{v, ok})
		_, ok = c.GetAndDelete("k")
		require.False(t, ok)
	})
}

// SetCapacity evicts the excess at once, and lets the cache grow.
func TestSetCapacity(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, so the race detector finds nothing")
	}
	for _, policy := range []cache.Policy{cache.Adaptive, cache.LRU, cache.TinyLFU} {
		c := newCache(t, cache.Options[int, int]{Capacity: 20_000, Policy: policy})
		fill := func(n int) {
			for i := range n {
				c.Set(i, i)
			}
		}
		fill(30_000)
		require.LessOrEqual(t, c.Len(), 20_000)
		require.NoError(t, c.SetCapacity(500))
		require.LessOrEqual(t, c.Len(), 500)
		fill(30_000)
		require.LessOrEqual(t, c.Len(), 500)
		require.NoError(t, c.SetCapacity(25_000))
		fill(40_000)
		require.InDelta(t, 25_000, c.Len(), 500)
		require.NoError(t, c.Audit())
		require.EqualError(t, c.SetCapacity(0), "cache: Options.Capacity: 0: want 1 or more")
	}
}

func tagged(_, v int) []string { return []string{strconv.Itoa(v % 3), "all", strconv.Itoa(v % 3)} }

func TestInvalidateTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[int, int]{TTL: staleTTL, StaleFor: staleFor, Tags: tagged})
		for i := range 900 {
			c.Set(i, i)
		}
		time.Sleep(staleTTL)
		for i := range 450 {
			c.Set(i, i)
		}
		c.InvalidateTag("1")
		require.Equal(t, 600, c.Len(), "stale ones, too")
		for i := range 900 {
			_, _, ok := c.Peek(i)
			require.Equal(t, i%3 != 1, ok)
		}
		c.Set(0, 1) // another tag
		c.InvalidateTag("0")
		require.True(t, c.Contains(0))
		c.Touch(0, time.Hour)
		c.Expire(3)
		c.InvalidateTag("all")
		require.Zero(t, c.Len())
		require.NoError(t, c.Audit())
	})
}

// A value that was loaded before its tag was invalidated is not stored, and later callers do not
// get it.
func TestInvalidateTagDuringLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[int, int]{Tags: tagged})
		var loads atomic.Int32
		get := func() int {
			v, err := c.Fetch(t.Context(), 1, func(_ context.Context, _ int) (int, error) {
				n := int(loads.Add(1))
				time.Sleep(time.Second)
				return 3 * n, nil
			})
			require.NoError(t, err)
			return v
		}
		var wg sync.WaitGroup
		wg.Go(func() { require.Equal(t, 3, get()) })
		synctest.Wait()
		c.InvalidateTag("1") // not a tag of the value
		wg.Go(func() { require.Equal(t, 3, get()) })
		synctest.Wait()
		c.InvalidateTag("0")
		for range 10 {
			wg.Go(func() { require.Equal(t, 6, get()) })
		}
		wg.Wait()
		require.EqualValues(t, 2, loads.Load())
		require.Equal(t, map[int]int{1: 6}, contents(c))
	})
}

// Nor do they get it if its load has ended and its flight has not: a batch ends for all of its keys
// at once.
func TestInvalidateTagAtTheEndOfALoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[int, int]{Tags: func(k, v int) []string {
			if k == 2 {
				time.Sleep(time.Second)
			}
			return tagged(k, v)
		}})
		load := func(v int) func(context.Context, []int) (map[int]int, error) {
			return func(_ context.Context, keys []int) (map[int]int, error) {
				values := make(map[int]int)
				for _, k := range keys {
					values[k] = v
				}
				return values, nil
			}
		}
		go func() { _, _ = c.FetchMany(t.Context(), []int{1, 2, 3}, load(3)) }()
		synctest.Wait()
		require.True(t, c.Contains(1))
		c.InvalidateTag("0")
		var wg sync.WaitGroup
		wg.Go(func() {
			got, err := c.FetchMany(t.Context(), []int{1}, load(6))
			assert.NoError(t, err)
			assert.Equal(t, map[int]int{1: 6}, got)
		})
		wg.Go(func() {
			v, err := c.Fetch(t.Context(), 1, returns[int](6))
			assert.NoError(t, err)
			assert.Equal(t, 6, v)
		})
		wg.Wait()
		require.Equal(t, map[int]int{1: 6}, contents(c))
	})
}

// After more invalidations than are remembered, values that they may affect are not stored.
func TestManyInvalidationsDuringLoad(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{Tags: tagged})
	for _, n := range []int{1000, 2000} {
		v, err := c.Fetch(t.Context(), n, func(context.Context, int) (int, error) {
			for i := range n {
				c.InvalidateTag(fmt.Sprint("other", i))
			}
			return n, nil
		})
		require.NoError(t, err)
		require.Equal(t, n, v)
		require.Equal(t, n < 1024, c.Contains(n))
	}
}

// With concurrent writers of tagged entries, the audit finds no difference, and no entry survives
// the last invalidation.
func TestTagsUnderConcurrency(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{Capacity: 3000, TTL: time.Hour, StaleFor: time.Hour,
		Tags: tagged})
	seed := rand.Uint64()
	t.Log("seed", seed)
	var wg sync.WaitGroup
	for w := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, w))
		wg.Go(func() {
			for i := range 3000 {
				k := r.IntN(4000)
				switch r.IntN(12) {
				case 0:
					c.Touch(k, time.Hour)
				case 1:
					c.Expire(k)
				case 2:
					c.Delete(k)
				case 3:
					c.Update(k, func(old int, _ bool) (int, cache.Op) { return old + 1, cache.Store })
				case 4:
					if i%50 == 0 {
						c.InvalidateTag(strconv.Itoa(r.IntN(3)))
					}
				case 5:
					if i%500 == 0 {
						c.Clear()
					}
				case 6:
					_, _ = c.Fetch(t.Context(), k, returns[int](k))
				default:
					c.Set(k, r.IntN(1000))
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, c.Audit())
	c.InvalidateTag("all")
	require.Zero(t, c.Len())
	require.NoError(t, c.Audit())
}

func TestStatsHitRatio(t *testing.T) {
	require.Zero(t, cache.Stats{}.HitRatio())
	require.InDelta(t, 0.75, cache.Stats{Hits: 3, Misses: 1}.HitRatio(), 0)
}
