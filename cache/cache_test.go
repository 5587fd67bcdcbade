package cache_test

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
)

func TestGetSetDelete(t *testing.T) {
	c := newCache(t, cache.Options[string, int]{})
	v, ok := c.Get("a")
	require.False(t, ok)
	require.Zero(t, v)

	c.Set("a", 1)
	c.Set("b", 2)
	v, ok = c.Get("a")
	require.True(t, ok)
	require.Equal(t, 1, v)
	c.Set("a", 3)
	v, _ = c.Get("a")
	require.Equal(t, 3, v)
	require.Equal(t, 2, c.Len())

	require.True(t, c.Delete("a"))
	require.False(t, c.Delete("a"))
	_, ok = c.Get("a")
	require.False(t, ok)
	require.Equal(t, 1, c.Len())

	s := c.Stats()
	require.Equal(t, [2]uint64{2, 2}, [2]uint64{s.Hits, s.Misses})
}

// A nil or zero value is a value like any other.
func TestNilValues(t *testing.T) {
	c := newCache(t, cache.Options[string, []byte]{})
	c.Set("set", nil)
	v, err := c.Fetch(t.Context(), "loaded", returns[string, []byte](nil))
	require.NoError(t, err)
	require.Nil(t, v)
	for _, key := range []string{"set", "loaded"} {
		v, ok := c.Get(key)
		require.True(t, ok, key)
		require.Nil(t, v)
		_, err = c.Fetch(t.Context(), key, mustNotLoad[string, []byte](t))
		require.NoError(t, err)
	}

	c.Set("", nil)
	_, ok := c.Get("")
	require.True(t, ok, "the zero key")
}

// NaN can't be found again, so it is never stored.
func TestNaN(t *testing.T) {
	nan := math.NaN()
	c := newCache(t, cache.Options[any, int]{})
	c.Set(nan, 1)
	c.SetTTL(nan, 1, time.Hour)
	_, ok := c.Get(nan)
	require.False(t, ok)
	loads := 0
	for range 3 {
		v, err := c.Fetch(t.Context(), nan, func(context.Context, any) (int, error) {
			loads++
			return loads, nil
		})
		require.NoError(t, err)
		require.Equal(t, loads, v)
	}
	require.Equal(t, 3, loads)
	require.False(t, c.Delete(nan))
	require.Zero(t, c.Len())
	require.Zero(t, c.Loads())

	c.Set(math.Copysign(0, -1), 7)
	v, ok := c.Get(0.0)
	require.True(t, ok, "0 and -0 are equal")
	require.Equal(t, 7, v)
}

// A key that can't be compared panics in its caller, as it would in a map, and leaves no lock held.
func TestUncomparableKey(t *testing.T) {
	for name, o := range map[string]cache.Options[any, int]{
		"one shard":   {Capacity: 10},
		"many shards": {Capacity: 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCache(t, o)
			key := any([]int{1})
			require.Panics(t, func() { c.Get(key) })
			require.Panics(t, func() { c.Set(key, 1) })
			require.Panics(t, func() { c.SetTTL(key, 1, time.Hour) })
			require.Panics(t, func() { c.Delete(key) })
			require.Panics(t, func() { _, _ = c.Fetch(t.Context(), key, returns[any](1)) })
			for i := range 1000 { // every shard still accepts writes
				c.Set(i, i)
			}
			require.Positive(t, c.Len())
		})
	}
}

func TestAll(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{Capacity: 5000})
	want := make(map[int]int)
	for i := range 5000 {
		c.Set(i, -i)
		want[i] = -i
	}
	before := c.Stats()
	require.Equal(t, want, contents(c))
	require.Equal(t, before, c.Stats(), "iterating must not count as use")

	n := 0
	for range c.All() {
		n++
		if n == 10 {
			break
		}
	}
	require.Equal(t, 10, n)

	for k := range c.All() { // the body may use the cache
		c.Delete(k)
	}
	require.Zero(t, c.Len())
}

// All is weakly consistent: during writes, it yields each key that stays exactly once, and no value
// that was never stored.
func TestAllWhileOthersWrite(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{Capacity: 20_000})
	const fixed = 2000
	for i := range fixed {
		c.Set(i, i)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for {
				select {
				case <-stop:
					return
				default:
				}
				k := fixed + r.IntN(fixed)
				if r.IntN(3) == 0 {
					c.Delete(k)
				} else {
					c.Set(k, k)
				}
			}
		})
	}
	for range 50 {
		seen := make(map[int]int)
		for k, v := range c.All() {
			if k != v {
				t.Errorf("key %d has value %d", k, v)
			}
			seen[k]++
		}
		for i := range fixed {
			require.Equal(t, 1, seen[i], "key %d", i)
		}
	}
	close(stop)
	wg.Wait()
}

func TestClear(t *testing.T) {
	for _, capacity := range []int{10, 8000} {
		c := newCache(t, cache.Options[int, int]{Capacity: capacity, TTL: time.Hour})
		for i := range 2 * capacity {
			c.Set(i, i)
		}
		c.Clear()
		require.Zero(t, c.Len())
		require.Empty(t, contents(c))
		require.NoError(t, c.Audit())
		c.Set(1, 1)
		require.Equal(t, 1, c.Len(), "the cache is usable after Clear")
	}
}

// Clear empties all shards before it notifies callbacks, so a slow callback finds the cache empty
// and usable. The reason is as of the time of the Clear.
func TestClearIsDoneBeforeItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, ttl = 4000, time.Second
		reasons := map[cache.Reason]int{}
		var c *cache.Cache[int, int]
		c = newCache(t, cache.Options[int, int]{
			Capacity: 2 * n,
			OnEviction: func(key, _ int, reason cache.Reason) {
				reasons[reason]++
				time.Sleep(ttl) // the TTL of the others ends meanwhile
				_, ok := c.Get(n - 1 - key)
				assert.False(t, ok)
				assert.Zero(t, c.Len())
			},
		})
		require.Greater(t, c.Shards(), 1)
		for i := range n {
			c.SetTTL(i, i, ttl/2+time.Duration(i%2)*ttl)
		}
		time.Sleep(ttl / 2) // so that half of them have expired, and are not swept yet
		c.Clear()
		require.Equal(t, uint64(n/2), c.Stats().Expired)
		time.Sleep(2 * n * ttl)
		want := map[cache.Reason]int{cache.ReasonExpired: n / 2, cache.ReasonDeleted: n / 2}
		require.Equal(t, want, reasons)
	})
}

// All methods are called concurrently, for the race detector and the audit.
func TestBooksUnderConcurrency(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{
		Capacity:   2000,
		MaxWeight:  8 << 20,
		Weigher:    func(k, _ int) uint32 { return uint32(k) },
		TTL:        20 * time.Millisecond,
		TTLJitter:  1,
		RefreshAt:  0.1,
		OnEviction: func(int, int, cache.Reason) {},
	})
	seed := rand.Uint64()
	t.Log("seed", seed)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			for i := range 5000 {
				k := r.IntN(6000)
				switch r.IntN(8) {
				case 0:
					c.Set(k, k)
				case 1:
					c.SetTTL(k, k, time.Duration(r.IntN(3)-1)*time.Hour)
				case 2:
					c.Delete(k)
				case 3:
					if i%500 == 0 {
						c.Clear()
					}
				case 4:
					c.Sweep()
				case 5:
					if v, ok := c.Get(k); ok && v != k {
						t.Errorf("key %d has value %d", k, v)
					}
				default:
					v, err := c.Fetch(t.Context(), k, func(ctx context.Context, k int) (int, error) {
						if k%10 == 0 {
							return 0, errLoad
						}
						if k%10 == 1 {
							cache.StoreFor(ctx, 0)
						}
						return k, nil
					})
					if err == nil && v != k {
						t.Errorf("key %d has value %d", k, v)
					}
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, c.Audit())
}
