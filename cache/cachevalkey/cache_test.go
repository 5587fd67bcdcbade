package cachevalkey

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/internal/valkeytest"
)

// An origin is what caches load from. Its values have a version.
type origin struct {
	version atomic.Int64
	loads   atomic.Int64
}

func (o *origin) value(key string) string {
	return key + " " + strconv.FormatInt(o.version.Load(), 10)
}

// cacheOn returns a cache of a process of its own.
func (o *origin) cacheOn(t *testing.T, server *valkeytest.Server) *cache.Loading[string, string] {
	t.Helper()
	c, err := cache.NewLoading(cache.Options[string, string]{
		TTL:  time.Hour,
		Tags: func(key, _ string) []string { return []string{"tag of " + key} },
		SecondLevel: cache.SecondLevel[string, string]{
			Storage:     open(t, at(server.Addr())),
			SoftTimeout: patience, Timeout: patience, // the machine may be busy
		},
	}, func(_ context.Context, key string) (string, error) {
		o.loads.Add(1)
		return o.value(key), nil
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// Caches on one server find what others have loaded, drop what others delete, and go on after the
// server was restarted with the loss of everything.
func TestCaches(t *testing.T) {
	server := valkeytest.Run(t, valkeytest.Options{})
	var from origin
	keys := []string{"apple", "pear", "plum"}
	get := func(c *cache.Loading[string, string], key string) string {
		v, err := c.Fetch(within(t), key)
		require.NoError(t, err)
		return v
	}
	first, second := from.cacheOn(t, server), from.cacheOn(t, server)
	get(first, "the log begins with this") // and its result is not written
	for _, key := range keys {
		get(first, key)
	}
	require.NoError(t, first.Flush(within(t)))
	before := from.loads.Load()
	for _, key := range keys {
		require.Equal(t, key+" 0", get(second, key))
	}
	require.Equal(t, before, from.loads.Load(), "all were found on the server")

	from.version.Store(1)
	first.Delete("apple")
	first.InvalidateTag("tag of pear")
	require.NoError(t, first.Flush(within(t)))
	require.Eventually(t, func() bool {
		return get(second, "apple") == "apple 1" && get(second, "pear") == "pear 1"
	}, patience, time.Millisecond, "the notices arrive")
	require.Equal(t, "plum 0", get(second, "plum"))

	require.NoError(t, second.Flush(within(t)))
	before = from.loads.Load()
	third := from.cacheOn(t, server)
	require.Equal(t, "apple 1", get(third, "apple"))
	require.Equal(t, "pear 1", get(third, "pear"))
	require.Equal(t, "plum 0", get(third, "plum"))
	require.Equal(t, before, from.loads.Load())

	from.version.Store(2)
	require.NoError(t, server.Restart(within(t)))
	require.Eventually(t, func() bool { return get(third, "plum") == "plum 2" },
		patience, time.Millisecond, "the cache notices that all was lost")
	require.Eventually(t, func() bool {
		third.Delete("plum")
		require.NoError(t, third.Flush(within(t))) // until then no result of a load is written
		get(third, "plum")
		require.NoError(t, third.Flush(within(t)))
		before = from.loads.Load()
		found := get(from.cacheOn(t, server), "plum")
		require.Equal(t, "plum 2", found)
		return from.loads.Load() == before
	}, 3*patience, time.Millisecond, "the server is used again")
}
