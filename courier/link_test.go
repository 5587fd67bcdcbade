package courier_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/snowfence/snowfence/courier"
)

func TestChildOutlivesItsFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		release := make(chan struct{})
		ended := make(chan struct{})
		v, _, err := c.Do(t.Context(), "key", func(ctx context.Context) (int, error) {
			courier.Go(ctx, func(ctx context.Context) error {
				<-ctx.Done()
				close(ended)
				<-release
				panic("after the end of the flight")
			})
			return 7, nil
		})
		assert.NoError(t, err)
		assert.Equal(t, 7, v)
		<-ended // the flight's end cancels it
		synctest.Wait()
		assert.Equal(t, courier.Stats{Started: 1, Abandoned: 1, AbandonedTotal: 1}, c.Stats())
		works(t, &c, "key")
		close(release)
		synctest.Wait()
		assert.Equal(t, courier.Stats{Started: 2, Panics: 1, AbandonedTotal: 1}, c.Stats())
	})
}

func TestChildStartedAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		var kept context.Context
		_, _, err := c.Do(t.Context(), "key", func(ctx context.Context) (int, error) {
			kept = ctx //nolint:fatcontext // kept on purpose: that is the mistake under test
			return 7, nil
		})
		assert.NoError(t, err)
		synctest.Wait()

		release := make(chan struct{})
		for range 2 {
			courier.Go(kept, func(ctx context.Context) error {
				assert.ErrorIs(t, ctx.Err(), context.Canceled)
				<-release
				panic("boom")
			})
		}
		synctest.Wait()
		assert.Equal(t, courier.Stats{Started: 1, Abandoned: 1, AbandonedTotal: 1}, c.Stats())
		works(t, &c, "key")

		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var left *courier.ShutdownError
		assert.ErrorAs(t, c.Shutdown(short), &left, "Shutdown waits for it")
		close(release)
		assert.NoError(t, c.Shutdown(t.Context()))
		assert.Equal(t, courier.Stats{Started: 2, Panics: 2, AbandonedTotal: 1}, c.Stats())
	})
}

// A flight is abandoned once, however many of its goroutines run on, and until
// the last of them ends.
func TestFlightIsAbandonedUntilItsLastGoroutineEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithTimeout(time.Second))
		release := make(chan chan struct{}, 3)
		h := callers(t, c, 1, "key", 0, func(ctx context.Context) (int, error) {
			for range 2 {
				courier.Go(ctx, func(context.Context) error { <-<-release; return errBoom })
			}
			<-<-release
			return -1, nil
		})
		assert.ErrorIs(t, h.one().err, courier.ErrTimeout)
		open := make(chan struct{})
		close(open)
		for left := 3; left > 0; left-- {
			assert.Equal(t, 1, c.Stats().Abandoned)
			release <- open
			synctest.Wait()
		}
		assert.Equal(t, courier.Stats{Started: 1, Timeouts: 1, AbandonedTotal: 1}, c.Stats())
	})
}

func TestFirstOfManyDeathsCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		h := callers(t, &c, 1, "key", 0, func(ctx context.Context) (int, error) {
			for i := range 5 {
				courier.Go(ctx, func(context.Context) error {
					time.Sleep(time.Duration(5-i) * time.Second)
					panic(i)
				})
			}
			time.Sleep(time.Minute)
			return 7, nil
		})
		o := h.one()
		isPanic(4)(t, o.err)
		assert.Equal(t, time.Second, o.after)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, courier.Stats{Started: 1, Panics: 5, AbandonedTotal: 1}, c.Stats())
	})
}

func TestGoUsesTheContextItWasGiven(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		h := callers(t, &c, 1, "key", 0, func(ctx context.Context) (int, error) {
			ctx, cancel := context.WithTimeout(context.WithValue(ctx, key{}, 7), time.Second)
			defer cancel()
			got := make(chan int, 1)
			courier.Go(ctx, func(ctx context.Context) error {
				<-ctx.Done()
				v, _ := ctx.Value(key{}).(int)
				got <- v
				return nil
			})
			return <-got, nil
		})
		assert.Equal(t, outcome{value: 7, after: time.Second}, h.one())
		synctest.Wait()
	})
}

// In nested flights a child belongs to the innermost.
func TestChildOfANestedFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		release := make(chan struct{})
		h := callers(t, &c, 1, "outer", 0, func(ctx context.Context) (int, error) {
			_, _, err := c.Do(ctx, "inner", func(ctx context.Context) (int, error) {
				courier.Go(ctx, func(context.Context) error { return errBoom })
				<-release
				return 0, nil
			})
			assert.ErrorIs(t, err, errBoom)
			return 7, nil
		})
		assert.Equal(t, outcome{value: 7}, h.one())
		close(release)
		synctest.Wait()
		still(t, c.Stats())
	})
}

func TestGoOutsideAFlightPanics(t *testing.T) {
	for _, ctx := range []context.Context{t.Context(), courier.Detach(t.Context())} {
		assert.PanicsWithValue(t,
			"courier.Go: no flight in the context; pass the one that the fetch function was given",
			func() { courier.Go(ctx, func(context.Context) error { return nil }) })
	}
}

func TestInFlight(t *testing.T) {
	assert.False(t, courier.InFlight(t.Context()))
	low := courier.ContextWithLowPriority(t.Context())
	assert.False(t, courier.InFlight(low), "terms alone are no flight")
	var c courier.Courier[string, int]
	var kept context.Context
	_, _, err := c.Do(low, "key", func(ctx context.Context) (int, error) {
		kept = ctx //nolint:fatcontext // kept on purpose
		derived, cancel := context.WithCancel(ctx)
		defer cancel()
		for _, ctx := range []context.Context{ctx, derived, courier.ContextWithLowPriority(ctx)} {
			assert.True(t, courier.InFlight(ctx))
		}
		assert.False(t, courier.InFlight(courier.Detach(ctx)))
		return 7, nil
	})
	assert.NoError(t, err)
	assert.True(t, courier.InFlight(kept), "also when the flight is over")
	asked := c.DoMany(t.Context(), []string{"a", "b"},
		func(ctx context.Context, keys []string) ([]courier.Outcome[int], error) {
			assert.True(t, courier.InFlight(ctx))
			return make([]courier.Outcome[int], len(keys)), nil
		})
	assert.Len(t, asked, 2)
}
