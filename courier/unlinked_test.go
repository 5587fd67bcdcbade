package courier_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/snowfence/snowfence/courier"
)

// WithUnlinked shows the effect of the link: with the link, each of these is an error at once.
func TestUnlinkedTellsNobody(t *testing.T) {
	release := func(ctx context.Context) { <-ctx.Done() }
	for name, fetch := range map[string]fetchFunc{
		"panic":  func(context.Context) (int, error) { panic("boom") },
		"Goexit": func(context.Context) (int, error) { runtime.Goexit(); return 0, nil },
		"panic of a child": func(ctx context.Context) (int, error) {
			courier.Go(ctx, func(context.Context) error { panic("boom") })
			release(ctx)
			return 0, nil
		},
		"Goexit of a child": func(ctx context.Context) (int, error) {
			courier.Go(ctx, func(context.Context) error { runtime.Goexit(); return nil })
			release(ctx)
			return 0, nil
		},
		"error of a child": func(ctx context.Context) (int, error) {
			courier.Go(ctx, func(context.Context) error { return errBoom })
			release(ctx)
			return 0, nil
		},
		"hang": func(ctx context.Context) (int, error) { release(ctx); return 0, nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := courier.New[string, int](courier.WithUnlinked(), courier.WithTimeout(time.Second))
				var calls atomic.Int32
				h := callers(t, c, 3, "key", 5*time.Second, func(ctx context.Context) (int, error) {
					calls.Add(1)
					return fetch(ctx)
				})
				for _, o := range h.wait() {
					assert.ErrorIs(t, o.err, context.DeadlineExceeded)
					assert.NotErrorIs(t, o.err, courier.ErrTimeout)
					assert.Equal(t, 5*time.Second, o.after)
				}
				// The dead flight still has the key: later callers join it.
				c.Forget("key")
				late := callers(t, c, 1, "key", 5*time.Second, value(7)).one()
				assert.ErrorIs(t, late.err, context.DeadlineExceeded)
				assert.Equal(t, 5*time.Second, late.after)
				assert.EqualValues(t, 1, calls.Load())
				assert.Equal(t, 1, c.Stats().InFlight)
				assert.Zero(t, c.Stats().Waiting)
				assert.Zero(t, c.Stats().Timeouts+c.Stats().Deserted)
				works(t, c, "another")

				last := callers(t, c, 1, "key", 0, nil)
				assert.NoError(t, c.Shutdown(t.Context()))
				assert.Equal(t, courier.ErrClosed, last.one().err)
				still(t, c.Stats())
			})
		})
	}
}

func TestUnlinkedDeadlockHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithUnlinked())
		o := callers(t, c, 1, "a", time.Second, asks(c, "a", nil)).one()
		assert.ErrorIs(t, o.err, context.DeadlineExceeded)
		assert.Zero(t, c.Stats().Deadlocks)
		assert.NoError(t, c.Shutdown(t.Context()))
	})
}

// The waiters get the result of a function that returns.
func TestUnlinkedWorksWhereNothingDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithUnlinked())
		for _, o := range callers(t, c, 3, "key", 0, sleeps(time.Second)).wait() {
			assert.Equal(t, outcome{value: 7, shared: true, after: time.Second}, o)
		}
		assert.ErrorIs(t, callers(t, c, 1, "key", 0, failing(errBoom)).one().err, errBoom)
		// All callers have left, yet the flight goes on and its result frees the key.
		left := callers(t, c, 1, "key", time.Second, sleeps(3*time.Second)).one()
		assert.ErrorIs(t, left.err, context.DeadlineExceeded)
		joins := callers(t, c, 1, "key", 0, nil).one()
		assert.Equal(t, outcome{value: 7, shared: true, after: 2 * time.Second}, joins)
		works(t, c, "key")
		still(t, c.Stats())
	})
}
