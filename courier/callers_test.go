package courier_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

func TestFirstCallerLeavesOthersStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		gate := make(chan struct{})
		fetch := func(ctx context.Context) (int, error) {
			select {
			case <-gate:
				return 7, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		first, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, _, err := c.Do(first, "key", fetch)
			left <- err
		}()
		synctest.Wait()
		patient := callers(t, &c, 3, "key", 0, fetch)

		leave()
		require.ErrorIs(t, <-left, context.Canceled)
		assert.Equal(t, courier.Stats{Started: 1, Joined: 3, InFlight: 1, Waiting: 3}, c.Stats())

		close(gate)
		for _, o := range patient.wait() {
			assert.Equal(t, outcome{value: 7, shared: true}, o)
		}
		still(t, c.Stats())
	})
}

func TestLastCallerCancelsTheFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		ended := make(chan error, 1)
		h := callers(t, &c, 2, "key", time.Second, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return -1, ctx.Err()
		})
		h.wait()
		assert.Equal(t, context.Canceled, <-ended)
		synctest.Wait()
		assert.Equal(t, courier.Stats{Started: 1, Joined: 1, Late: 1, Deserted: 1, AbandonedTotal: 1},
			c.Stats())
	})
}

// A caller that leaves a flight learns whether others have joined it, also if it has started it.
func TestSharedOfACallerThatLeaves(t *testing.T) {
	type caller func(context.Context, *courier.Courier[string, int]) bool
	hang := func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, nil }
	do := func(ctx context.Context, c *courier.Courier[string, int]) bool {
		_, shared, err := c.Do(ctx, "key", hang)
		assert.ErrorIs(t, err, context.Canceled)
		return shared
	}
	for name, first := range map[string]caller{
		"Do": do,
		"with patience": func(ctx context.Context, c *courier.Courier[string, int]) bool {
			return do(courier.ContextWithPatience(ctx, time.Hour), c)
		},
		"DoMany": func(ctx context.Context, c *courier.Courier[string, int]) bool {
			o := c.DoMany(ctx, []string{"key"},
				func(ctx context.Context, _ []string) ([]courier.Outcome[int], error) {
					<-ctx.Done()
					return nil, nil
				})[0]
			assert.ErrorIs(t, o.Err, context.Canceled)
			return o.Shared
		},
	} {
		for _, joined := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, joined: %t", name, joined), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var c courier.Courier[string, int]
					ctx, leave := context.WithCancel(t.Context())
					shared := make(chan bool, 1)
					go func() { shared <- first(ctx, &c) }()
					synctest.Wait()
					others := &herd{}
					if joined {
						others = callers(t, &c, 1, "key", time.Second, hang)
					}
					leave()
					assert.Equal(t, joined, <-shared)
					others.wait()
				})
			})
		}
	}
}

func TestDeafFunctionDoesNotKeepTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		release := make(chan struct{})
		old := callers(t, &c, 1, "key", time.Second, deaf(release))
		assert.ErrorIs(t, old.one().err, context.DeadlineExceeded)

		gate := make(chan struct{})
		fresh := callers(t, &c, 2, "key", 0, func(context.Context) (int, error) { <-gate; return 7, nil })
		assert.Equal(t, 1, c.Stats().Abandoned)

		close(release) // no caller gets the late result, which does not free the key
		synctest.Wait()
		assert.Equal(t, 0, c.Stats().Abandoned)
		joined := callers(t, &c, 1, "key", 0, value(8))
		close(gate)
		for _, o := range append(fresh.wait(), joined.wait()...) {
			assert.Equal(t, outcome{value: 7, shared: true}, o)
		}
		assert.EqualValues(t, 2, c.Stats().Started)
	})
}

func TestCauseOfTheCallerIsReachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errBoom) })
		_, _, err := c.Do(ctx, "key", func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, nil
		})
		assert.ErrorIs(t, err, context.Canceled)
		assert.ErrorIs(t, err, errBoom)

		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		_, _, err = c.Do(ctx, "key", func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, nil
		})
		assert.Equal(t, context.DeadlineExceeded, err, "the cause adds nothing")
	})
}

func TestEndedContextStartsNothing(t *testing.T) {
	var c courier.Courier[string, int]
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errBoom)
	_, shared, err := c.Do(ctx, "key", func(context.Context) (int, error) {
		t.Error("called")
		return 0, nil
	})
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorIs(t, err, errBoom)
	assert.False(t, shared)
	assert.Zero(t, c.Stats())
}

// oddContext ends when done is closed, with an error that can't be compared.
type oddContext struct {
	context.Context
	done chan struct{}
}

type errorsError []error

func (errorsError) Error() string { return "several" }

func (c oddContext) Done() <-chan struct{} { return c.done }
func (c oddContext) Err() error {
	select {
	case <-c.done:
		return errorsError{errBoom}
	default:
		return nil
	}
}

func TestForeignContextWithUncomparableError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		ctx := oddContext{t.Context(), make(chan struct{})}
		time.AfterFunc(time.Second, func() { close(ctx.done) })
		fetch := func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, nil }
		var list errorsError
		_, _, err := c.Do(ctx, "key", fetch)
		assert.ErrorAs(t, err, &list)
		_, _, err = c.Do(ctx, "key", fetch)
		assert.ErrorAs(t, err, &list)
		synctest.Wait()
		still(t, c.Stats())
	})
}

// A caller whose context ends at the same time as the flight gets the outcome or its context's
// error, and is counted once.
func TestLeavingAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		for range 200 {
			h := callers(t, &c, 4, "key", time.Second, func(context.Context) (int, error) {
				time.Sleep(time.Second)
				return 7, nil
			})
			for _, o := range h.wait() {
				if o.err != nil {
					assert.ErrorIs(t, o.err, context.DeadlineExceeded)
				} else {
					assert.Equal(t, 7, o.value)
				}
			}
			synctest.Wait()
			still(t, c.Stats())
		}
	})
}

// A flight that ends before its goroutine runs does not call its function. On one processor the
// caller leaves first, except after a rare preemption.
func TestNothingRunsForNobody(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var c courier.Courier[string, int]
	done := make(chan struct{})
	close(done)
	var calls atomic.Int32
	for range 1000 {
		_, _, err := c.Do(&leaving{Context: t.Context(), done: done}, "key",
			func(context.Context) (int, error) {
				calls.Add(1)
				return 0, nil
			})
		if err != nil {
			assert.ErrorIs(t, err, context.Canceled)
		}
		runtime.Gosched()
	}
	require.NoError(t, c.Shutdown(t.Context()))
	still(t, c.Stats())
	assert.Less(t, calls.Load(), int32(500))
}

// leaving is a context that has not ended at the first call of Err, and has ended when a caller
// waits for it.
type leaving struct {
	context.Context
	done  chan struct{}
	asked bool
}

func (c *leaving) Done() <-chan struct{} { return c.done }
func (c *leaving) Value(any) any         { return nil }
func (c *leaving) Err() error {
	if !c.asked {
		c.asked = true
		return nil
	}
	return context.Canceled
}

// strange is a context with a closed Done, whose Err returns what err returns, except for the first
// time.
type strange struct {
	context.Context
	done  chan struct{}
	err   func() error
	asked bool
}

func (c *strange) Done() <-chan struct{} { return c.done }
func (c *strange) Err() error {
	if !c.asked {
		c.asked = true
		return nil
	}
	return c.err()
}

// Foreign code is called without a lock, and no caller gets a value that no function returned.
func TestForeignContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		done := make(chan struct{})
		close(done)
		assert.PanicsWithValue(t, "foreign", func() {
			_, _, _ = c.Do(&strange{Context: t.Context(), done: done,
				err: func() error { panic("foreign") }}, "key", sleeps(time.Second))
		})
		time.Sleep(time.Minute)
		works(t, &c, "key")
		_, _, err := c.Do(&strange{Context: t.Context(), done: done, err: func() error { return nil }},
			"key", sleeps(time.Second))
		assert.ErrorIs(t, err, context.Canceled)
		time.Sleep(time.Minute) // its function ends
	})
}
