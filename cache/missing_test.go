package cache_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

const notFoundTTL = time.Minute

// absent is a fetch function that finds no record.
func absent(context.Context, string) (int, error) { return 0, cache.ErrNotFound }

// lacking returns a cache that remembers that "k" has no record.
func lacking(t *testing.T, o cache.Options[string, int]) *cache.Cache[string, int] {
	t.Helper()
	o.NotFoundTTL = notFoundTTL
	c := newCache(t, o)
	_, err := c.Fetch(t.Context(), "k", absent)
	require.ErrorIs(t, err, cache.ErrNotFound)
	require.Equal(t, 1, c.NotFoundKeys())
	return c
}

// A missing record is an answer: it is remembered for NotFoundTTL and counted separately. When the
// record appears, it is found.
func TestNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := lacking(t, cache.Options[string, int]{ClockError: -1})
		time.Sleep(notFoundTTL - 1)
		for range 3 {
			_, err := c.Fetch(t.Context(), "k", mustNotLoad[string, int](t))
			require.ErrorIs(t, err, cache.ErrNotFound)
			r, err := c.FetchResult(t.Context(), "k", mustNotLoad[string, int](t))
			require.ErrorIs(t, err, cache.ErrNotFound)
			require.Zero(t, r)
		}
		_, ok := c.Get("k")
		require.False(t, ok)
		require.False(t, c.Contains("k"))
		require.Zero(t, c.Len())
		s := c.Stats()
		require.Equal(t, [4]uint64{1, 1, 6, 8}, [4]uint64{s.Loads, s.NotFound, s.NotFoundHits, s.Misses})
		require.Zero(t, s.LoadErrors)

		time.Sleep(1) //nolint:staticcheck // as one says it
		requireFetch(t, c, 7, returns[string](7))
		require.Zero(t, c.NotFoundKeys())
	})
}

// Without NotFoundTTL each Fetch calls the origin, and the key does not back off.
func TestNotFoundIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{
			IsNotFound: func(err error) bool { return errors.Is(err, sql.ErrNoRows) },
			Courier:    []courier.Option{courier.WithBackoff(time.Hour, time.Hour)},
		})
		for range 2 {
			_, err := c.Fetch(t.Context(), "k", absent)
			require.ErrorIs(t, err, cache.ErrNotFound)
			_, err = c.Fetch(t.Context(), "k", fails[string, int](sql.ErrNoRows))
			require.ErrorIs(t, err, cache.ErrNotFound)
		}
		require.Equal(t, uint64(4), c.Stats().NotFound)
		require.Zero(t, c.Stats().NotFoundHits)
		require.Zero(t, c.Stats().LoadErrors)
		requireFetch(t, c, 7, returns[string](7))
	})
}

// noUser is an error with a type of its own.
type noUser struct{ name string } //nolint:errname // it is no error of the API

func (e *noUser) Error() string { return "no user " + e.name }

// Callers get the error of the load, the first time and from memory, and it matches
// ErrNotFound in whatever form the load returns it.
func TestNotFoundErrors(t *testing.T) {
	for name, err := range map[string]error{
		"plain":       cache.ErrNotFound,
		"wrapped":     fmt.Errorf("user k: %w", cache.ErrNotFound),
		"joined":      errors.Join(cache.ErrNotFound, &noUser{"k"}),
		"sql":         sql.ErrNoRows,
		"wrapped sql": fmt.Errorf("user k: %w", sql.ErrNoRows),
		"own type":    fmt.Errorf("database: %w", &noUser{"k"}),
	} {
		t.Run(name, func(t *testing.T) {
			c := newCache(t, cache.Options[string, int]{
				NotFoundTTL: notFoundTTL,
				IsNotFound: func(err error) bool {
					var own *noUser
					return errors.Is(err, sql.ErrNoRows) || errors.As(err, &own)
				},
			})
			for range 2 {
				_, got := c.Fetch(t.Context(), "k", fails[string, int](err))
				require.ErrorIs(t, got, cache.ErrNotFound)
				require.ErrorIs(t, got, err)
				require.EqualError(t, got, err.Error())
				var own, of *noUser
				require.Equal(t, errors.As(err, &of), errors.As(got, &own))
			}
			require.Equal(t, uint64(1), c.Stats().Loads)
		})
	}

	c := newCache(t, cache.Options[string, int]{
		NotFoundTTL: notFoundTTL,
		IsNotFound:  func(error) bool { return false },
	})
	_, err := c.Fetch(t.Context(), "k", fails[string, int](errLoad))
	require.ErrorIs(t, err, errLoad)
	require.NotErrorIs(t, err, cache.ErrNotFound)
	require.Equal(t, uint64(1), c.Stats().LoadErrors)
	require.Zero(t, c.NotFoundKeys())
}

// If IsNotFound panics, the load does; if it blocks, the load hangs.
func TestIsNotFoundMisbehaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		misbehave := func() { panic(errLoad) }
		c := newCache(t, cache.Options[string, int]{
			TTL: staleTTL, StaleFor: staleFor, NotFoundTTL: notFoundTTL,
			IsNotFound: func(error) bool { misbehave(); return true },
		})
		_, err := c.Fetch(t.Context(), "k", fails[string, int](sql.ErrNoRows))
		var panicked *courier.PanicError
		require.ErrorAs(t, err, &panicked)
		require.Equal(t, [2]uint64{1, 0}, [2]uint64{c.Stats().LoadErrors, c.Stats().NotFound})

		// Its late result is ignored: a load whose flight is over does not end a stale value.
		c.Set("k", 1)
		c.Expire("k")
		misbehave = func() { time.Sleep(2 * courier.DefaultTimeout) }
		r, err := c.FetchResult(t.Context(), "k", fails[string, int](sql.ErrNoRows))
		require.NoError(t, err)
		require.ErrorIs(t, r.Err, courier.ErrTimeout)
		time.Sleep(2 * courier.DefaultTimeout)
		require.Zero(t, c.NotFoundKeys())
		_, ttl, ok := c.Peek("k")
		require.True(t, ok)
		require.Negative(t, ttl)
		require.Equal(t, [2]uint64{2, 0}, [2]uint64{c.Stats().LoadErrors, c.Stats().NotFound})
		require.Zero(t, c.Loads())
	})
}

// A later write or load of a key replaces a remembered missing record.
func TestNotFoundIsForgotten(t *testing.T) {
	refresh := func(load func(context.Context, string) (int, error)) func(*cache.Cache[string, int]) {
		return func(c *cache.Cache[string, int]) {
			_, err := c.Refresh(context.Background(), "k", load)
			if err != nil && !errors.Is(err, cache.ErrNotFound) {
				panic(err)
			}
		}
	}
	for name, tt := range map[string]struct {
		write func(*cache.Cache[string, int])
		want  int // the value stored then; 0: none, and the key is loaded
	}{
		"Set":         {func(c *cache.Cache[string, int]) { c.Set("k", 1) }, 1},
		"SetTTL":      {func(c *cache.Cache[string, int]) { c.SetTTL("k", 1, time.Hour) }, 1},
		"SetIfAbsent": {func(c *cache.Cache[string, int]) { c.SetIfAbsent("k", 1) }, 1},
		"Update, Store": {func(c *cache.Cache[string, int]) {
			c.Update("k", func(int, bool) (int, cache.Op) { return 1, cache.Store })
		}, 1},
		"Update, Remove": {func(c *cache.Cache[string, int]) {
			c.Update("k", func(int, bool) (int, cache.Op) { return 1, cache.Remove })
		}, 0},
		"Delete":       {func(c *cache.Cache[string, int]) { c.Delete("k") }, 0},
		"GetAndDelete": {func(c *cache.Cache[string, int]) { c.GetAndDelete("k") }, 0},
		"negative TTL": {func(c *cache.Cache[string, int]) { c.SetTTL("k", 1, -1) }, 0},
		"Expire":       {func(c *cache.Cache[string, int]) { c.Expire("k") }, 0},
		"Clear":        {func(c *cache.Cache[string, int]) { c.Clear() }, 0},
		"Refresh":      {refresh(returns[string](1)), 1},
		"Refresh, StoreFor": {refresh(func(ctx context.Context, _ string) (int, error) {
			cache.StoreFor(ctx, time.Hour)
			return 1, nil
		}), 1},
		"Refresh, not stored": {refresh(func(ctx context.Context, _ string) (int, error) {
			cache.StoreFor(ctx, 0)
			return 1, nil
		}), 0},
		"Refresh, not found nor remembered": {refresh(func(ctx context.Context, _ string) (int, error) {
			cache.StoreFor(ctx, 0)
			return 0, cache.ErrNotFound
		}), 0},
		"Refresh, too heavy": {refresh(returns[string](1000)), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := lacking(t, cache.Options[string, int]{
					MaxWeight: 100, Weigher: func(_ string, v int) uint32 { return uint32(v) },
				})
				tt.write(c)
				require.Zero(t, c.NotFoundKeys())
				if tt.want != 0 {
					requireFetch(t, c, tt.want, mustNotLoad[string, int](t))
				} else {
					requireFetch(t, c, 2, returns[string](2))
				}
			})
		})
	}
	for name, leave := range map[string]func(*cache.Cache[string, int]){
		"another key": func(c *cache.Cache[string, int]) { c.Set("l", 1); c.Delete("l") },
		"Touch":       func(c *cache.Cache[string, int]) { c.Touch("k", time.Hour) },
		"Update, Keep": func(c *cache.Cache[string, int]) {
			c.Update("k", func(int, bool) (int, cache.Op) { return 1, cache.Keep })
		},
		"tag": func(c *cache.Cache[string, int]) { c.InvalidateTag("k") },
		"failure": func(c *cache.Cache[string, int]) {
			_, err := c.Refresh(context.Background(), "k", fails[string, int](errLoad))
			if !errors.Is(err, errLoad) {
				panic(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			tags := func(key string, _ int) []string { return []string{key} }
			c := lacking(t, cache.Options[string, int]{Tags: tags})
			leave(c)
			_, err := c.Fetch(t.Context(), "k", mustNotLoad[string, int](t))
			require.ErrorIs(t, err, cache.ErrNotFound)
		})
	}
}

// After StoreFor(0) a missing record is not remembered, but it ends the value that was stored.
func TestNotFoundNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{NotFoundTTL: notFoundTTL})
		c.Set("k", 1)
		_, err := c.Refresh(t.Context(), "k", func(ctx context.Context, _ string) (int, error) {
			cache.StoreFor(ctx, 0)
			return 0, cache.ErrNotFound
		})
		require.ErrorIs(t, err, cache.ErrNotFound)
		require.Zero(t, c.Len())
		require.Zero(t, c.NotFoundKeys())
		requireFetch(t, c, 2, returns[string](2))
	})
}

// A write during a load supersedes the missing record that the load finds.
func TestWriteWhileNothingIsFound(t *testing.T) {
	for name, write := range map[string]func(*cache.Cache[string, int]){
		"Set":         func(c *cache.Cache[string, int]) { c.Set("k", 1) },
		"SetIfAbsent": func(c *cache.Cache[string, int]) { c.SetIfAbsent("k", 1) },
		"Update": func(c *cache.Cache[string, int]) {
			c.Update("k", func(int, bool) (int, cache.Op) { return 1, cache.Store })
		},
		"Delete": func(c *cache.Cache[string, int]) { c.Delete("k") },
		"Clear":  func(c *cache.Cache[string, int]) { c.Clear() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCache(t, cache.Options[string, int]{NotFoundTTL: notFoundTTL})
				time.AfterFunc(time.Second, func() { write(c) })
				_, err := c.Fetch(t.Context(), "k", func(context.Context, string) (int, error) {
					time.Sleep(2 * time.Second)
					return 0, cache.ErrNotFound
				})
				require.ErrorIs(t, err, cache.ErrNotFound, "the caller came before the write")
				require.Zero(t, c.NotFoundKeys())
				requireFetch(t, c, 1, returns[string](1))
			})
		})
	}
}

// A refresh that finds nothing removes the value, and so does a load that finds nothing for
// a stale one.
func TestRecordHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left []cache.Reason
		c := newCache(t, cache.Options[string, int]{
			TTL: staleTTL, StaleFor: staleFor, RefreshAt: 0.5, NotFoundTTL: notFoundTTL,
			OnEviction: func(_ string, _ int, why cache.Reason) { left = append(left, why) },
		})
		c.Set("k", 1)
		time.Sleep(staleTTL * 3 / 4)
		requireFetch(t, c, 1, absent)
		synctest.Wait()
		require.Equal(t, []cache.Reason{cache.ReasonDeleted}, left)
		_, err := c.Fetch(t.Context(), "k", mustNotLoad[string, int](t))
		require.ErrorIs(t, err, cache.ErrNotFound)
		s := c.Stats()
		require.Equal(t, [4]uint64{1, 1, 1, 0},
			[4]uint64{s.Refreshes, s.NotFound, s.NotFoundHits, s.LoadErrors})

		c.Set("k", 2)
		c.Expire("k")
		_, err = c.Fetch(t.Context(), "k", absent)
		require.ErrorIs(t, err, cache.ErrNotFound)
		_, _, ok := c.Peek("k")
		require.False(t, ok)
		_, err = c.Fetch(t.Context(), "k", mustNotLoad[string, int](t))
		require.ErrorIs(t, err, cache.ErrNotFound)
		require.Zero(t, c.Stats().Stale)
	})
}

// Missing records have a bound of their own and take no room from values, and those in use stay.
func TestMaxNotFound(t *testing.T) {
	one := func(int, int) uint32 { return 1 }
	for name, tt := range map[string]struct {
		o    cache.Options[int, int]
		most int
	}{
		"a tenth of Capacity": {cache.Options[int, int]{Capacity: 16_000}, 1600},
		"of a small one":      {cache.Options[int, int]{Capacity: 50}, 5},
		"of a tiny one":       {cache.Options[int, int]{Capacity: 5}, 1},
		"without a Capacity":  {cache.Options[int, int]{MaxWeight: 8 << 20, Weigher: one}, 1000},
		"MaxNotFound":         {cache.Options[int, int]{Capacity: 16_000, MaxNotFound: 400}, 400},
		"more than Capacity":  {cache.Options[int, int]{Capacity: 16, MaxNotFound: 400}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			o := tt.o
			o.NotFoundTTL = time.Hour
			c := newCache(t, o)
			for i := range o.Capacity {
				c.Set(i, i)
			}
			full, hits := c.Len(), uint64(0)
			unknown := func(id int) {
				_, err := c.Fetch(t.Context(), -1-id, fails[int, int](cache.ErrNotFound))
				require.ErrorIs(t, err, cache.ErrNotFound)
			}
			for i := range 10 * tt.most {
				unknown(i)
				if tt.most > 1 { // with one, it is displaced at once
					unknown(0)
					hits++
				}
			}
			require.Equal(t, hits, c.Stats().NotFoundHits, "the one in use stays")
			require.Equal(t, tt.most, c.NotFoundKeys())
			require.Equal(t, full, c.Len())
			require.Zero(t, c.Stats().Evictions)
		})
	}
}

// The memory of keys that were not found is released when their TTL ends, even if none is fetched
// again, and when the last one is forgotten.
func TestNotFoundIsSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10_000
		c := newCache(t, cache.Options[int, int]{NotFoundTTL: notFoundTTL, MaxNotFound: n,
			Capacity: 8192})
		unknown := func(id int) {
			_, err := c.Fetch(t.Context(), id, fails[int, int](cache.ErrNotFound))
			require.ErrorIs(t, err, cache.ErrNotFound)
		}
		for i := range n {
			unknown(i)
		}
		require.InDelta(t, n, c.NotFoundKeys(), n/10, "some shards were asked for more than others")
		time.Sleep(notFoundTTL / 2)
		unknown(n - 1) // it is in use, and has the same time
		time.Sleep(notFoundTTL/2 - 1)
		require.Greater(t, c.NotFoundKeys(), n/2)
		time.Sleep(cache.SweepEvery + 1)
		require.Zero(t, c.NotFoundKeys())
		unknown(0)
		require.Equal(t, uint64(n+1), c.Stats().Loads)
	})
}
