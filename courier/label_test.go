package courier_test

import (
	"context"
	"errors"
	"runtime/pprof"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// The labels of the first caller bring nothing else of its context along: neither its end nor, in
// front of what the tracer has set, its values.
func TestLabelsHideNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log spanLog
		c := courier.New[string, int](courier.WithTracer(&log), courier.WithKeyText(keyText))
		ctx, cancel := context.WithCancelCause(named(t, "first"))
		ctx = pprof.WithLabels(ctx, pprof.Labels("mine", "yes"))
		stay, release := make(chan struct{}), make(chan struct{})
		done := make(chan error, 2)
		go func() {
			_, _, err := c.Do(ctx, "a", func(ctx context.Context) (int, error) {
				close(stay)
				<-release
				assert.NoError(t, context.Cause(ctx))
				assert.Equal(t, "in flight", ctx.Value(callerName{}))
				mine, _ := pprof.Label(ctx, "mine")
				assert.Equal(t, "yes", mine)
				return 1, nil
			})
			done <- err
		}()
		<-stay
		go func() {
			_, _, err := c.Do(t.Context(), "a", nil)
			done <- err
		}()
		synctest.Wait()
		cancel(errors.New("the first caller has gone"))
		assert.Error(t, <-done)
		close(release)
		assert.NoError(t, <-done)
	})
}

// A flight inside another one does not bear the label of the other's key.
func TestLabelOfTheKeyIsNotInherited(t *testing.T) {
	outer := courier.New[string, int](courier.WithName("outer"), courier.WithKeyText(keyText))
	inner := courier.New[string, int](courier.WithName("inner"))
	ctx := pprof.WithLabels(t.Context(), pprof.Labels("mine", "yes"))
	_, _, err := outer.Do(ctx, "secret", func(ctx context.Context) (int, error) {
		v, _, err := inner.Do(ctx, "other", func(ctx context.Context) (int, error) {
			key, ok := pprof.Label(ctx, "key")
			assert.False(t, ok, key)
			mine, _ := pprof.Label(ctx, "mine")
			assert.Equal(t, "yes", mine)
			return 1, nil
		})
		return v, err
	})
	assert.NoError(t, err)
}

// A caller's own label "key" is one of the labels that the function inherits.
func TestOwnLabelNamedKey(t *testing.T) {
	var c courier.Courier[string, int]
	ctx := pprof.WithLabels(t.Context(), pprof.Labels("key", "mine"))
	_, _, err := c.Do(ctx, "a", func(ctx context.Context) (int, error) {
		key, _ := pprof.Label(ctx, "key")
		assert.Equal(t, "mine", key)
		return 1, nil
	})
	assert.NoError(t, err)
}

// The goroutine of a nested flight that waits for its turn is not taken for one of the flight
// around it.
func TestQueuedFlightHasItsOwnLabel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer := courier.New[string, int]()
		inner := courier.New[string, int](courier.WithMaxConcurrent(1), courier.WithQueueWait(0),
			courier.WithTimeout(0))
		release := make(chan struct{})
		busy := goDo(inner, "busy", func(context.Context) (int, error) { <-release; return 1, nil })
		synctest.Wait()
		done := goDo(outer, "a", func(ctx context.Context) (int, error) {
			go func() { _, _, _ = inner.Do(ctx, "b", func(context.Context) (int, error) { return 1, nil }) }()
			return silentQuery(release), nil
		})
		var e *courier.TimeoutError
		require.ErrorAs(t, <-done, &e)
		assert.NotContains(t, string(e.Stack), "acquire")
		assert.Contains(t, e.Error(), "silentQuery")
		close(release)
		assert.NoError(t, <-busy)
		synctest.Wait()
	})
}

// A deep recursion, of which a profile has only the innermost calls, is found nevertheless.
func TestStackOfADeepRecursion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		release := make(chan struct{})
		done := goDo(&c, "a", func(context.Context) (int, error) { return deep(200, release), nil })
		var e *courier.TimeoutError
		require.ErrorAs(t, <-done, &e)
		assert.Regexp(t, `: in courier_test.silentQuery \(`, e.Error())
		close(release)
		synctest.Wait()
	})
}

//go:noinline
func deep(n int, ch <-chan struct{}) int {
	if n == 0 {
		return silentQuery(ch)
	}
	return deep(n-1, ch) + 1
}

// A tracer that sets labels, as profilers do, adds to those of the flight.
func TestTracerThatLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithTracer(labeller{}))
		release := make(chan struct{})
		done := goDo(c, "a", func(ctx context.Context) (int, error) {
			span, _ := pprof.Label(ctx, "span")
			assert.Equal(t, "7", span)
			return silentQuery(release), nil
		})
		var e *courier.TimeoutError
		require.ErrorAs(t, <-done, &e)
		assert.Contains(t, e.Error(), "silentQuery")
		close(release)
		synctest.Wait()
	})
}

type labeller struct{}

func (labeller) Start(
	ctx context.Context, _ courier.TracedFlight,
) (context.Context, courier.Span) {
	ctx = pprof.WithLabels(ctx, pprof.Labels("span", "7"))
	pprof.SetGoroutineLabels(ctx)
	return ctx, labeller{}
}
func (labeller) Joined(context.Context) {}
func (labeller) End(courier.TracedEnd)  {}

// goDo calls Do in a goroutine of its own, and returns a channel that gets the error.
func goDo(
	c *courier.Courier[string, int], key string, fetch func(context.Context) (int, error),
) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, _, err := c.Do(context.Background(), key, fetch)
		done <- err
	}()
	return done
}
