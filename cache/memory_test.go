package cache_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
)

func heap() uint64 {
	runtime.GC()
	runtime.GC() // frees objects that finalizers and pools kept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// requireGivenBack asserts that empty frees the memory that fill has allocated, except for a
// twentieth and 2 MiB.
func requireGivenBack(t *testing.T, fill, empty func()) {
	t.Helper()
	before := heap()
	fill()
	full := heap()
	empty()
	after := heap()
	grown, left := int64(full-before), int64(after)-int64(before)
	t.Logf("grew by %d KiB, %d KiB left", grown>>10, left>>10)
	require.Greater(t, grown, int64(3*mib), "the burst was too small")
	require.Less(t, left, grown/20+2*mib)
}

// Memory is released after a burst, although maps never shrink.
func TestMemoryIsGivenBack(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, so the race detector finds nothing")
	}
	n := 1_000_000
	if testing.Short() {
		n = 300_000
	}
	for name, empty := range map[string]func(c *cache.Cache[int, int]){
		"Delete": func(c *cache.Cache[int, int]) {
			for i := range n {
				c.Delete(i)
			}
		},
		"Clear": func(c *cache.Cache[int, int]) { c.Clear() },
		"expiry": func(c *cache.Cache[int, int]) {
			for i := range n {
				c.SetTTL(i, i, 1)
			}
			for c.Sweep() { // until nothing is left
			}
		},
		"negative TTL": func(c *cache.Cache[int, int]) {
			for i := range n {
				c.SetTTL(i, i, -1)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCache(t, cache.Options[int, int]{Capacity: n, TTL: time.Hour})
			requireGivenBack(t, func() {
				for i := range n {
					c.Set(i, i)
				}
				require.Equal(t, n, c.Len())
			}, func() { empty(c) })
			require.Zero(t, c.Len())
			require.NoError(t, c.Audit())
		})
	}
}

// bigKey makes a map large, even when it is empty.
type bigKey struct {
	name    string
	numbers [14]int
}

// A burst of concurrent loads leaves neither flights nor load records, even if no value is stored.
func TestMemoryOfLoadsIsGivenBack(t *testing.T) {
	n := 50_000
	if testing.Short() || raceEnabled {
		n = 10_000
	}
	// The runtime never releases the record of a goroutine, so start as many goroutines now. A load
	// has a caller and a flight.
	var wg sync.WaitGroup
	release := make(chan struct{})
	for range 2*n + 1000 {
		wg.Go(func() { <-release })
	}
	close(release)
	wg.Wait()
	for name, opts := range map[string]cache.Options[bigKey, int]{
		"one shard":   {Capacity: 10},
		"many shards": {Capacity: 1_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCache(t, opts)
			var wg sync.WaitGroup
			release := make(chan struct{})
			requireGivenBack(t, func() {
				var running sync.WaitGroup
				running.Add(n)
				for i := range n {
					wg.Go(func() {
						_, err := c.Fetch(t.Context(), bigKey{numbers: [14]int{i}}, func(ctx context.Context, _ bigKey) (int, error) {
							cache.StoreFor(ctx, 0)
							running.Done()
							<-release
							return 0, nil
						})
						if err != nil {
							t.Error(err)
						}
					})
				}
				running.Wait()
			}, func() {
				close(release)
				wg.Wait()
			})
			require.Zero(t, c.Loads())
			require.Zero(t, c.Len())
		})
	}
}

// The tables of loads and of expiry shrink by themselves, while the entries stay.
func TestTablesShrink(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{Capacity: 100_000})
	for i := range 20_000 {
		c.SetTTL(i, i, time.Hour)
	}
	require.GreaterOrEqual(t, c.ExpiryRoom(), 20_000)
	for i := range 20_000 {
		c.SetTTL(i, i, 0)
	}
	require.Equal(t, 20_000, c.Len())
	require.Less(t, c.ExpiryRoom(), c.Shards()*1024+1)
}
