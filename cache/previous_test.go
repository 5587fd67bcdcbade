package cache_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

const previousTTL = time.Minute

// A previousCache is a cache in which "k" is 1, with a record of the entries that leave.
type previousCache struct {
	*cache.Cache[string, int]
	left []departure[string, int]
}

func newPrevious(t *testing.T, o cache.Options[string, int]) *previousCache {
	t.Helper()
	p := &previousCache{}
	o.TTL, o.OnEviction = previousTTL, record(&p.left)
	p.Cache = newCache(t, o)
	p.Set("k", 1)
	return p
}

// notModified is a fetch function that finds the value want, and keeps it.
func notModified(t *testing.T, want int) func(context.Context, string) (int, error) {
	t.Helper()
	return func(ctx context.Context, _ string) (int, error) {
		v, ok := cache.Previous[int](ctx)
		if !ok || v != want {
			t.Errorf("Previous is %d, %t, want %d", v, ok, want)
		}
		time.Sleep(time.Second)
		return 0, fmt.Errorf("304: %w", cache.ErrNotModified)
	}
}

type previousLoad = func(context.Context, string) (int, error)

// previousLoads are the loads that may have a previous value: each begins when "k" is 1, and takes
// a second.
var previousLoads = map[string]func(*testing.T, *previousCache, previousLoad) (int, error){
	"Refresh": func(t *testing.T, p *previousCache, load previousLoad) (int, error) {
		t.Helper()
		time.Sleep(previousTTL / 2)
		return p.Refresh(t.Context(), "k", load)
	},
	"stale": func(t *testing.T, p *previousCache, load previousLoad) (int, error) {
		t.Helper()
		time.Sleep(2 * previousTTL)
		return p.Fetch(t.Context(), "k", load)
	},
	"RefreshAt": func(t *testing.T, p *previousCache, load previousLoad) (int, error) {
		t.Helper()
		time.Sleep(previousTTL / 2)
		v, err := p.Fetch(t.Context(), "k", load)
		time.Sleep(time.Second)
		return v, err
	},
}

var previousOptions = cache.Options[string, int]{StaleFor: time.Hour, RefreshAt: 0.5}

// A value that is not modified is kept for a new TTL, with its weight and tags. No entry leaves.
func TestNotModified(t *testing.T) {
	for name, load := range previousLoads {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := previousOptions
				o.MaxWeight, o.Weigher = 100, func(string, int) uint32 { return 7 }
				o.Tags = func(string, int) []string { return []string{"tag"} }
				p := newPrevious(t, o)
				v, err := load(t, p, notModified(t, 1))
				require.NoError(t, err)
				require.Equal(t, 1, v)
				synctest.Wait()
				_, ttl, ok := p.Peek("k")
				require.True(t, ok)
				require.Equal(t, previousTTL, ttl)
				r, err := p.FetchResult(t.Context(), "k", mustNotLoad[string, int](t))
				require.NoError(t, err)
				require.Equal(t, cache.Result[int]{Value: 1}, r, "the value is fresh again")
				require.EqualValues(t, 7, p.Weight())
				require.Equal(t, 1, p.Len())
				s := p.Stats()
				require.Zero(t, s.LoadErrors)
				require.Zero(t, s.Expired)
				require.Empty(t, p.left, "no entry has left")

				p.InvalidateTag("tag")
				require.Zero(t, p.Len())
				synctest.Wait()
				require.Equal(t, []departure[string, int]{{"k", 1, cache.ReasonDeleted}}, p.left)
			})
		})
	}
}

// StoreFor sets the time for which the value is kept, and may prevent that.
func TestNotModifiedAndStoreFor(t *testing.T) {
	for name, load := range previousLoads {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for ttl, want := range map[time.Duration]time.Duration{
					time.Hour: time.Hour, cache.Forever: cache.Forever, 0: 0,
				} {
					p := newPrevious(t, previousOptions)
					v, err := load(t, p, func(ctx context.Context, key string) (int, error) {
						cache.StoreFor(ctx, ttl)
						return notModified(t, 1)(ctx, key)
					})
					require.NoError(t, err)
					require.Equal(t, 1, v)
					synctest.Wait()
					_, left, ok := p.Peek("k")
					require.Equal(t, want > 0, ok)
					require.Equal(t, want, left)
				}
			})
		})
	}
}

// An entry that ends during the load is not brought back.
func TestNotModifiedMeanwhile(t *testing.T) {
	type state struct {
		v   int
		ttl time.Duration // 0: there is no value
	}
	for op, tt := range map[string]struct {
		do   func(*previousCache)
		want state
	}{
		"nothing": {func(*previousCache) {}, state{1, previousTTL}},
		"Delete":  {func(p *previousCache) { p.Delete("k") }, state{}},
		"Clear":   {func(p *previousCache) { p.Clear() }, state{}},
		"tag":     {func(p *previousCache) { p.InvalidateTag("tag") }, state{}},
		"Set":     {func(p *previousCache) { p.Set("k", 2) }, state{2, previousTTL - time.Second/2}},
		"Touch": {func(p *previousCache) {
			p.Touch("k", time.Hour) // no write: the load's new TTL is newer
		}, state{1, previousTTL}},
		// The value is valid all the same, so it is stored again.
		"evicted":             {func(p *previousCache) { p.Set("x", 0) }, state{1, previousTTL}},
		"evicted and deleted": {func(p *previousCache) { p.Set("x", 0); p.Delete("k") }, state{}},
	} {
		for name, load := range previousLoads {
			t.Run(op+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := previousOptions
					o.Capacity = 1
					o.Tags = func(string, int) []string { return []string{"tag"} }
					p := newPrevious(t, o)
					v, err := load(t, p, func(ctx context.Context, key string) (int, error) {
						time.AfterFunc(time.Second/2, func() { tt.do(p) })
						return notModified(t, 1)(ctx, key)
					})
					require.NoError(t, err)
					require.Equal(t, 1, v, "its callers came before the write")
					synctest.Wait()
					v, ttl, ok := p.Peek("k")
					require.Equal(t, tt.want, state{v, ttl})
					require.Equal(t, tt.want.ttl > 0, ok)
				})
			})
		}
	}
}

// Without a value to keep, ErrNotModified is an error like any other.
func TestNotModifiedWithoutValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bare := func(ctx context.Context, _ string) (int, error) {
			if v, ok := cache.Previous[int](ctx); ok {
				t.Errorf("Previous is %d", v)
			}
			return 0, cache.ErrNotModified
		}
		p := newPrevious(t, cache.Options[string, int]{})
		_, err := p.Fetch(t.Context(), "first", bare)
		require.ErrorIs(t, err, cache.ErrNotModified)
		require.ErrorContains(t, err, "no value")
		time.Sleep(previousTTL) // without StaleFor the value is gone
		_, err = p.Fetch(t.Context(), "k", bare)
		require.ErrorIs(t, err, cache.ErrNotModified)
		require.EqualValues(t, 2, p.Stats().LoadErrors)
		require.Empty(t, contents(p.Cache))

		p = newPrevious(t, previousOptions)
		time.Sleep(previousTTL + time.Hour)
		_, err = p.Fetch(t.Context(), "k", bare)
		require.ErrorIs(t, err, cache.ErrNotModified)
	})
}

// Previous returns false where there is no previous value.
func TestPreviousWithoutLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, ok := cache.Previous[int](t.Context())
		require.False(t, ok)
		p := newPrevious(t, previousOptions)
		var kept context.Context
		_, err := p.Refresh(t.Context(), "k", func(ctx context.Context, _ string) (int, error) {
			kept = ctx //nolint:fatcontext // kept on purpose
			_, ok := cache.Previous[string](ctx)
			require.False(t, ok, "the type differs")
			derived, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			v, ok := cache.Previous[int](derived)
			require.True(t, ok, "in a derived context")
			require.Equal(t, 1, v)
			return 2, nil
		})
		require.NoError(t, err)
		_, ok = cache.Previous[int](kept)
		require.False(t, ok, "the load has ended")
	})
}

// Previous returns false in a load that was abandoned, and its result is dropped.
func TestPreviousAfterTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := previousOptions
		o.RefreshAt, o.Timeout = 0, time.Second
		p := newPrevious(t, o)
		release := make(chan struct{})
		var ok bool
		_, err := p.Refresh(t.Context(), "k", func(ctx context.Context, _ string) (int, error) {
			<-release
			_, ok = cache.Previous[int](ctx)
			return 0, cache.ErrNotModified
		})
		require.ErrorIs(t, err, courier.ErrTimeout)
		synctest.Wait() // the end of the flight is recorded in a goroutine of its own
		require.Zero(t, p.Loads(), "a load that hangs is no longer registered")
		close(release)
		synctest.Wait()
		require.False(t, ok)
		_, ttl, ok := p.Peek("k")
		require.True(t, ok)
		require.Equal(t, previousTTL-time.Second, ttl)
		require.EqualValues(t, 1, p.Stats().LoadErrors)
	})
}

// A refresh that finds no record ends the entry, unless another value was written meanwhile.
func TestRefreshFindsNoRecord(t *testing.T) {
	for name, load := range previousLoads {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := previousOptions
				o.NotFoundTTL = time.Minute
				p := newPrevious(t, o)
				missing := func(context.Context, string) (int, error) {
					time.Sleep(time.Second)
					return 0, cache.ErrNotFound
				}
				v, err := load(t, p, missing)
				if name == "RefreshAt" {
					require.NoError(t, err)
					require.Equal(t, 1, v)
				} else {
					require.ErrorIs(t, err, cache.ErrNotFound)
				}
				synctest.Wait()
				require.Zero(t, p.Len())
				require.Equal(t, []departure[string, int]{{"k", 1, cache.ReasonDeleted}}, p.left)
				_, err = p.Fetch(t.Context(), "k", mustNotLoad[string, int](t))
				require.ErrorIs(t, err, cache.ErrNotFound)
				s := p.Stats()
				require.EqualValues(t, 1, s.NotFound)
				require.EqualValues(t, 1, s.NotFoundHits)
				require.Zero(t, s.LoadErrors)

				p = newPrevious(t, o)
				_, _ = load(t, p, func(ctx context.Context, key string) (int, error) {
					time.AfterFunc(time.Second/2, func() { p.Set("k", 2) })
					return missing(ctx, key)
				})
				synctest.Wait()
				requireFetch(t, p.Cache, 2, mustNotLoad[string, int](t))
			})
		})
	}
}
