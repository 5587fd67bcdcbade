package cluster_test

import (
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
)

// A cache.Fetcher behaves alike, whether a cache or a cluster cache is behind it.
func TestFetcher(t *testing.T) {
	errLoad := errors.New("disk on fire")
	load := func(_ context.Context, key string) (string, error) {
		switch key {
		case "none":
			return "", cache.ErrNotFound
		case "bad":
			return "", errLoad
		}
		return "value of " + key, nil
	}
	for name, open := range map[string]func(t *testing.T) cache.Fetcher[string, string]{
		"cache": func(t *testing.T) cache.Fetcher[string, string] {
			t.Helper()
			c, err := cache.NewLoading(cache.Options[string, string]{}, load)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, c.Close()) })
			return c
		},
		"cluster": func(t *testing.T) cache.Fetcher[string, string] {
			t.Helper()
			var from origin
			from.set(func(ctx context.Context, key string, _ int) (string, error) { return load(ctx, key) })
			return start(t, 2, &from, func(_ int, o *cluster.Options[string]) {
				o.Errors = map[string]error{"load": errLoad}
			})[0].Cache
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			_, ok := f.Get("a")
			require.False(t, ok)
			v, err := f.Fetch(t.Context(), "a")
			require.NoError(t, err)
			require.Equal(t, "value of a", v)
			v, ok = f.Get("a")
			require.True(t, ok)
			require.Equal(t, "value of a", v)
			_, err = f.Fetch(t.Context(), "none")
			require.ErrorIs(t, err, cache.ErrNotFound)
			_, err = f.Fetch(t.Context(), "bad")
			require.ErrorIs(t, err, errLoad)

			got, err := f.FetchMany(t.Context(), nil)
			require.NoError(t, err)
			require.Empty(t, got)
			got, err = f.FetchMany(t.Context(), []string{"a", "b", "none", "b", "bad"})
			require.Equal(t, map[string]string{"a": "value of a", "b": "value of b"}, got)
			var many *cache.ManyError[string]
			require.ErrorAs(t, err, &many)
			require.Len(t, many.ByKey, 1)
			require.ErrorIs(t, many.ByKey["bad"], errLoad)

			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = f.Fetch(ctx, "c")
			require.ErrorIs(t, err, context.Canceled)
			_, err = f.FetchMany(ctx, []string{"c"})
			require.ErrorIs(t, err, context.Canceled)
		})
	}
}

// A new goroutine that waits for a flight keeps the stack that it began with. To grow it took a
// third of the time of a herd.
func TestWaitingTakesLittleStack(t *testing.T) {
	if raced {
		t.Skip("the race detector makes frames larger")
	}
	const callers = 4000
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection shrinks stacks
	var from origin
	gates := []chan struct{}{make(chan struct{}), make(chan struct{})}
	from.set(func(context.Context, string, int) (string, error) {
		<-gates[1]
		return "v", nil
	})
	n := start(t, 1, &from, nil)[0]
	inUse := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.StackInuse
	}
	ctx := t.Context()
	var waiting sync.WaitGroup
	herd := func(wait func()) {
		for range callers {
			waiting.Go(wait)
		}
	}

	// The runtime reuses these goroutines, and what they wait with.
	var began atomic.Int64
	herd(func() {
		began.Add(1)
		select {
		case <-gates[0]:
		case <-ctx.Done():
		}
	})
	for began.Load() < callers {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond) // nearly all of them wait
	close(gates[0])
	waiting.Wait()

	before := inUse()
	var failed atomic.Int64
	herd(func() {
		if _, err := n.Fetch(ctx, "k"); err != nil {
			failed.Add(1)
		}
	})
	for n.Stats().Store.Courier.Waiting < callers {
		time.Sleep(time.Millisecond)
	}
	each := (float64(inUse()) - float64(before)) / callers
	close(gates[1])
	waiting.Wait()
	require.Zero(t, failed.Load())
	require.Less(t, each, 1024.0, "bytes for each caller, on average")
}
