package cache_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
)

// With default options, one fetch that hangs does not keep its key dead while callers keep coming:
// the first one after a deadline has passed gets a fresh fetch.
func TestHangOfAHotKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.New(cache.Options[string, int]{})
		require.NoError(t, err)
		defer c.Close()
		release := make(chan struct{})
		var calls atomic.Int32
		//nolint:unparam // the type of a fetch function
		fetch := func(context.Context, string) (int, error) {
			if calls.Add(1) == 1 {
				<-release
			}
			return 7, nil
		}
		const callers = 600 // a minute of ten a second
		errs := make(chan error, callers)
		failed := 0
		for i := range callers {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), 950*time.Millisecond)
				defer cancel()
				_, err := c.Fetch(ctx, "key", fetch)
				errs <- err
			}()
			time.Sleep(100 * time.Millisecond)
			if i == 10 { // the first after a deadline
				v, ok := c.Get("key")
				assert.True(t, ok)
				assert.Equal(t, 7, v)
			}
		}
		synctest.Wait()
		for range callers {
			if err := <-errs; err != nil {
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				failed++
			}
		}
		assert.Equal(t, 10, failed, "callers that came before the first deadline")
		assert.EqualValues(t, 2, calls.Load())
		close(release)
	})
}

// The default time-out of a load ends the wait of callers without a deadline.
func TestHangForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.New(cache.Options[string, int]{})
		require.NoError(t, err)
		defer c.Close()
		start := time.Now()
		_, err = c.Fetch(t.Context(), "key", func(ctx context.Context, _ string) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 30*time.Second, time.Since(start))
	})
}
