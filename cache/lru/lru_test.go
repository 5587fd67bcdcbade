package lru_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/lru"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// newCache makes a Cache that is closed at the end of the test.
func newCache[V any](tb testing.TB, size int, onEvicted func(int, V)) *lru.Cache[int, V] {
	tb.Helper()
	c, err := lru.NewWithEvict(size, onEvicted)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, c.Close()) })
	return c
}

func TestSizesThatAreRefused(t *testing.T) {
	for _, size := range []int{0, -1} {
		c, err := lru.New[int, int](size)
		require.ErrorContains(t, err, "lru: size: ")
		require.ErrorContains(t, err, "want 1 or more")
		require.Nil(t, c)
	}
}

// The differences that the package's comment lists.
func TestDifferences(t *testing.T) {
	c := newCache[int](t, 3, nil)
	for key := range 3 {
		c.Add(key, key)
	}
	require.Equal(t, 3, c.Resize(0))
	require.Zero(t, c.Len())
	require.Equal(t, 1, c.Cap())
	require.False(t, c.Add(1, 1))
	require.True(t, c.Add(2, 2))
	require.Equal(t, []int{2}, c.Keys())

	nan, err := lru.New[any, int](3)
	require.NoError(t, err)
	zero := 0.0
	require.False(t, nan.Add(zero/zero, 1))
	found, evicted := nan.ContainsOrAdd(zero/zero, 1)
	require.False(t, found || evicted)
	require.Zero(t, nan.Len())
}

// A load is one use, stores its value as the newest, and evicts the oldest; the function is called
// before Fetch returns.
func TestFetch(t *testing.T) {
	var left []int
	c := newCache(t, 2, func(key, _ int) { left = append(left, key) })
	loads := 0
	square := func(_ context.Context, key int) (int, error) {
		loads++
		return key * key, nil
	}
	for _, key := range []int{2, 3, 2, 4, 2, 5} {
		v, err := c.Fetch(t.Context(), key, square)
		require.NoError(t, err)
		require.Equal(t, key*key, v)
	}
	require.Equal(t, 4, loads)
	require.Equal(t, []int{3, 4}, left)
	require.Equal(t, []int{2, 5}, c.Keys())
	require.Equal(t, []int{4, 25}, c.Values())
}

// Add, Remove, RemoveOldest and Purge win over a load that is under way.
func TestWritesDuringALoad(t *testing.T) {
	for name, write := range map[string]func(c *lru.Cache[int, string]){
		"Add":    func(c *lru.Cache[int, string]) { c.Add(1, "added") },
		"Remove": func(c *lru.Cache[int, string]) { c.Remove(1) },
		"Purge":  func(c *lru.Cache[int, string]) { c.Purge() },
		"RemoveOldest": func(c *lru.Cache[int, string]) {
			c.Add(1, "added")
			c.RemoveOldest()
		},
		"PeekOrAdd": func(c *lru.Cache[int, string]) {
			_, found, evicted := c.PeekOrAdd(1, "added")
			assert.False(t, found || evicted)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCache[string](t, 2, nil)
				var got string
				var wg sync.WaitGroup
				wg.Go(func() {
					got, _ = c.Fetch(t.Context(), 1, func(context.Context, int) (string, error) {
						time.Sleep(time.Second)
						return "loaded", nil
					})
				})
				synctest.Wait()
				write(c)
				wg.Wait()
				require.Equal(t, "loaded", got)
				v, ok := c.Get(1)
				if name == "Add" || name == "PeekOrAdd" {
					require.Equal(t, "added", v)
				} else {
					require.False(t, ok, v)
				}
			})
		})
	}
}

// The function may use the cache, since it runs without locks.
func TestFunctionThatUsesTheCache(t *testing.T) {
	var c *lru.Cache[int, int]
	var left []int
	c = newCache(t, 2, func(key, value int) {
		left = append(left, key)
		if value > 0 {
			c.Add(-key, 0) // evicts another
		}
	})
	c.Add(1, 1)
	c.Add(2, 2)
	require.True(t, c.Add(3, 0)) // evicts 1, which is added as -1, which evicts 2, …
	require.Equal(t, []int{1, 2, 3}, left)
	require.Equal(t, []int{-1, -2}, c.Keys())
}

var errCallback = errors.New("the function panics")

// A panic of the function is raised in the method that removed the entry, and an error of a Fetch.
// The cache has stored the new value and works on.
func TestFunctionThatPanics(t *testing.T) {
	c := newCache(t, 1, func(_, value int) {
		if value == 13 {
			panic(errCallback)
		}
	})
	c.Add(1, 13)
	require.PanicsWithError(t, errCallback.Error(), func() { c.Add(2, 13) })
	require.Equal(t, []int{2}, c.Keys())
	_, err := c.Fetch(t.Context(), 3, func(context.Context, int) (int, error) { return 3, nil })
	var p *courier.PanicError
	require.ErrorAs(t, err, &p)
	require.ErrorIs(t, err, errCallback)
	require.Equal(t, []int{3}, c.Keys())
	v, err := c.Fetch(t.Context(), 4, func(context.Context, int) (int, error) { return 4, nil })
	require.NoError(t, err)
	require.Equal(t, 4, v)
}

// A function that closes the cache, when an entry of SetTTL has expired, waits for itself for a
// second and not for ever.
func TestFunctionThatCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *lru.Cache[int, int]
		closed := make(chan error, 1)
		c, err := lru.NewWithEvict(2, func(int, int) { closed <- c.Close() })
		require.NoError(t, err)
		c.SetTTL(1, 1, time.Minute)
		var running *cache.CallbackError
		require.ErrorAs(t, <-closed, &running)
		require.NoError(t, c.Close())
	})
}

// Each entry that was evicted or removed is reported once, by the goroutine that did so, and the
// size is never exceeded.
func TestConcurrency(t *testing.T) {
	const size, workers, steps = 50, 8, 2000
	seed := rand.Uint64()
	t.Log("seed", seed)
	var reported [workers * steps]atomic.Int32
	var calls atomic.Int64
	c := newCache(t, size, func(key, value int) {
		assert.Equal(t, key, value)
		reported[key].Add(1)
		calls.Add(1)
	})
	var added, loaded atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w))) //nolint:gosec // small
			for i := range steps {
				key := w*steps + i // of this worker alone
				switch r.IntN(4) {
				case 0:
					v, err := c.Fetch(t.Context(), key, func(_ context.Context, key int) (int, error) {
						return key, nil
					})
					assert.NoError(t, err)
					assert.Equal(t, key, v)
					loaded.Add(1)
				case 1:
					c.Add(key, key)
					added.Add(1)
					if c.Remove(key) {
						assert.EqualValues(t, 1, reported[key].Load(), "not reported when Remove returned")
					}
				default:
					c.Add(key, key)
					added.Add(1)
				}
				assert.LessOrEqual(t, c.Len(), size)
				assert.LessOrEqual(t, len(c.Keys()), size)
				if old := key - r.IntN(size); old >= 0 {
					c.Get(old)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, added.Load()+loaded.Load()-int64(c.Len()), calls.Load())
	for _, key := range c.Keys() {
		require.Zero(t, reported[key].Load())
	}
	for key := range reported {
		require.LessOrEqual(t, reported[key].Load(), int32(1))
	}
}
