package cache_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
)

// A small LRU is strict: Get, Fetch and Set count as use.
func TestOrder(t *testing.T) {
	var left []string
	c := newCache(t, cache.Options[string, int]{Capacity: 4, Policy: cache.LRU,
		OnEviction: func(k string, _ int, r cache.Reason) {
			if r == cache.ReasonSize {
				left = append(left, k)
			}
		}})
	for _, k := range []string{"a", "b", "c", "d"} {
		c.Set(k, 0)
	}
	c.Get("a")
	_, err := c.Fetch(t.Context(), "b", mustNotLoad[string, int](t))
	require.NoError(t, err)
	c.Set("c", 1)
	c.Get("missing")
	for range c.All() { // does not count as use
	}
	for _, k := range []string{"1", "2", "3", "4"} {
		_, err := c.Fetch(t.Context(), k, returns[string](0))
		require.NoError(t, err)
	}
	require.Equal(t, uint64(4), c.Stats().Evictions)
	require.NoError(t, c.Close()) // waits for the callbacks
	require.Equal(t, []string{"d", "a", "b", "c"}, left)
}

// After long random sequences the cache has the same entries as golang-lru, in the same order: a
// small LRU, and a StrictLRU of any size.
func TestOrderIsThatOfGolangLRU(t *testing.T) {
	for capacity, policy := range map[int]cache.Policy{
		1: cache.LRU, 2: cache.LRU, 3: cache.StrictLRU, 17: cache.LRU,
		cache.StrictBelow - 1: cache.LRU, 5000: cache.StrictLRU, // which would be two shards
	} {
		seed := rand.Uint64()
		t.Run(strconv.Itoa(capacity), func(t *testing.T) {
			t.Log("seed", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			var got, want []int
			c := newCache(t, cache.Options[int, int]{Capacity: capacity, Policy: policy,
				OnEviction: func(k, _ int, reason cache.Reason) {
					if reason == cache.ReasonSize {
						got = append(got, k)
					}
				}})
			deleting := false
			lru, err := simplelru.NewLRU(capacity, func(k, _ int) {
				if !deleting {
					want = append(want, k)
				}
			})
			require.NoError(t, err)
			for range max(10_000, 5*capacity) {
				k := r.IntN(2 * capacity)
				switch r.IntN(10) {
				case 0:
					deleting = true
					require.Equal(t, lru.Remove(k), c.Delete(k))
					deleting = false
				case 1, 2, 3:
					c.Set(k, k)
					lru.Add(k, k)
				default:
					_, ok := c.Get(k)
					_, wantOK := lru.Get(k)
					require.Equal(t, wantOK, ok)
				}
			}
			keys := lru.Keys()
			slices.Sort(keys)
			left := make([]int, 0, len(keys))
			for k := range c.All() {
				left = append(left, k)
			}
			slices.Sort(left)
			require.Equal(t, keys, left)
			require.NoError(t, c.Close()) // waits for the callbacks
			require.Equal(t, want, got)
		})
	}
}

// A hit of a StrictLRU waits for the lock and moves its entry, where one of an LRU passes by.
func TestStrictLRUDoesNotSkipUses(t *testing.T) {
	for policy, want := range map[cache.Policy][]int{
		cache.StrictLRU: {1, 3},
		cache.LRU:       {2, 3},
	} {
		t.Run(policy.String(), func(t *testing.T) {
			c := newCache(t, cache.Options[int, int]{Capacity: 2, Policy: policy})
			c.Set(1, 1)
			c.Set(2, 2)
			unlock := c.LockShard(0)
			done := make(chan struct{})
			go func() {
				defer close(done)
				c.Get(1)
			}()
			if policy == cache.LRU {
				<-done // although the shard is locked
			}
			for range 100 {
				runtime.Gosched()
			}
			unlock()
			<-done
			c.Set(3, 3)
			require.ElementsMatch(t, want, slices.Collect(c.Keys()))
		})
	}
}

// The cache uses its whole capacity, for any number of shards, and never more.
func TestCapacityIsExact(t *testing.T) {
	for i, capacity := range []int{1, 2, 100, 1000, 10_000, 100_000, 1, 2, 100, 1000, 10_000,
		100_000, 10, 10_000} {
		policy := cache.Adaptive
		if i >= 6 {
			policy = cache.TinyLFU
		}
		if i >= 12 {
			policy = cache.StrictLRU
		}
		t.Run(fmt.Sprint(policy, " ", capacity), func(t *testing.T) {
			if raceEnabled && capacity > 10_000 {
				t.Skip("slow, and there is one goroutine only")
			}
			c := newCache(t, cache.Options[int, int]{Capacity: capacity, Policy: policy})
			for i := range capacity {
				c.Set(i, i)
				if c.Len() != i+1 {
					t.Fatalf("%d entries after %d sets", c.Len(), i+1)
				}
			}
			require.Len(t, contents(c), capacity)
			for i := range max(1000, capacity/4) {
				c.Set(-1-i, i)
				if c.Len() != capacity {
					t.Fatalf("%d entries, capacity %d", c.Len(), capacity)
				}
				if _, ok := c.Get(-1 - i); !ok {
					t.Fatal("the entry just stored is gone")
				}
			}
			require.NoError(t, c.Audit())
			require.Equal(t, uint64(max(1000, capacity/4)), c.Stats().Evictions)
		})
	}
}

// With a capacity of 1 the newest stays.
func TestCapacityOne(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{Capacity: 1, TTL: time.Hour})
	for i := range 10 {
		v, err := c.Fetch(t.Context(), i, returns[int](i))
		require.NoError(t, err)
		require.Equal(t, i, v)
		require.Equal(t, map[int]int{i: i}, contents(c))
	}
}

func TestDefaultCapacity(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{})
	for i := range 2 * cache.DefaultCapacity {
		c.Set(i, i)
	}
	require.Equal(t, cache.DefaultCapacity, c.Len())
}

// Room is taken from expired entries before live ones.
func TestExpiredEntriesGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left []departure[int, int]
		c := newCache(t, cache.Options[int, int]{Capacity: 3, OnEviction: record(&left)})
		c.Set(1, 0) // the oldest
		c.Set(2, 0)
		c.SetTTL(3, 0, time.Millisecond)
		time.Sleep(time.Millisecond)
		c.Set(4, 0)
		c.Set(5, 0)
		synctest.Wait()
		require.Equal(t, []departure[int, int]{{3, 0, cache.ReasonExpired}, {1, 0, cache.ReasonSize}},
			left)
	})
}
