package cachetest_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachetest"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/registry"
)

// An origin is the fetch function of a cache, and what its callers get is what the script says.
func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := cachetest.New(t, user)
		users, err := cache.New(cache.Options[int, string]{
			TTL: time.Minute, StaleFor: time.Hour, SoftTimeout: time.Second,
		})
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, users.Close()) })

		o.SetLatency(time.Second)
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				v, err := users.Fetch(t.Context(), 7, o.Load)
				assert.NoError(t, err)
				assert.Equal(t, "user 7", v)
			})
		}
		callers.Wait()
		assert.Equal(t, cachetest.Counts{Calls: 1, Peak: 1}, o.Counts(7))

		o.Next(8, cachetest.Panic("boom"), cachetest.Goexit(), cachetest.NotFound())
		var p *courier.PanicError
		_, err = users.Fetch(t.Context(), 8, o.Load)
		assert.ErrorAs(t, err, &p)
		_, err = users.Fetch(t.Context(), 8, o.Load)
		assert.ErrorIs(t, err, courier.ErrGoexit)
		_, err = users.Fetch(t.Context(), 8, o.Load)
		assert.ErrorIs(t, err, cache.ErrNotFound)

		o.Next(7, cachetest.Hang())
		time.Sleep(2 * time.Minute)
		r, err := users.FetchResult(t.Context(), 7, o.Load)
		assert.NoError(t, err)
		assert.True(t, r.Stale)
		o.Release() // else Close would wait for a second
	})
}

// The same for many keys.
func TestCacheMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := cachetest.New(t, user)
		users, err := cache.NewLoading(cache.Options[int, string]{LoadMany: o.LoadMany}, o.Load)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, users.Close()) })
		var fetcher cache.Fetcher[int, string] = users

		o.Next(1, cachetest.Error(errDown))
		found, err := fetcher.FetchMany(t.Context(), []int{1, 2, 404})
		assert.Equal(t, map[int]string{2: "user 2"}, found)
		var failed *cache.ManyError[int]
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, map[int]error{1: errDown}, failed.ByKey)

		found, err = users.Cache.FetchMany(t.Context(), []int{1, 2, 3}, o.LoadMany)
		assert.NoError(t, err)
		assert.Len(t, found, 3)
		v, err := fetcher.Fetch(t.Context(), 3)
		assert.NoError(t, err)
		assert.Equal(t, "user 3", v)
		assert.Equal(t, cachetest.Counts{Calls: 2, Peak: 1}, o.Total(), "3 was loaded with 1")
		_, err = fetcher.Fetch(t.Context(), 404)
		assert.ErrorIs(t, err, cache.ErrNotFound)
	})
}

// The same for a cluster of one node, with real sockets.
func TestCluster(t *testing.T) {
	o := cachetest.New(t, func(id string) (string, error) { return "user " + id, nil })
	ctx := t.Context()
	names, err := registry.Open(ctx, registry.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, names.Close()) })
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	users, err := cluster.New(cluster.Options[string]{
		Registry: names,
		URL:      "http://" + listener.Addr().String() + "/_cache",
		Load:     o.Load,
		LoadMany: o.LoadMany,
	})
	require.NoError(t, err)
	server := &http.Server{Handler: users.Handler(), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		assert.NoError(t, users.Close())
		assert.NoError(t, server.Shutdown(context.Background()))
		assert.ErrorIs(t, <-served, http.ErrServerClosed)
	})

	o.Next("7", cachetest.Panic("boom"))
	var p *courier.PanicError
	_, err = users.Fetch(ctx, "7")
	assert.ErrorAs(t, err, &p)
	v, err := users.Fetch(ctx, "7")
	assert.NoError(t, err)
	assert.Equal(t, "user 7", v)
	found, err := users.FetchMany(ctx, []string{"7", "8"})
	assert.NoError(t, err)
	assert.Equal(t, map[string]string{"7": "user 7", "8": "user 8"}, found)
	assert.Equal(t, 2, o.Counts("7").Calls)
}
