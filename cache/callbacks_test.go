package cache_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

// A callback that hangs blocks neither callers nor loads nor the sweep.
func TestStuckCallbackStallsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c := newCache(t, cache.Options[string, int]{
			Capacity:   2,
			OnEviction: func(string, int, cache.Reason) { <-release },
			Courier:    []courier.Option{courier.WithTimeout(time.Minute)},
		})
		start := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 3 {
				c.Set("a", i)
				c.Delete("a")
				c.SetTTL("b", i, time.Millisecond)
				c.SetTTL("b", i, -1)
				for _, key := range []string{"c", "d", "e"} {
					if v, err := c.Fetch(t.Context(), key, returns[string](i)); err != nil || v != i {
						t.Error(v, err)
					}
				}
				c.Clear()
			}
		}()
		synctest.Wait()
		select {
		case <-done:
		default:
			t.Fatal("a caller is blocked")
		}
		require.Zero(t, time.Since(start))
		c.SetTTL("expires", 1, time.Millisecond)
		time.Sleep(3 * time.Second)
		require.Zero(t, c.Len(), "the sweep reclaims the entry")
		close(release)
	})
}

// A callback is not part of the load that made its entry leave: that load has ended.
func TestCallbackIsNoPartOfTheLoad(t *testing.T) {
	fetchAgain := func(c *cache.Cache[string, int], key string) {
		_, _ = c.Fetch(context.Background(), key, returns[string](3))
	}
	fetchOther := func(c *cache.Cache[string, int], _ string) { fetchAgain(c, "other") }
	sleep := func(*cache.Cache[string, int], string) { time.Sleep(time.Minute) }
	for name, tt := range map[string]struct {
		courier  []courier.Option
		callback func(c *cache.Cache[string, int], key string)
	}{
		"fetches the same key":   {nil, fetchAgain},
		"needs the only turn":    {[]courier.Option{courier.WithMaxConcurrent(1)}, fetchOther},
		"takes longer than it":   {[]courier.Option{courier.WithTimeout(time.Second)}, sleep},
		"panics":                 {nil, func(*cache.Cache[string, int], string) { panic("callback") }},
		"ends its own goroutine": {nil, func(*cache.Cache[string, int], string) { runtime.Goexit() }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c *cache.Cache[string, int]
				calls := 0
				c = newCache(t, cache.Options[string, int]{
					Courier: tt.courier,
					OnEviction: func(key string, _ int, reason cache.Reason) {
						if reason == cache.ReasonExpired {
							calls++
							tt.callback(c, key)
						}
					},
				})
				for i := range 2 {
					c.SetTTL("k", 1, cache.SweepEvery/4)
					time.Sleep(cache.SweepEvery / 4) // no sweep finds it first
					start := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					v, err := c.Fetch(ctx, "k", returns[string](2))
					cancel()
					require.NoError(t, err)
					require.Equal(t, 2, v)
					require.Zero(t, time.Since(start))
					time.Sleep(time.Hour)
					synctest.Wait()
					require.Equal(t, i+1, calls)
				}
				require.Zero(t, c.Stats().LoadErrors)
			})
		})
	}
}

// A callback that calls Goexit, as t.FailNow does, is handled like one that panics.
func TestCallbackCallsGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []departure[string, int]
		c := newCache(t, cache.Options[string, int]{OnEviction: func(k string, v int, r cache.Reason) {
			record(&got)(k, v, r)
			runtime.Goexit()
		}})
		for i := range 3 {
			c.Set("k", i)
		}
		synctest.Wait()
		require.Equal(t, []departure[string, int]{
			{"k", 0, cache.ReasonReplaced}, {"k", 1, cache.ReasonReplaced},
		}, got)
		require.Equal(t, uint64(2), c.Stats().CallbackPanics)
	})
}

// The callbacks for the entries of a key are called in the order in which the entries were stored,
// whatever removed them.
func TestCallbacksAreInOrder(t *testing.T) {
	const keys, sets = 4, 2000
	var last [keys]int // only the callback uses it
	calls := 0
	c := newCache(t, cache.Options[int, int]{OnEviction: func(k, v int, _ cache.Reason) {
		if v <= last[k] {
			t.Errorf("key %d: %d after %d", k, v, last[k])
		}
		last[k] = v
		calls++
	}})
	seed := rand.Uint64()
	t.Log("seed", seed)
	var wg sync.WaitGroup
	for k := range keys {
		wg.Go(func() {
			for i := range sets {
				c.Set(k, i+1)
			}
		})
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(k)))
			for range sets {
				c.Delete(r.IntN(keys))
			}
		})
	}
	wg.Wait()
	require.NoError(t, c.Close())
	require.Zero(t, c.Stats().CallbacksDropped)
	require.Equal(t, keys*sets, calls, "each entry left once")
}

// The notifications that wait for a callback that hangs are bounded, and dropped ones are
// counted. A full cache may be cleared without dropping any.
func TestWaitingCallbacksAreBounded(t *testing.T) {
	const least = 16_384
	weigh := func(_, v int) uint32 { return uint32(v) } //nolint:gosec // small
	for _, tt := range []struct {
		name   string
		o      cache.Options[int, int]
		value  int
		waits  int
		writes int
	}{
		{"small", cache.Options[int, int]{Capacity: 1}, 0, least, 3 * least},
		{"large", cache.Options[int, int]{Capacity: 2 * least}, 0, 2 * least, 5 * least},
		{"weight", cache.Options[int, int]{MaxWeight: 1000, Weigher: weigh}, 10, 100, 500},
		{"heavy", cache.Options[int, int]{MaxWeight: 1000, Weigher: weigh}, 1000, 1, 500},
		{"weightless", cache.Options[int, int]{MaxWeight: 1000, Weigher: weigh}, 0, 1000, 5000},
		{"both", cache.Options[int, int]{
			Capacity: 2 * least, MaxWeight: 1000, Weigher: weigh,
		}, 10, 100, 500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				calls := 0
				tt.o.OnEviction = func(int, int, cache.Reason) { calls++; <-release }
				c := newCache(t, tt.o)
				c.Set(1, tt.value)
				c.Delete(1)
				synctest.Wait()
				require.Equal(t, 1, calls, "the callback that hangs is not in the queue")
				for range tt.writes {
					c.Set(1, tt.value)
				}
				c.Delete(1)
				dropped := uint64(tt.writes - tt.waits) //nolint:gosec // positive
				require.Equal(t, dropped, c.Stats().CallbacksDropped)
				close(release)
				synctest.Wait()
				require.Equal(t, 1+tt.waits, calls)
			})
		})
	}
	t.Run("cleared", func(t *testing.T) {
		calls := 0
		c := newCache(t, cache.Options[int, int]{
			Capacity: 5 * least, OnEviction: func(int, int, cache.Reason) { calls++ },
		})
		for i := range 5 * least {
			c.Set(i, i)
		}
		c.Clear()
		require.NoError(t, c.Close())
		require.Equal(t, 5*least, calls)
	})
}

// A callback that stores each evicted entry again is called for ever, in the background: it does
// not block callers, and ends with the cache.
func TestCallbackPutsBack(t *testing.T) {
	var c *cache.Cache[int, int]
	var mu sync.Mutex
	calls := 0
	many := make(chan struct{})
	c = newCache(t, cache.Options[int, int]{Capacity: 2, OnEviction: func(k, v int, r cache.Reason) {
		if r == cache.ReasonSize {
			c.Set(k, v)
		}
		mu.Lock()
		defer mu.Unlock()
		calls++
		if calls == 1000 {
			close(many)
		}
	}})
	for k := range 3 {
		c.Set(k, k)
	}
	<-many
	require.Equal(t, 2, c.Len())
	require.NoError(t, c.Close())
	require.Zero(t, c.Stats().CallbacksDropped)
}

// The callback gets the entries that Clear removes before those that are stored later, however many
// they are, even if it ends its goroutine in between.
func TestClearIsToldInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys, rounds = 3000, 5
		last := make(map[int]int)
		calls := 0
		c := newCache(t, cache.Options[int, int]{
			Capacity: 2 * rounds * keys,
			OnEviction: func(key, round int, reason cache.Reason) {
				calls++
				assert.Equal(t, last[key]+1, round)
				assert.Equal(t, cache.ReasonDeleted, reason)
				last[key] = round
				if calls%1000 == 0 {
					runtime.Goexit()
				}
			},
		})
		for round := range rounds {
			for key := range keys {
				c.Set(key, round+1)
			}
			c.Clear()
		}
		synctest.Wait()
		require.Equal(t, keys*rounds, calls)
		require.Zero(t, c.Stats().CallbacksDropped)
	})
}

// While a few notifications wait, Clear drops only those for which there is no room.
func TestClearOfAFullCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 50_000
		gate := make(chan struct{})
		calls := 0
		c := newCache(t, cache.Options[int, int]{
			Capacity: n, OnEviction: func(int, int, cache.Reason) { calls++; <-gate },
		})
		for i := range n {
			c.Set(i, i)
		}
		for range 3 {
			c.Set(n-1, 0) // one is being delivered, two wait
			synctest.Wait()
		}
		c.Clear()
		require.Equal(t, uint64(2), c.Stats().CallbacksDropped)
		close(gate)
		synctest.Wait()
		require.Equal(t, n+1, calls)
	})
}
