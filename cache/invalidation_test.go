package cache_test

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
)

// A Set, Delete or Clear during a load supersedes it: its callers get the older value, which is not
// stored, and later callers do not join.
func TestInvalidationDuringLoad(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(*cache.Cache[string, string])
		want string // the value that is stored afterwards
	}{
		{"Set", func(c *cache.Cache[string, string]) { c.Set("k", "set") }, "set"},
		{"SetTTL", func(c *cache.Cache[string, string]) { c.SetTTL("k", "set", time.Hour) }, "set"},
		{"SetTTL negative", func(c *cache.Cache[string, string]) { c.SetTTL("k", "set", -1) }, ""},
		{"Delete", func(c *cache.Cache[string, string]) { c.Delete("k") }, ""},
		{"Clear", func(c *cache.Cache[string, string]) { c.Clear() }, ""},
		{"Set and Delete", func(c *cache.Cache[string, string]) { c.Set("k", "set"); c.Delete("k") }, ""},
		{"Set and eviction", func(c *cache.Cache[string, string]) {
			c.Set("k", "set")
			c.Set("x", "")
			c.Set("y", "")
		}, ""},
		{"Set and expiry", func(c *cache.Cache[string, string]) {
			c.SetTTL("k", "set", time.Millisecond)
			time.Sleep(2 * time.Millisecond)
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCache(t, cache.Options[string, string]{Capacity: 2})
				load := func(v string) func(context.Context, string) (string, error) {
					return func(context.Context, string) (string, error) {
						time.Sleep(time.Second)
						return v, nil
					}
				}
				var wg sync.WaitGroup
				fetch := func(v, want string) {
					wg.Go(func() {
						got, err := c.Fetch(t.Context(), "k", load(v))
						if got != want || err != nil {
							t.Errorf("got %q, %v, want %q", got, err, want)
						}
					})
				}
				fetch("old", "old")
				synctest.Wait()
				fetch("joins", "old")
				synctest.Wait()
				tt.do(c)
				later := tt.want
				if later == "" {
					later = "new"
				}
				time.Sleep(time.Millisecond)
				fetch("new", later) // does not join the older load
				time.Sleep(time.Second)
				synctest.Wait()
				wg.Wait()
				if v, ok := c.Get("k"); !ok || v != later {
					t.Errorf("%q is stored, want %q", v, later)
				}
				require.Zero(t, c.Loads())
			})
		})
	}
}

// The result of a superseded load is not stored, even if the key is not asked for again.
func TestOvertakenLoadIsNotStored(t *testing.T) {
	for name, overtake := range map[string]func(*cache.Cache[string, int]){
		"Delete": func(c *cache.Cache[string, int]) { c.Delete("k") },
		"Clear":  func(c *cache.Cache[string, int]) { c.Clear() },
		"SetTTL": func(c *cache.Cache[string, int]) { c.SetTTL("k", 2, -1) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCache(t, cache.Options[string, int]{})
				done := make(chan int, 1)
				go func() {
					v, _ := c.Fetch(t.Context(), "k", func(context.Context, string) (int, error) {
						time.Sleep(time.Second)
						return 1, nil
					})
					done <- v
				}()
				synctest.Wait()
				overtake(c)
				require.Equal(t, 1, <-done)
				require.Zero(t, c.Len())
			})
		})
	}
}

// Invalidation supersedes no loads of other keys.
func TestInvalidationOfOtherKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = c.Fetch(t.Context(), "k", func(context.Context, string) (int, error) {
				time.Sleep(time.Second)
				return 1, nil
			})
		}()
		synctest.Wait()
		c.Set("a", 1)
		c.Delete("a")
		c.Delete("b")
		<-done
		_, ok := c.Get("k")
		require.True(t, ok)
	})
}

// An older load that ends after a newer one does not overwrite its value.
func TestOlderLoadComesLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, string]{})
		slow := func(d time.Duration, v string) {
			go func() {
				_, _ = c.Fetch(t.Context(), "k", func(context.Context, string) (string, error) {
					time.Sleep(d)
					return v, nil
				})
			}()
			synctest.Wait()
		}
		slow(10*time.Second, "older")
		c.Delete("k")
		slow(time.Second, "newer")
		time.Sleep(time.Minute)
		v, _ := c.Get("k")
		require.Equal(t, "newer", v)

		c.Delete("k") // the other way round, the newer value is stored
		slow(time.Second, "older")
		c.Delete("k")
		slow(10*time.Second, "newer")
		time.Sleep(2 * time.Second)
		_, ok := c.Get("k")
		require.False(t, ok)
		time.Sleep(time.Minute)
		v, _ = c.Get("k")
		require.Equal(t, "newer", v)
	})
}

// A fetch function may write its own key: that value is newer than its result.
func TestLoadWritesItsOwnKey(t *testing.T) {
	c := newCache(t, cache.Options[string, int]{})
	v, err := c.Fetch(t.Context(), "set", func(context.Context, string) (int, error) {
		c.Set("set", 2)
		return 1, nil
	})
	require.NoError(t, err)
	require.Equal(t, 1, v)
	v, _ = c.Get("set")
	require.Equal(t, 2, v)
	_, err = c.Fetch(t.Context(), "deleted", func(context.Context, string) (int, error) {
		c.Delete("deleted")
		return 1, nil
	})
	require.NoError(t, err)
	_, ok := c.Get("deleted")
	require.False(t, ok)
}

// A Fetch that begins after a Delete, Clear or Set has returned never gets a value of a load that
// began before that call. Values are the times at which their loads began, by a logical clock.
func TestNoStaleValueAfterInvalidation(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	const keys, workers, rounds = 4, 8, 3000
	c := newCache(t, cache.Options[int, int]{TTL: time.Hour, RefreshAt: 1e-9})
	var clock atomic.Int64
	var floor [keys]atomic.Int64 // no older stamp may be seen
	raise := func(k int, stamp int64) {
		for {
			old := floor[k].Load()
			if old >= stamp || floor[k].CompareAndSwap(old, stamp) {
				return
			}
		}
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			load := func(context.Context, int) (int, error) {
				stamp := clock.Add(1)
				for range rand.IntN(200) { // not seeded, as the scheduler is not either
					clock.Load()
				}
				return int(stamp), nil
			}
			for range rounds {
				k := r.IntN(keys)
				switch n := r.IntN(20); {
				case n < 2:
					before := clock.Add(1)
					c.Delete(k)
					raise(k, before)
				case n == 2:
					before := clock.Add(1)
					c.Set(k, math.MaxInt32) // it may take effect after a later stamp, and is never stale
					raise(k, before)
				case n == 3 && r.IntN(10) == 0:
					before := clock.Add(1)
					c.Clear()
					for k := range keys {
						raise(k, before)
					}
				case n < 8:
					oldest := int(floor[k].Load())
					if v, ok := c.Get(k); ok && v < oldest {
						t.Errorf("key %d: Get returned stamp %d after an invalidation at %d", k, v, oldest)
					}
				default:
					oldest := int(floor[k].Load())
					v, err := c.Fetch(t.Context(), k, load)
					if err != nil || v < oldest {
						t.Errorf("key %d: Fetch returned stamp %d, %v after an invalidation at %d", k, v, err, oldest)
					}
				}
			}
		})
	}
	wg.Wait()
}
