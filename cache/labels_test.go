package cache_test

import (
	"context"
	"runtime/pprof"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

// A load starts goroutines that outlive it: the sweep, and that of the callbacks. In a profile they
// must not be taken for goroutines of its flight.
func TestGoroutinesOfTheCacheHaveNoLabelsOfAFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const name = "starts the goroutines of a cache"
		release := make(chan struct{})
		c, err := cache.New(cache.Options[int, int]{
			Capacity:   1,
			TTL:        time.Minute,
			OnEviction: func(int, int, cache.Reason) { <-release },
			Courier:    []courier.Option{courier.WithName(name)},
		})
		require.NoError(t, err)
		defer func() {
			close(release)
			require.NoError(t, c.Close())
		}()
		for key := range 2 {
			_, err := c.Fetch(t.Context(), key, func(context.Context, int) (int, error) {
				assert.Contains(t, profile(t), name)
				return 1, nil
			})
			require.NoError(t, err)
		}
		synctest.Wait()
		all := profile(t)
		require.Contains(t, all, "(*callbacks[...]).run", "the callback does not block")
		require.Contains(t, all, "(*periodic).loop", "there is no sweep")
		require.NotContains(t, all, name)
	})
}

// profile returns the goroutine profile, with the labels.
func profile(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	assert.NoError(t, pprof.Lookup("goroutine").WriteTo(&text, 1))
	return text.String()
}
