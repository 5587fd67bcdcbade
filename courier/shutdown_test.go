package courier_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

func TestShutdownEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(3), courier.WithTimeout(time.Hour))
		heeds := func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }
		herds := []*herd{callers(t, c, 100, "forgotten", 0, heeds)}
		c.Forget("forgotten")
		herds = append(herds,
			callers(t, c, 100, "forgotten", 0, heeds),
			callers(t, c, 1, "a", 0, heeds),
			callers(t, c, 1, "queued", 0, func(context.Context) (int, error) {
				t.Error("called")
				return 0, nil
			}))

		require.NoError(t, c.Shutdown(t.Context()))
		still(t, c.Stats())
		for _, h := range herds {
			for _, o := range h.wait() {
				assert.Equal(t, courier.ErrClosed, o.err)
				assert.Zero(t, o.after)
			}
		}
		refused(t, c, "a", courier.ErrClosed)
		refused(t, c, "new", courier.ErrClosed)
		c.Forget("a")
		c.ForgetAll()
		assert.NoError(t, c.Shutdown(t.Context()))
		assert.EqualValues(t, 4, c.Stats().Started)
		assert.Zero(t, c.Stats().Timeouts)
	})
}

func TestShutdownWaitsForFunctionsAndChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		function := callers(t, &c, 1, "function", 0, sleeps(2*time.Second))
		children := callers(t, &c, 1, "child", 0, func(ctx context.Context) (int, error) {
			courier.Go(ctx, func(context.Context) error { time.Sleep(3 * time.Second); return nil })
			return 7, nil
		})
		assert.NoError(t, children.one().err)

		start := time.Now()
		short, cancel := context.WithTimeoutCause(t.Context(), time.Second, errBoom)
		defer cancel()
		err := c.Shutdown(short)
		var left *courier.ShutdownError
		require.ErrorAs(t, err, &left)
		assert.Equal(t, 2, left.Abandoned)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorIs(t, err, errBoom)
		assert.Contains(t, err.Error(), "left 2 functions running")
		assert.Equal(t, outcome{err: courier.ErrClosed}, function.one(), "callers do not wait")

		for range 3 {
			go func() {
				assert.NoError(t, c.Shutdown(t.Context()))
				assert.Equal(t, 3*time.Second, time.Since(start))
			}()
		}
		time.Sleep(3 * time.Second / 2)
		require.ErrorAs(t, c.Shutdown(short), &left)
		assert.Equal(t, 1, left.Abandoned)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.NoError(t, c.Shutdown(short), "nothing is left to wait for")
		still(t, c.Stats())
		assert.EqualValues(t, 2, c.Stats().AbandonedTotal)
	})
}

func TestShutdownOfNothing(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var zero courier.Courier[string, int]
	assert.NoError(t, zero.Shutdown(ended))
	_, _, err := zero.Do(t.Context(), "key", value(1))
	assert.Equal(t, courier.ErrClosed, err)

	used := courier.New[string, int]()
	works(t, used, "key")
	assert.NoError(t, used.Shutdown(t.Context()))
}

// Calls that race with Shutdown get their value or ErrClosed, and no flight remains.
func TestShutdownRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			c := courier.New[int, int](courier.WithMaxConcurrent(2))
			for i := range 8 {
				go func() {
					v, _, err := c.Do(t.Context(), i%4, func(ctx context.Context) (int, error) {
						v, _, err := c.Do(ctx, 10+i, value(7))
						return v, err
					})
					if err != nil {
						assert.ErrorIs(t, err, courier.ErrClosed)
					} else {
						assert.Equal(t, 7, v)
					}
				}()
			}
			assert.NoError(t, c.Shutdown(t.Context()))
			synctest.Wait()
			still(t, c.Stats())
		}
	})
}
