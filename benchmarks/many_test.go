package benchmarks

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/snowfence/snowfence/cache"
	"github.com/stretchr/testify/require"
	"github.com/viccon/sturdyc"
)

// A manyLoader loads the keys that are missing with one call.
type manyLoader[K keys] func(ctx context.Context, missing []K) (map[K]int, error)

// A manyFetch returns the values of keys, and loads missing ones.
type manyFetch[K keys] func(ctx context.Context, keys []K) (map[K]int, error)

// A manyLibrary is a library that can fetch many keys with one call.
type manyLibrary[K keys] struct {
	name string
	make func(tb testing.TB, capacity int, load manyLoader[K]) manyFetch[K]
}

// manyLibraries returns the libraries that can be used with keys of type K.
func manyLibraries[K keys]() []manyLibrary[K] {
	all := []manyLibrary[K]{{"snowfence", snowfenceMany[K]}, {"otter", otterMany[K]}}
	if more, ok := any([]manyLibrary[string]{{"sturdyc", sturdycMany}}).([]manyLibrary[K]); ok {
		all = append(all, more...)
	}
	return all
}

func snowfenceMany[K keys](tb testing.TB, capacity int, load manyLoader[K]) manyFetch[K] {
	tb.Helper()
	c, err := cache.New(cache.Options[K, int]{Capacity: capacity})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, c.Close()) })
	return func(ctx context.Context, keys []K) (map[K]int,
		error) {
		return c.FetchMany(ctx, keys, load)
	}
}

func otterMany[K keys](tb testing.TB, capacity int, load manyLoader[K]) manyFetch[K] {
	tb.Helper()
	c, err := otter.New(&otter.Options[K, int]{MaximumSize: capacity})
	require.NoError(tb, err)
	tb.Cleanup(func() { c.StopAllGoroutines() })
	return func(ctx context.Context, keys []K) (map[K]int, error) {
		return c.BulkGet(ctx, keys, otter.BulkLoaderFunc[K, int](load))
	}
}

func sturdycMany(_ testing.TB, capacity int, load manyLoader[string]) manyFetch[string] {
	c := sturdyc.New[int](capacity, 64, 1000*time.Hour, 10)
	same := func(id string) string { return id }
	return func(ctx context.Context, keys []string) (map[string]int, error) {
		return c.GetOrFetchBatch(ctx, keys, same, sturdyc.BatchFetchFn[int](load))
	}
}

const manyFresh = 1 << 18 // keys that were never stored, before a new cache is made

// BenchmarkFetchMany fetches 10 to 1,000 keys with one call, of which all, a half or none are
// missing, from a cache that holds 100,000 others. An operation is a call. The loader only makes
// its map. The processor time of a call is measured, too, because other work on the machine affects
// it less.
func BenchmarkFetchMany(b *testing.B) {
	for _, size := range []int{10, 100, 1000} {
		for _, missing := range []int{size, size / 2, 0} {
			b.Run(fmt.Sprintf("size=%d/missing=%d", size, missing), func(b *testing.B) {
				b.Run("keys=int", func(b *testing.B) { benchmarkFetchMany[int](b, size, missing) })
				b.Run("keys=string", func(b *testing.B) { benchmarkFetchMany[string](b, size, missing) })
			})
		}
	}
}

func benchmarkFetchMany[K keys](b *testing.B, size, missing int) {
	b.Helper()
	keys := keysOf[K](size + manyFresh + keyCount)
	there, fresh, others := keys[:size], keys[size:size+manyFresh], keys[size+manyFresh:]
	for _, l := range manyLibraries[K]() {
		if !wanted(l.name) {
			continue
		}
		b.Run("lib="+l.name, func(b *testing.B) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			asked := 0
			var fetch manyFetch[K]
			renew := func() {
				// There is room for all keys, because evictions would differ between libraries.
				fetch = l.make(b, 4*manyFresh, func(_ context.Context, missing []K) (map[K]int, error) {
					asked += len(missing)
					return sevens(missing), nil
				})
				for batch := range slices.Chunk(append(others, there...), 1000) {
					_, err := fetch(ctx, batch)
					require.NoError(b, err)
				}
			}
			renew()
			n := 0
			batch := append([]K(nil), there...)
			cpu := newCPUMeter()
			b.ReportAllocs()
			for b.Loop() {
				if n+missing > len(fresh) {
					b.StopTimer()
					cpu.stop()
					n = 0
					renew()
					cpu.start()
					b.StartTimer()
				}
				spread(batch, fresh[n:n+missing])
				n += missing
				asked = 0
				values, err := fetch(ctx, batch)
				if err != nil || len(values) != size || asked != missing {
					b.Fatalf("%d values, %d keys loaded, %v", len(values), asked, err)
				}
			}
			cpu.report(b)
		})
	}
}

// sevens returns the result of every load of many keys.
func sevens[K keys](keys []K) map[K]int {
	values := make(map[K]int, len(keys))
	for _, key := range keys {
		values[key] = 7
	}
	return values
}

// spread puts the fresh keys into the batch at equal distances.
func spread[K keys](batch, fresh []K) {
	for i, key := range fresh {
		batch[i*len(batch)/len(fresh)] = key
	}
}

// The libraries do the same work: one call of the loader, for the missing keys only.
func TestManyLibraries(t *testing.T) {
	t.Run("int", testManyLibraries[int])
	t.Run("string", testManyLibraries[string])
}

func testManyLibraries[K keys](t *testing.T) {
	for _, l := range manyLibraries[K]() {
		t.Run(l.name, func(t *testing.T) {
			var calls [][]K
			fetch := l.make(t, 1000, func(_ context.Context, missing []K) (map[K]int, error) {
				calls = append(calls, append([]K(nil), missing...))
				return sevens(missing), nil
			})
			keys := keysOf[K](6)
			for _, batch := range [][]K{keys[:3], keys, keys} {
				values, err := fetch(t.Context(), batch)
				require.NoError(t, err)
				require.Equal(t, sevens(batch), values)
			}
			require.Len(t, calls, 2)
			require.ElementsMatch(t, keys[:3], calls[0])
			require.ElementsMatch(t, keys[3:], calls[1])
		})
	}
}

func TestSpread(t *testing.T) {
	batch := []int{1, 2, 3, 4}
	spread(batch, []int{11, 12})
	require.Equal(t, []int{11, 2, 12, 4}, batch)
	spread(batch, []int{21, 22, 23, 24})
	require.Equal(t, []int{21, 22, 23, 24}, batch)
	spread(batch, nil)
	require.Equal(t, []int{21, 22, 23, 24}, batch)
}
