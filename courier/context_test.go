package courier_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// flightContext starts a flight and returns the context of its function, and a
// function that ends it.
func flightContext(
	t *testing.T, caller context.Context, c *courier.Courier[string, int],
) (ctx context.Context, end func()) {
	t.Helper()
	got := make(chan context.Context, 1)
	gate, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_, _, err := c.Do(caller, "key", func(ctx context.Context) (int, error) {
			got <- ctx
			<-gate
			return 7, nil
		})
		assert.NoError(t, err)
	}()
	return <-got, func() { close(gate); <-ended }
}

type contextKey struct{}

func TestFetchContextCarriesValuesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caller, cancel := context.WithTimeout(context.WithValue(t.Context(), contextKey{}, "value"),
			time.Hour)
		defer cancel()
		var c courier.Courier[string, int]
		ctx, end := flightContext(t, caller, &c)
		assert.Equal(t, "value", ctx.Value(contextKey{}))
		assert.Nil(t, ctx.Value("another"))
		deadline, limited := ctx.Deadline()
		assert.True(t, limited)
		assert.Equal(t, time.Now().Add(courier.DefaultTimeout), deadline,
			"the caller's deadline is the caller's")
		assert.NoError(t, ctx.Err())
		assert.Equal(t, "courier.Flight(key)", fmt.Sprint(ctx))
		end()
		<-ctx.Done()
		assert.Equal(t, context.Canceled, ctx.Err())
		assert.Equal(t, context.Canceled, context.Cause(ctx))

		unlimited := courier.New[string, int](courier.WithTimeout(0))
		ctx, end = flightContext(t, caller, unlimited)
		_, limited = ctx.Deadline()
		assert.False(t, limited)
		end()

		limitedTo := courier.New[string, int](courier.WithTimeout(time.Minute))
		ctx, end = flightContext(t, caller, limitedTo)
		deadline, limited = ctx.Deadline()
		assert.True(t, limited)
		assert.Equal(t, time.Now().Add(time.Minute), deadline)
		end()
		assert.Equal(t, context.Canceled, ctx.Err(), "the flight ended before its deadline")
	})
}

func TestTimeoutSeenFromInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithTimeout(time.Minute))
		inside := make(chan error, 2)
		_, _, err := c.Do(t.Context(), "key", func(ctx context.Context) (int, error) {
			derived, cancel := context.WithCancel(ctx)
			defer cancel()
			<-derived.Done()
			inside <- ctx.Err()
			inside <- context.Cause(derived)
			return 0, nil
		})
		assert.ErrorIs(t, err, courier.ErrTimeout)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		assert.True(t, timeout.Timeout())
		assert.ErrorContains(t, err, "courier: flight timed out after 1m0s with 1 caller waiting: in ")
		assert.Equal(t, context.DeadlineExceeded, <-inside)
		assert.Equal(t, context.DeadlineExceeded, <-inside)
		synctest.Wait()
	})
}

// The contexts derived from a flight's end with it, whatever their kind, and
// not with the first caller's.
func TestDerivedContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		caller, leave := context.WithCancelCause(context.WithValue(t.Context(), contextKey{}, "value"))
		got := make(chan context.Context, 1)
		gate := make(chan struct{})
		go func() {
			_, _, err := c.Do(caller, "key", func(ctx context.Context) (int, error) {
				got <- ctx
				<-gate
				return 7, nil
			})
			assert.ErrorIs(t, err, context.Canceled)
		}()
		ctx := <-got
		stays := callers(t, &c, 1, "key", 0, nil)

		plain, cancelPlain := context.WithCancel(ctx)
		defer cancelPlain()
		timed, cancelTimed := context.WithTimeoutCause(ctx, time.Hour, errBoom)
		defer cancelTimed()
		deeper, cancelDeeper := context.WithCancelCause(context.WithValue(plain, contextKey{}, "other"))
		defer cancelDeeper(nil)
		valued, cancelValued := context.WithCancel(context.WithValue(ctx, contextKey{}, "third"))
		defer cancelValued()
		own, cancelOwn := context.WithCancelCause(ctx)
		cancelOwn(errBoom)
		assert.Equal(t, errBoom, context.Cause(own))

		leave(errBoom)
		synctest.Wait()
		assert.NoError(t, context.Cause(ctx), "the first caller's end is not the flight's")
		all := []context.Context{plain, timed, deeper, valued}
		for i, derived := range all {
			assert.NoError(t, derived.Err(), i)
		}
		close(gate)
		assert.NoError(t, stays.one().err)
		synctest.Wait()
		assert.Equal(t, context.Canceled, context.Cause(ctx))
		for i, derived := range all {
			assert.Equal(t, context.Canceled, derived.Err(), i)
			assert.Equal(t, context.Canceled, context.Cause(derived), i)
		}
	})
}

func TestAfterFunc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		ctx, end := flightContext(t, t.Context(), &c)
		var runs, stopped atomic.Int32
		count := func(n *atomic.Int32) func() {
			return func() {
				assert.Error(t, ctx.Err(), "the context is over when it runs")
				n.Add(1)
			}
		}
		stopRuns := context.AfterFunc(ctx, count(&runs))
		context.AfterFunc(ctx, count(&runs))
		stop := context.AfterFunc(ctx, count(&stopped))
		direct, ok := ctx.(interface {
			AfterFunc(f func()) (stop func() bool)
		})
		require.True(t, ok, "package context looks for this method")
		stopDirect := direct.AfterFunc(count(&stopped))

		assert.True(t, stop())
		assert.False(t, stop(), "stopped already")
		assert.True(t, stopDirect())
		assert.False(t, stopDirect())
		assert.Zero(t, runs.Load())
		end()
		synctest.Wait()
		assert.EqualValues(t, 2, runs.Load())
		assert.Zero(t, stopped.Load())
		assert.False(t, stopRuns(), "it ran")
		assert.False(t, stopDirect())

		late := context.AfterFunc(ctx, count(&runs))
		lateDirect := direct.AfterFunc(count(&runs))
		synctest.Wait()
		assert.EqualValues(t, 4, runs.Load(), "the context has ended, so each ran once, at once")
		assert.False(t, late())
		assert.False(t, lateDirect())
	})
}

// Whichever functions are stopped, and in whichever order, the others run once.
func TestAfterFuncsOfWhichSomeAreStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3, 1}} {
			for stopped := range 1 << len(order) { // a bit for each function
				ctx, end := flightContext(t, t.Context(), &c)
				var runs [4]atomic.Int32
				// Directly, since context.AfterFunc itself keeps a stopped function from running.
				direct, ok := ctx.(interface {
					AfterFunc(f func()) (stop func() bool)
				})
				require.True(t, ok)
				stops := make([]func() bool, len(order))
				for i := range order {
					stops[i] = direct.AfterFunc(func() { runs[i].Add(1) })
				}
				for _, i := range order {
					if stopped>>i&1 == 1 {
						assert.True(t, stops[i]())
					}
				}
				end()
				synctest.Wait()
				for i := range order {
					assert.EqualValues(t, 1-stopped>>i&1, runs[i].Load(), "%d of %04b, %v", i, stopped, order)
				}
			}
		}
	})
}

// AfterFunc and stop race with the end: each function runs or is stopped, and never both.
func TestAfterFuncRacesWithTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		for range 200 {
			ctx, end := flightContext(t, t.Context(), &c)
			var ran, stopped atomic.Int32
			const n = 4
			for range n {
				go func() {
					stop := context.AfterFunc(ctx, func() { ran.Add(1) })
					if stop() {
						stopped.Add(1)
					}
				}()
			}
			end()
			synctest.Wait()
			require.EqualValues(t, n, ran.Load()+stopped.Load())
		}
	})
}

func TestDetach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		ctx, end := flightContext(t, context.WithValue(t.Context(), contextKey{}, "value"), &c)
		detached := courier.Detach(ctx)
		assert.Equal(t, "value", detached.Value(contextKey{}))

		// A call from outside the flight waits for the flight.
		gotten := make(chan outcome, 1)
		go func() {
			v, shared, err := c.Do(detached, "key", value(8))
			gotten <- outcome{value: v, shared: shared, err: err}
		}()
		synctest.Wait()
		end()
		assert.Equal(t, outcome{value: 7, shared: true}, <-gotten)
		assert.Error(t, ctx.Err())
		assert.NoError(t, detached.Err())
		assert.NoError(t, context.Cause(detached))
		lives, cancel := context.WithCancel(detached)
		defer cancel()
		v, _, err := c.Do(lives, "key", value(9))
		assert.NoError(t, err)
		assert.Equal(t, 9, v)
	})
}
