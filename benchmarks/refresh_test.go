package benchmarks

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/snowfence/snowfence/cache"
	"github.com/stretchr/testify/require"
	"github.com/viccon/sturdyc"
)

// An ageing says how old the values of a cache are.
type ageing int

const (
	young ageing = iota // there is no refresh
	early               // a refresh is due much later
	due                 // a refresh is due as soon as a value is stored
	gone                // the TTL has ended: a load must end before there is a new value
)

// A refreshing is a cache that can give a value while it loads a newer one.
type refreshing[K keys] struct {
	set   func(key K, value int)
	fetch func(ctx context.Context, key K) (int, error)
	wait  func() // nil: values can be read as soon as they are set
}

// A refreshingLibrary makes such caches.
type refreshingLibrary[K keys] struct {
	name string
	make func(tb testing.TB, capacity int, age ageing, load loader[K, int]) refreshing[K]
}

// refreshingLibraries returns the libraries that can be used with keys of type K. Only Snowfence
// gives values past their TTL. The others refresh values before that, so both due and gone are a
// due refresh for them.
func refreshingLibraries[K keys]() []refreshingLibrary[K] {
	all := []refreshingLibrary[K]{{"snowfence", snowfenceRefreshing[K]}, {"otter", otterRefreshing[K]}}
	if more, ok := any([]refreshingLibrary[string]{
		{"sturdyc", sturdycRefreshing},
	}).([]refreshingLibrary[K]); ok {
		all = append(all, more...)
	}
	return all
}

func snowfenceRefreshing[K keys](
	tb testing.TB, capacity int, age ageing, load loader[K, int],
) refreshing[K] {
	tb.Helper()
	o := cache.Options[K, int]{Capacity: capacity, TTL: time.Hour}
	switch age {
	case young:
	case early:
		o.RefreshAt = 0.8
	case due:
		o.RefreshAt = 1e-12 // some nanoseconds
	case gone:
		o.StaleFor, o.SoftTimeout = time.Hour, time.Nanosecond
	}
	c, err := cache.New(o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, c.Close()) })
	return refreshing[K]{
		set: func(key K, value int) {
			c.Set(key, value)
			if age == gone {
				c.Expire(key)
			}
		},
		fetch: func(ctx context.Context, key K) (int, error) { return c.Fetch(ctx, key, load) },
	}
}

func otterRefreshing[K keys](
	tb testing.TB, capacity int, age ageing, load loader[K, int],
) refreshing[K] {
	tb.Helper()
	o := &otter.Options[K, int]{MaximumSize: capacity,
		ExpiryCalculator: otter.ExpiryWriting[K, int](time.Hour)}
	switch age {
	case young:
	case early:
		o.RefreshCalculator = otter.RefreshWriting[K, int](48 * time.Minute)
	case due, gone:
		o.RefreshCalculator = otter.RefreshWriting[K, int](time.Nanosecond)
	}
	c, err := otter.New(o)
	require.NoError(tb, err)
	tb.Cleanup(func() { c.StopAllGoroutines() })
	loader := otter.LoaderFunc[K, int](load)
	return refreshing[K]{
		set:   func(key K, value int) { c.Set(key, value) },
		fetch: func(ctx context.Context, key K) (int, error) { return c.Get(ctx, key, loader) },
		wait:  c.CleanUp,
	}
}

func sturdycRefreshing(
	_ testing.TB, capacity int, age ageing, load loader[string, int],
) refreshing[string] {
	var o []sturdyc.Option
	switch age {
	case young:
	case early:
		o = append(o, sturdyc.WithEarlyRefreshes(30*time.Minute, 48*time.Minute, time.Hour, time.Second))
	case due, gone:
		o = append(o, sturdyc.WithEarlyRefreshes(1, 1, time.Hour, time.Hour))
	}
	c := sturdyc.New[int](capacity, 64, time.Hour, 10, o...)
	return refreshing[string]{
		set: func(key string, value int) { c.Set(key, value) },
		fetch: func(ctx context.Context, key string) (int, error) {
			return c.GetOrFetch(ctx, key, func(ctx context.Context) (int, error) { return load(ctx, key) })
		},
	}
}

// BenchmarkRefresh fetches stored keys, zipf(1.01) over 100,000, from caches without refreshes and
// from caches that refresh entries before they expire, while no refresh is due.
func BenchmarkRefresh(b *testing.B) {
	for _, way := range []struct {
		name string
		age  ageing
	}{{"off", young}, {"not-due", early}} {
		b.Run("refresh="+way.name+"/keys=int", func(b *testing.B) {
			benchmarkRefreshing[int](b, keyCount, way.age)
		})
		b.Run("refresh="+way.name+"/keys=string", func(b *testing.B) {
			benchmarkRefreshing[string](b, keyCount, way.age)
		})
	}
}

// staleKeys is less than the refreshes that Snowfence runs at a time, so that each key has one.
const staleKeys = 100

// BenchmarkStale fetches keys whose values are old, and whose loads hang: each has a refresh under
// way, or Snowfence's have expired and their load is late. An operation gets the old value. While
// loads are late, Snowfence starts a fresh one of a key now and then.
func BenchmarkStale(b *testing.B) {
	for _, way := range []struct {
		name string
		age  ageing
	}{{"refresh", due}, {"load", gone}} {
		b.Run("while="+way.name+"/keys=int", func(b *testing.B) {
			benchmarkRefreshing[int](b, staleKeys, way.age)
		})
		b.Run("while="+way.name+"/keys=string", func(b *testing.B) {
			benchmarkRefreshing[string](b, staleKeys, way.age)
		})
	}
}

// benchmarkRefreshing fetches n keys that were stored.
func benchmarkRefreshing[K keys](b *testing.B, n int, age ageing) {
	b.Helper()
	drawn := draws[K](b, n)
	for _, l := range refreshingLibraries[K]() {
		if !wanted(l.name) {
			continue
		}
		b.Run("lib="+l.name, func(b *testing.B) {
			hang := newHang[K]()
			// Room for all in each shard of each library: a miss would hang.
			c := l.make(b, 2*keyCount, age, hang.load)
			b.Cleanup(hang.release)
			for i, key := range keysOf[K](n) {
				c.set(key, 7)
				if c.wait != nil && i%1000 == 0 {
					c.wait()
				}
			}
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			if age >= due {
				hang.reach(b, ctx, c, n)
			}
			var lanes atomic.Int64
			cpu := newCPUMeter()
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				i := int(lanes.Add(1)) * 7919
				for pb.Next() {
					if v, err := c.fetch(ctx, drawn[i&(len(drawn)-1)]); err != nil || v != 7 {
						b.Errorf("%d, %v", v, err)
						return
					}
					i++
				}
			})
			cpu.report(b)
		})
	}
}

// A hanging is a loader that hangs until release.
type hanging[K keys] struct {
	end   chan struct{}
	mu    sync.Mutex
	loads map[K]int // calls
	seen  chan struct{}
}

func newHang[K keys]() *hanging[K] {
	return &hanging[K]{end: make(chan struct{}), loads: map[K]int{}, seen: make(chan struct{}, 1<<16)}
}

// release ends all loads. It must come before the end of the cache, which waits for them.
func (h *hanging[K]) release() { close(h.end) }

func (h *hanging[K]) load(_ context.Context, key K) (int, error) {
	h.mu.Lock()
	h.loads[key]++
	h.mu.Unlock()
	h.seen <- struct{}{}
	<-h.end
	return 8, nil
}

// reach fetches the first n keys and blocks until there is a load of each.
func (h *hanging[K]) reach(tb testing.TB, ctx context.Context, c refreshing[K], n int) {
	tb.Helper()
	for _, key := range keysOf[K](n) {
		v, err := c.fetch(ctx, key)
		require.NoError(tb, err)
		require.Equal(tb, 7, v)
	}
	for range n {
		<-h.seen
	}
}

// The libraries do the same work: they give the old value, and load a key once, except that
// Snowfence starts a fresh load in place of a late one now and then.
func TestRefreshingLibraries(t *testing.T) {
	t.Run("int", testRefreshingLibraries[int])
	t.Run("string", testRefreshingLibraries[string])
}

func testRefreshingLibraries[K keys](t *testing.T) {
	for _, l := range refreshingLibraries[K]() {
		t.Run(l.name, func(t *testing.T) {
			for age := young; age <= gone; age++ {
				hang := newHang[K]()
				c := l.make(t, 10_000, age, hang.load)
				t.Cleanup(hang.release)
				keys := keysOf[K](10)
				for _, key := range keys {
					c.set(key, 7)
				}
				want := 0
				if age >= due {
					hang.reach(t, t.Context(), c, len(keys))
					want = 1
				}
				for range 3 {
					for _, key := range keys {
						v, err := c.fetch(t.Context(), key)
						require.NoError(t, err)
						require.Equal(t, 7, v)
					}
				}
				hang.mu.Lock()
				for _, key := range keys {
					got := hang.loads[key]
					if l.name == "snowfence" && age == gone {
						got = min(got, want)
					}
					require.Equal(t, want, got, "ageing %d, key %v", age, key)
				}
				hang.mu.Unlock()
			}
		})
	}
}
