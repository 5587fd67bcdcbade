package cache_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
)

var _ cache.Fetcher[string, int] = (*cache.Loading[string, int])(nil)

func TestLoading(t *testing.T) {
	var loads atomic.Int32
	load := func(_ context.Context, key string) (int, error) {
		loads.Add(1)
		if key == "" {
			return 0, cache.ErrNotFound
		}
		return len(key), nil
	}
	c, err := cache.NewLoading(cache.Options[string, int]{}, load)
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	_, ok := c.Get("a")
	require.False(t, ok)
	v, err := c.Fetch(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, 1, v)
	r, err := c.FetchResult(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, cache.Result[int]{Value: 1, Age: cache.AgeUnknown}, r)
	require.EqualValues(t, 1, loads.Load())
	_, err = c.Refresh(t.Context(), "a")
	require.NoError(t, err)
	require.EqualValues(t, 2, loads.Load())

	got, err := c.FetchMany(t.Context(), []string{"a", "bb", "", "bb", "ccc"})
	require.NoError(t, err)
	require.Equal(t, map[string]int{"a": 1, "bb": 2, "ccc": 3}, got)
	require.Len(t, contents(c.Cache), 3)

	_, err = cache.NewLoading[string, int](cache.Options[string, int]{}, nil)
	require.EqualError(t, err, "cache: NewLoading: load: nil: want a function")
	_, err = cache.NewLoading(cache.Options[string, int]{Capacity: -1}, load)
	require.EqualError(t, err, "cache: Options.Capacity: -1: want 0 (the default) or more")
}

// Without LoadMany, keys are loaded concurrently, and fail independently.
func TestFetchManyWithoutLoadMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.NewLoading(cache.Options[int, int]{},
			func(_ context.Context, key int) (int, error) {
				time.Sleep(time.Second)
				if key == 13 {
					panic(errLoad)
				}
				return key, nil
			})
		require.NoError(t, err)
		defer func() { require.NoError(t, c.Close()) }()
		keys := make([]int, 100)
		for i := range keys {
			keys[i] = i
		}
		start := time.Now()
		got, err := c.FetchMany(t.Context(), keys)
		require.ErrorIs(t, err, errLoad)
		require.Len(t, got, 99)
		require.Equal(t, 2*time.Second, time.Since(start), "64 at a time")
	})
}

// LoadMany is called for the missing keys, and single calls join it.
func TestLoadMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var batches [][]int
		c, err := cache.NewLoading(cache.Options[int, int]{
			LoadMany: func(_ context.Context, keys []int) (map[int]int, error) {
				batches = append(batches, keys)
				time.Sleep(time.Second)
				return map[int]int{1: 1, 2: 2}, nil
			},
		}, mustNotLoad[int, int](t))
		require.NoError(t, err)
		defer func() { require.NoError(t, c.Close()) }()
		go func() {
			got, err := c.FetchMany(context.Background(), []int{1, 2})
			require.NoError(t, err) //nolint:testifylint // the test ends with it anyway
			require.Len(t, got, 2)  //nolint:testifylint // the test ends with it anyway
		}()
		synctest.Wait()
		v, err := c.Fetch(t.Context(), 2)
		require.NoError(t, err)
		require.Equal(t, 2, v)
		synctest.Wait()
		require.Equal(t, [][]int{{1, 2}}, batches)
	})
}
