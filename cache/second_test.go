package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachetest"
)

// withStorage returns options with s as the second level.
func withStorage(s cache.Storage, o cache.Options[string, string]) cache.Options[string, string] {
	o.SecondLevel.Storage = s
	return o
}

// A loader counts the loads of its fetch functions.
type loader struct{ n atomic.Int64 }

// of returns a fetch function that returns v.
func (l *loader) of(v string) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) {
		l.n.Add(1)
		return v, nil
	}
}

// fetch fetches a key, and fails the test if that fails.
func fetch(
	tb testing.TB, c *cache.Cache[string, string], key string,
	load func(context.Context, string) (string, error),
) string {
	tb.Helper()
	v, err := c.Fetch(tb.Context(), key, load)
	require.NoError(tb, err)
	return v
}

// warm makes the log of a new storage known to c.
func warm(tb testing.TB, c *cache.Cache[string, string]) {
	tb.Helper()
	fetch(tb, c, "warm", returns[string]("x"))
	require.NoError(tb, c.Flush(tb.Context()))
	fetch(tb, c, "warm too", returns[string]("x"))
	require.NoError(tb, c.Flush(tb.Context()))
}

// TestDeploy makes a new cache on the storage of an old one: no fresh key is loaded again.
func TestDeploy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		o := withStorage(s, cache.Options[string, string]{TTL: time.Minute})
		old := newCache(t, o)
		warm(t, old)
		var l loader
		const keys = 1000
		for i := range keys {
			fetch(t, old, fmt.Sprint(i), l.of(fmt.Sprint("value ", i)))
		}
		require.NoError(t, old.Close())
		require.EqualValues(t, keys, l.n.Load())
		require.Len(t, s.Records(), keys+1)

		time.Sleep(59 * time.Second)
		c := newCache(t, o)
		for i := range keys {
			require.Equal(t, fmt.Sprint("value ", i), fetch(t, c, fmt.Sprint(i), l.of("new")))
		}
		require.EqualValues(t, keys, l.n.Load(), "loaded again")
		require.EqualValues(t, keys, c.Stats().SecondHits)
		require.Zero(t, c.Stats().Loads)

		// They have the rest of their TTL.
		time.Sleep(time.Second)
		require.Equal(t, "new", fetch(t, c, "0", l.of("new")))
		require.EqualValues(t, keys+1, l.n.Load())
	})
}

// TestStorageFaults: no fault of the storage is an error of a caller, nor takes longer than the
// origin and the soft time-out.
func TestStorageFaults(t *testing.T) {
	const origin = 20 * time.Millisecond
	for name, fault := range map[string]cachetest.StorageFault{
		"error":   {Err: errors.New("away")},
		"slow":    {Latency: 10 * time.Second},
		"hangs":   {Hangs: true},
		"hanging": {Hangs: true, AfterEffect: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cachetest.NewStorage(t)
				c := newCache(t, withStorage(s, cache.Options[string, string]{TTL: time.Minute}))
				warm(t, c)
				s.SetFault(fault)
				for i := range 200 {
					began := time.Now()
					v, err := c.Fetch(t.Context(), fmt.Sprint(i),
						func(context.Context, string) (string, error) {
							time.Sleep(origin)
							return "v", nil
						})
					require.NoError(t, err)
					require.Equal(t, "v", v)
					require.LessOrEqual(t, time.Since(began), origin+cache.DefaultStorageSoftTimeout)
				}
				s.SetFault(cachetest.StorageFault{})
				s.Release()
				time.Sleep(2 * time.Second)
				fetch(t, c, "a", returns[string]("v"))
				fetch(t, c, "b", returns[string]("v"))
				require.NoError(t, c.Flush(t.Context()))
				require.Contains(t, s.Records(), "b", "it is used again")
			})
		})
	}
}
