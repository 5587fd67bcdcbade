package cache_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
)

type departure[K comparable, V any] struct {
	key    K
	value  V
	reason cache.Reason
}

// record returns an OnEviction that appends to a slice, which may be read once all callbacks have
// returned.
func record[K comparable, V any](to *[]departure[K, V]) func(K, V, cache.Reason) {
	return func(k K, v V, r cache.Reason) { *to = append(*to, departure[K, V]{k, v, r}) }
}

func TestReasons(t *testing.T) {
	type left = departure[string, int]
	for _, tt := range []struct {
		name string
		do   func(*cache.Cache[string, int])
		want []left
	}{
		{"size", func(c *cache.Cache[string, int]) {
			for i, k := range []string{"a", "b", "c", "d"} {
				c.Set(k, i)
			}
		}, []left{{"a", 0, cache.ReasonSize}}},
		{"replaced", func(c *cache.Cache[string, int]) {
			c.Set("a", 1)
			c.Set("a", 2)
		}, []left{{"a", 1, cache.ReasonReplaced}}},
		{"deleted", func(c *cache.Cache[string, int]) {
			c.Set("a", 1)
			c.Delete("a")
			c.Delete("a")
		}, []left{{"a", 1, cache.ReasonDeleted}}},
		{"cleared", func(c *cache.Cache[string, int]) {
			c.Set("a", 1)
			c.Clear()
			c.Clear()
		}, []left{{"a", 1, cache.ReasonDeleted}}},
		{"closed", func(c *cache.Cache[string, int]) {
			c.Set("a", 1)
			_ = c.Close()
		}, []left{{"a", 1, cache.ReasonDeleted}}},
		{"negative TTL", func(c *cache.Cache[string, int]) {
			c.Set("a", 1)
			c.SetTTL("a", 2, -1)
		}, []left{{"a", 1, cache.ReasonDeleted}}},
		{"expired and swept", func(c *cache.Cache[string, int]) {
			c.SetTTL("a", 1, time.Second)
			time.Sleep(3 * time.Second)
		}, []left{{"a", 1, cache.ReasonExpired}}},
		{"expired, then replaced", func(c *cache.Cache[string, int]) {
			c.SetTTL("a", 1, time.Millisecond)
			time.Sleep(time.Millisecond)
			c.Set("a", 2)
		}, []left{{"a", 1, cache.ReasonExpired}}},
		{"expired, then deleted", func(c *cache.Cache[string, int]) {
			c.SetTTL("a", 1, time.Millisecond)
			time.Sleep(time.Millisecond)
			c.Delete("a")
		}, []left{{"a", 1, cache.ReasonExpired}}},
		{"expired, then cleared", func(c *cache.Cache[string, int]) {
			c.SetTTL("a", 1, time.Millisecond)
			time.Sleep(time.Millisecond)
			c.Clear()
		}, []left{{"a", 1, cache.ReasonExpired}}},
		{"loaded over expired", func(c *cache.Cache[string, int]) {
			c.SetTTL("a", 1, time.Millisecond)
			time.Sleep(time.Millisecond)
			_, _ = c.Fetch(context.Background(), "a", returns[string](2))
		}, []left{{"a", 1, cache.ReasonExpired}}},
		{"never stored", func(c *cache.Cache[string, int]) {
			_, _ = c.Fetch(context.Background(), "a", func(ctx context.Context, _ string) (int, error) {
				cache.StoreFor(ctx, 0)
				return 1, nil
			})
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []left
				c, err := cache.New(cache.Options[string, int]{Capacity: 3, OnEviction: record(&got)})
				require.NoError(t, err)
				tt.do(c)
				synctest.Wait()
				require.Equal(t, tt.want, got)
				s := c.Stats()
				var sized, expired uint64
				for _, d := range got {
					switch d.reason {
					case cache.ReasonSize:
						sized++
					case cache.ReasonExpired:
						expired++
					}
				}
				require.Equal(t, [2]uint64{sized, expired}, [2]uint64{s.Evictions, s.Expired})
				require.NoError(t, c.Close())
			})
		})
	}
}

func TestReasonString(t *testing.T) {
	require.Equal(t, "size expired deleted replaced memory unknown", fmt.Sprint(
		cache.ReasonSize, " ", cache.ReasonExpired, " ", cache.ReasonDeleted, " ", cache.ReasonReplaced,
		" ", cache.ReasonMemory, " ", cache.Reason(0)))
}

// OnEviction runs without locks: every method works inside it, for every reason.
func TestCallbackUsesTheCache(t *testing.T) {
	for _, capacity := range []int{4, 5000} {
		synctest.Test(t, func(t *testing.T) {
			calls := make(map[cache.Reason]int)
			var c *cache.Cache[int, int]
			c = newCache(t, cache.Options[int, int]{Capacity: capacity,
				OnEviction: func(k, _ int, r cache.Reason) {
					calls[r]++
					if calls[r] > 1 {
						return
					}
					c.Get(k)
					c.Set(k, 1)
					c.SetTTL(k, 2, time.Hour)
					if _, err := c.Fetch(t.Context(), -k, returns[int](3)); err != nil {
						t.Error(err)
					}
					for range c.All() {
						break
					}
					c.Len()
					c.Stats()
					c.Delete(k)
					c.Clear()
				}})
			for i := range capacity + 1 { // the last evicts
				c.Set(1+i, i)
			}
			synctest.Wait()
			c.Set(1, 1)
			c.Set(1, 2)
			synctest.Wait()
			c.SetTTL(7, 7, time.Second)
			time.Sleep(5 * time.Second)
			synctest.Wait()
			for r := cache.ReasonSize; r <= cache.ReasonReplaced; r++ {
				require.Positive(t, calls[r], r)
			}
			require.NoError(t, c.Audit())
		})
	}
}

// A callback that panics affects neither the call that caused it, nor the load, nor the sweep, nor
// later callbacks.
func TestCallbackPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c := newCache(t, cache.Options[int, int]{Capacity: 2, OnEviction: func(int, int, cache.Reason) {
			calls++
			panic("callback")
		}})
		c.Set(1, 1)
		c.Set(1, 2)
		c.Delete(1)
		c.Set(1, 1)
		c.Set(2, 2)
		v, err := c.Fetch(t.Context(), 3, returns[int](3))
		require.NoError(t, err)
		require.Equal(t, 3, v)
		c.Clear()
		synctest.Wait()
		require.Equal(t, 5, calls)
		for range 2 { // the sweep goes on after the first
			c.SetTTL(4, 4, time.Millisecond)
			time.Sleep(3 * time.Second)
			synctest.Wait()
			require.Zero(t, c.Len())
		}
		require.Equal(t, 7, calls)
		require.Equal(t, uint64(7), c.Stats().CallbackPanics)
		require.Zero(t, c.Stats().Panics, "no fetch function panicked")
	})
}
