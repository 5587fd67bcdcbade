package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

// records is an origin that loads many keys at once. Odd keys above 1,000 do not exist.
type records struct {
	mu    sync.Mutex
	calls [][]int
}

func (o *records) load(_ context.Context, missing []int) (map[int]int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = append(o.calls, slices.Clone(missing))
	values := make(map[int]int)
	for _, k := range missing {
		if k <= 1000 || k%2 == 0 {
			values[k] = 10 * k
		}
	}
	return values, nil
}

// mustNotLoadMany returns a fetch function for keys that are stored. It fails the test.
func mustNotLoadMany[K comparable, V any](
	tb testing.TB,
) func(context.Context, []K) (map[K]V, error) {
	tb.Helper()
	return func(_ context.Context, keys []K) (map[K]V, error) {
		tb.Errorf("keys %v were loaded", keys)
		return nil, errLoad
	}
}

func TestFetchMany(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{})
	var o records
	c.Set(2, 22)
	got, err := c.FetchMany(t.Context(), []int{1, 2, 3, 1, 2, 1001}, o.load)
	require.NoError(t, err)
	require.Equal(t, map[int]int{1: 10, 2: 22, 3: 30}, got)
	require.Equal(t, [][]int{{1, 3, 1001}}, o.calls, "one call, for the missing keys, in order")

	got, err = c.FetchMany(t.Context(), []int{3, 2, 1}, mustNotLoadMany[int, int](t))
	require.NoError(t, err)
	require.Equal(t, map[int]int{1: 10, 2: 22, 3: 30}, got)
	require.Equal(t, uint64(1), c.Stats().NotFound)
	require.Zero(t, c.Stats().LoadErrors)

	got, err = c.FetchMany(t.Context(), nil, mustNotLoadMany[int, int](t))
	require.NoError(t, err)
	require.Empty(t, got)

	many := make([]int, 100_000)
	for i := range many {
		many[i] = 2 * i
	}
	got, err = c.FetchMany(t.Context(), many, o.load)
	require.NoError(t, err)
	require.Len(t, got, len(many))
	require.Len(t, o.calls, 2)
}

// A fetch function may sort its keys, or reuse their slice.
func TestBatchOwnsItsKeys(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{})
	got, err := c.FetchMany(t.Context(), []int{3, 1, 2},
		func(_ context.Context, missing []int) (map[int]int, error) {
			slices.Sort(missing)
			values := map[int]int{1: 10, 2: 20, 3: 30, 4: 40}
			clear(missing)
			return values, nil
		})
	require.NoError(t, err)
	require.Equal(t, map[int]int{1: 10, 2: 20, 3: 30}, got)
	require.Equal(t, map[int]int{1: 10, 2: 20, 3: 30, 4: 40}, contents(c))
}

// A duplicate key has a value or an error, whatever is stored between the two lookups.
func TestKeyThatIsThereTwice(t *testing.T) {
	l, err := cache.NewLoading(cache.Options[int, int]{},
		func(context.Context, int) (int, error) { return 0, io.ErrUnexpectedEOF })
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	keys := make([]int, 10_000) // others between the two
	for i := range keys {
		keys[i] = i
		l.Set(i, i)
	}
	keys[len(keys)-1] = 0
	for try := range 100 {
		l.Delete(0)
		set := make(chan struct{})
		go func() {
			defer close(set)
			time.Sleep(time.Duration(5*try) * time.Microsecond)
			l.Set(0, 0)
		}()
		got, err := l.FetchMany(t.Context(), keys)
		<-set
		_, ok := got[0]
		require.Equal(t, ok, err == nil, "try %d: %v", try, err)
	}
}

// A longer list is split.
func TestMaxBatch(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{MaxBatch: 3})
	var o records
	got, err := c.FetchMany(t.Context(), []int{0, 1, 2, 3, 4, 5, 6}, o.load)
	require.NoError(t, err)
	require.Len(t, got, 7)
	slices.SortFunc(o.calls, slices.Compare)
	require.Equal(t, [][]int{{0, 1, 2}, {3, 4, 5}, {6}}, o.calls)
}

// Values of keys that were not asked for are stored, and callers do not get them. They are not
// stored if a delete may have come in between, and replace nothing.
func TestExtraKeys(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{Capacity: 100}) // one shard
	extra := func(during func()) func(context.Context, []int) (map[int]int, error) {
		return func(context.Context, []int) (map[int]int, error) {
			during()
			return map[int]int{1: 10, 2: 20, 3: 30}, nil
		}
	}
	c.Set(3, 33)
	got, err := c.FetchMany(t.Context(), []int{1}, extra(func() {}))
	require.NoError(t, err)
	require.Equal(t, map[int]int{1: 10}, got)
	require.Equal(t, map[int]int{1: 10, 2: 20, 3: 33}, contents(c))

	c.Clear()
	_, err = c.FetchMany(t.Context(), []int{1}, extra(func() { c.Delete(2) }))
	require.NoError(t, err)
	require.Equal(t, map[int]int{1: 10}, contents(c))
}

// However a batch ends, each waiter of each key gets the outcome, and FetchMany returns the
// available values.
func TestFailingBatch(t *testing.T) {
	for name, tt := range map[string]struct {
		load func(context.Context, []int) (map[int]int, error)
		err  error
	}{
		"error": {func(context.Context, []int) (map[int]int, error) { return nil, errLoad }, errLoad},
		"panic": {func(context.Context, []int) (map[int]int, error) { panic(errLoad) }, errLoad},
		"panic that speaks of no record": {func(context.Context, []int) (map[int]int, error) {
			panic(fmt.Errorf("a bug: %w", cache.ErrNotFound))
		}, cache.ErrNotFound},
		"goexit": {func(context.Context, []int) (map[int]int, error) {
			runtime.Goexit()
			return nil, nil
		}, courier.ErrGoexit},
		"hang": {func(ctx context.Context, _ []int) (map[int]int, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, courier.ErrTimeout},
		"error of other keys": {func(context.Context, []int) (map[int]int, error) {
			return nil, fmt.Errorf("what is needed: %w",
				&cache.ManyError[int]{ByKey: map[int]error{7: errLoad}})
		}, errLoad},
		"error beside values": {func(context.Context, []int) (map[int]int, error) {
			return map[int]int{1: 1, 2: 2}, errLoad
		}, errLoad},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCache(t, cache.Options[int, int]{TTL: staleTTL, StaleFor: staleFor})
				c.Set(3, 3) // will be stale
				time.Sleep(staleTTL)
				c.Set(4, 4)
				var wg sync.WaitGroup
				for _, key := range []int{1, 3} {
					wg.Go(func() {
						time.Sleep(time.Millisecond)
						r, err := c.FetchResult(t.Context(), key, mustNotLoad[int, int](t))
						if key == 3 {
							require.NoError(t, err)
							require.True(t, r.Stale)
							err = r.Err
						}
						require.ErrorIs(t, err, tt.err)
					})
				}
				got, err := c.FetchMany(t.Context(), []int{1, 2, 3, 4},
					func(ctx context.Context, keys []int) (map[int]int, error) {
						time.Sleep(2 * time.Millisecond)
						return tt.load(ctx, keys)
					})
				wg.Wait()
				require.Equal(t, map[int]int{3: 3, 4: 4}, got)
				var failed *cache.ManyError[int]
				require.ErrorAs(t, err, &failed)
				require.ErrorIs(t, err, tt.err)
				require.ElementsMatch(t, []int{1, 2}, slices.Collect(maps.Keys(failed.ByKey)))
				require.Equal(t, map[int]int{4: 4}, contents(c))
			})
		})
	}
}

// A function can fail for some keys only.
func TestErrorsByKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[int, int]{NotFoundTTL: time.Minute})
		load := func(context.Context, []int) (map[int]int, error) {
			return map[int]int{1: 10, 3: 30}, fmt.Errorf("some failed: %w",
				&cache.ManyError[int]{ByKey: map[int]error{2: errLoad, 3: errLoad, 4: cache.ErrNotFound}})
		}
		got, err := c.FetchMany(t.Context(), []int{1, 2, 3, 4, 5}, load)
		require.Equal(t, map[int]int{1: 10}, got)
		var failed *cache.ManyError[int]
		require.ErrorAs(t, err, &failed)
		require.Equal(t, map[int]error{2: errLoad, 3: errLoad}, failed.ByKey)
		for _, absent := range []int{4, 5} {
			_, err := c.Fetch(t.Context(), absent, mustNotLoad[int, int](t))
			require.ErrorIs(t, err, cache.ErrNotFound)
		}
		got, err = c.FetchMany(t.Context(), []int{1, 4, 5}, mustNotLoadMany[int, int](t))
		require.NoError(t, err)
		require.Equal(t, map[int]int{1: 10}, got)
		require.Equal(t, uint64(4), c.Stats().NotFoundHits)
	})
}

// Stale values are returned key by key, and callers wait no longer than necessary: for SoftTimeout
// for a key with a stale value, and until the load ends for one without.
func TestStaleInBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[int, int]{TTL: staleTTL, StaleFor: staleFor,
			SoftTimeout: softAfter})
		slow := func(context.Context, []int) (map[int]int, error) {
			time.Sleep(time.Second)
			return map[int]int{1: 10, 2: 20}, nil
		}
		c.Set(1, 1)
		time.Sleep(staleTTL)
		start := time.Now()
		got, err := c.FetchMany(t.Context(), []int{1, 2}, slow)
		require.NoError(t, err)
		require.Equal(t, map[int]int{1: 10, 2: 20}, got, "the new value of 1 was there by then")
		require.Equal(t, time.Second, time.Since(start), "the time of 2, which has no value")

		time.Sleep(staleTTL)
		start = time.Now()
		got, err = c.FetchMany(t.Context(), []int{1, 2}, slow)
		require.NoError(t, err)
		require.Equal(t, map[int]int{1: 10, 2: 20}, got)
		require.Equal(t, softAfter, time.Since(start))
		time.Sleep(time.Second)
		require.Equal(t, uint64(4), c.Stats().Loads)
		got, err = c.FetchMany(t.Context(), []int{1, 2}, mustNotLoadMany[int, int](t))
		require.NoError(t, err)
		require.Len(t, got, 2)
		require.Equal(t, uint64(2), c.Stats().Stale)
	})
}

// A key whose value is outdated by its tags is loaded again; if that fails, it still has its stale
// value.
func TestStaleAfterOutdatedLoadInBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{
			TTL: staleTTL, StaleFor: staleFor, SoftTimeout: softAfter,
			Tags: func(_ string, v int) []string { return []string{fmt.Sprint("of ", v)} },
		})
		c.Set("k", 1)
		time.Sleep(staleTTL)
		const takes = softAfter * 8 / 10
		go func() {
			_, _ = c.Fetch(t.Context(), "k", func(context.Context, string) (int, error) {
				time.Sleep(takes)
				return 2, nil
			})
		}()
		time.Sleep(softAfter / 10)
		c.InvalidateTag("of 2")
		start := time.Now()
		got, err := c.FetchMany(t.Context(), []string{"k"},
			func(context.Context, []string) (map[string]int, error) {
				time.Sleep(time.Second)
				return nil, errLoad
			})
		require.NoError(t, err)
		require.Equal(t, map[string]int{"k": 1}, got)
		require.Equal(t, softAfter, time.Since(start), "SoftTimeout bounds the total wait")
	})
}

// At its deadline a caller gets the values that are available.
func TestDeadlineInBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[int, int]{})
		go func() {
			_, err := c.Fetch(context.Background(), 1, func(context.Context, int) (int, error) {
				time.Sleep(time.Second)
				return 10, nil
			})
			require.NoError(t, err) //nolint:testifylint // the test ends with it anyway
		}()
		synctest.Wait()
		c.Set(3, 30)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		got, err := c.FetchMany(ctx, []int{1, 2, 3},
			func(ctx context.Context, _ []int) (map[int]int, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, map[int]int{1: 10, 3: 30}, got)
	})
}

// Batches and single fetches join each other, and do not deadlock.
func TestBatchesJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[int, int]{})
		var o records
		slow := func(ctx context.Context, keys []int) (map[int]int, error) {
			time.Sleep(time.Second)
			return o.load(ctx, keys)
		}
		var wg sync.WaitGroup
		for _, keys := range [][]int{{1, 2}, {2, 3}, {3, 1}} {
			wg.Go(func() {
				got, err := c.FetchMany(t.Context(), keys, slow)
				require.NoError(t, err)
				require.Len(t, got, 2)
			})
		}
		for _, key := range []int{1, 2, 3} {
			wg.Go(func() {
				time.Sleep(time.Millisecond)
				v, err := c.Fetch(t.Context(), key, mustNotLoad[int, int](t))
				require.NoError(t, err)
				require.Equal(t, 10*key, v)
			})
		}
		start := time.Now()
		wg.Wait()
		require.Equal(t, time.Second, time.Since(start))
		require.ElementsMatch(t, []int{1, 2, 3}, slices.Concat(o.calls...), "each key is loaded once")
	})
}

// A load that fetches its own key in a batch gets a deadlock error at once, for that key only.
func TestCycleThroughBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[int, int]{})
		var o records
		v, err := c.Fetch(t.Context(), 1, func(ctx context.Context, _ int) (int, error) {
			got, err := c.FetchMany(ctx, []int{1, 2}, o.load)
			require.ErrorIs(t, err, courier.ErrDeadlock)
			require.Equal(t, map[int]int{2: 20}, got)
			return 11, nil
		})
		require.NoError(t, err)
		require.Equal(t, 11, v)
		_, err = c.FetchMany(t.Context(), []int{3, 4},
			func(ctx context.Context, keys []int) (map[int]int, error) {
				_, err := c.Fetch(ctx, 4, mustNotLoad[int, int](t))
				require.ErrorIs(t, err, courier.ErrDeadlock)
				return o.load(ctx, keys)
			})
		require.NoError(t, err)
	})
}

// Entries that are due are refreshed in one batch, in the background.
func TestRefreshInBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[int, int]{TTL: refreshTTL, RefreshAt: refreshAt})
		keys := []int{1, 2, 3, 4}
		for _, key := range keys {
			c.Set(key, 0)
		}
		time.Sleep(refreshAfter)
		c.Set(4, 0) // not due
		var o records
		slow := func(ctx context.Context, keys []int) (map[int]int, error) {
			time.Sleep(time.Second)
			return o.load(ctx, keys)
		}
		start := time.Now()
		got, err := c.FetchMany(t.Context(), keys, slow)
		require.NoError(t, err)
		require.Equal(t, map[int]int{1: 0, 2: 0, 3: 0, 4: 0}, got)
		require.Zero(t, time.Since(start))
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, [][]int{{1, 2, 3}}, o.calls)
		require.Equal(t, map[int]int{1: 10, 2: 20, 3: 30, 4: 0}, contents(c))
		require.Equal(t, uint64(3), c.Stats().Refreshes)
	})
}

// A FetchMany that comes when the TTL has ended, and joins a refresh that fails, loads the keys
// again.
func TestBatchJoinsFailedRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{TTL: time.Minute, RefreshAt: 0.9})
		c.Set("k", 1)
		time.Sleep(55 * time.Second)
		requireFetch(t, c, 1, func(context.Context, string) (int, error) {
			time.Sleep(10 * time.Second)
			return 0, errLoad
		})
		time.Sleep(6 * time.Second)
		got, err := c.FetchMany(t.Context(), []string{"k"},
			func(context.Context, []string) (map[string]int, error) { return map[string]int{"k": 2}, nil })
		require.NoError(t, err)
		require.Equal(t, map[string]int{"k": 2}, got)
	})
}

// A write during a batch supersedes the load of its key only.
func TestWriteDuringBatch(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{
		Tags: func(k, _ int) []string { return []string{fmt.Sprint(k)} }, //nolint:perfsprint // a test
	})
	got, err := c.FetchMany(t.Context(), []int{1, 2, 3, 4, 5},
		func(context.Context, []int) (map[int]int, error) {
			c.Set(1, 11)
			c.Delete(2)
			c.InvalidateTag("3")
			c.Expire(4)
			return map[int]int{1: 1, 2: 2, 3: 3, 4: 4, 5: 5}, nil
		})
	require.NoError(t, err)
	require.Equal(t, map[int]int{1: 1, 2: 2, 3: 3, 4: 4, 5: 5}, got)
	require.Equal(t, map[int]int{1: 11, 5: 5}, contents(c))
	require.NoError(t, c.Audit())
	require.Zero(t, c.Loads())
}

// StoreFor sets the TTL of all values of a batch.
func TestStoreForInBatch(t *testing.T) {
	c := newCache(t, cache.Options[int, int]{})
	_, err := c.FetchMany(t.Context(), []int{1, 2},
		func(ctx context.Context, _ []int) (map[int]int, error) {
			_, ok := cache.Previous[int](ctx)
			require.False(t, ok)
			require.True(t, cache.StoreFor(ctx, 0))
			return map[int]int{1: 1, 2: 2, 3: 3}, nil
		})
	require.NoError(t, err)
	require.Empty(t, contents(c))
}

// Batches and single fetches overlap, with faults: each caller gets a value or an error that the
// origin returned for the key, and no load remains.
func TestRandomBatches(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	for round := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			c := newCache(t, cache.Options[int, int]{
				TTL: 50 * time.Millisecond, StaleFor: 50 * time.Millisecond, SoftTimeout: 5 * time.Millisecond,
				NotFoundTTL: 20 * time.Millisecond, MaxBatch: 4, RefreshAt: 0.5, Timeout: 40 * time.Millisecond,
				Courier: []courier.Option{courier.WithMaxConcurrent(3)},
			})
			var running [10]atomic.Int32
			load := func(r *rand.Rand, ctx context.Context, keys []int) (map[int]int, error) {
				for _, k := range keys {
					// A late load, and a fresh one beside it, and a refresh.
					require.LessOrEqual(t, running[k].Add(1), int32(8))
					defer running[k].Add(-1) //nolint:gocritic // shorter so
				}
				time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
				switch r.IntN(10) {
				case 0:
					return nil, errLoad
				case 1:
					panic(errLoad)
				case 2:
					<-ctx.Done()
					return nil, ctx.Err()
				case 3:
					runtime.Goexit()
				}
				values := make(map[int]int)
				for _, k := range keys {
					if k != 0 {
						values[k] = 10 * k
					}
				}
				return values, nil
			}
			check := func(k, v int, err error) {
				switch {
				case err == nil:
					require.Equal(t, 10*k, v)
				case errors.Is(err, cache.ErrNotFound):
					require.Zero(t, k)
				case errors.Is(err, errLoad), errors.Is(err, courier.ErrGoexit),
					errors.Is(err, context.DeadlineExceeded), errors.Is(err, courier.ErrOverloaded):
				default:
					t.Errorf("key %d: %v", k, err)
				}
			}
			var wg sync.WaitGroup
			for w := range uint64(6) {
				r := rand.New(rand.NewPCG(seed, 100*round+w))
				wg.Go(func() {
					for range 30 {
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+r.IntN(60))*time.Millisecond)
						keys := make([]int, 1+r.IntN(8))
						for i := range keys {
							keys[i] = r.IntN(10)
						}
						own := rand.New(rand.NewPCG(r.Uint64(), 0))
						var mu sync.Mutex
						ask := func(ctx context.Context, keys []int) (map[int]int, error) {
							mu.Lock()
							from := rand.New(rand.NewPCG(own.Uint64(), 0))
							mu.Unlock()
							return load(from, ctx, keys)
						}
						switch r.IntN(6) {
						case 0:
							v, err := c.Fetch(ctx, keys[0], func(ctx context.Context, k int) (int, error) {
								values, err := ask(ctx, []int{k})
								if v, ok := values[k]; ok || err != nil {
									return v, err
								}
								return 0, cache.ErrNotFound
							})
							check(keys[0], v, err)
						case 1:
							c.Delete(keys[0])
						default:
							got, err := c.FetchMany(ctx, keys, ask)
							var failed *cache.ManyError[int]
							require.Equal(t, err != nil, errors.As(err, &failed))
							for _, k := range keys {
								v, ok := got[k]
								switch {
								case ok:
									check(k, v, nil)
								case failed != nil && failed.ByKey[k] != nil:
									check(k, 0, failed.ByKey[k])
								default:
									check(k, 0, cache.ErrNotFound)
								}
							}
						}
						cancel()
						time.Sleep(time.Duration(r.IntN(10)) * time.Millisecond)
					}
				})
			}
			wg.Wait()
			time.Sleep(time.Second)
			synctest.Wait()
			require.NoError(t, c.Audit())
			require.Zero(t, c.Loads())
			stats := c.Stats().Courier
			require.Zero(t, stats.InFlight)
			require.Zero(t, stats.Waiting)
			require.Zero(t, stats.Abandoned)
		})
	}
}
