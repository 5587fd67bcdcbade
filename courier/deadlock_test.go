package courier_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// asks returns a function that fetches another key and returns its outcome.
func asks[K comparable](c *courier.Courier[K, int], key K, fetch fetchFunc) fetchFunc {
	return func(ctx context.Context) (int, error) {
		v, _, err := c.Do(ctx, key, fetch)
		return v, err
	}
}

func cycleOf(t *testing.T, err error) []any {
	t.Helper()
	require.ErrorIs(t, err, courier.ErrDeadlock)
	var d *courier.DeadlockError
	require.ErrorAs(t, err, &d)
	return d.Cycle
}

func TestDeadlockWithItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		o := callers(t, &c, 2, "a", 0, asks(&c, "a", nil)).one()
		assert.Equal(t, []any{"a", "a"}, cycleOf(t, o.err))
		assert.EqualError(t, o.err, "courier: deadlock: a → a")
		assert.Zero(t, o.after)
		synctest.Wait()
		assert.GreaterOrEqual(t, c.Stats().Deadlocks, uint64(1))
		works(t, &c, "a")
		still(t, c.Stats())
	})
}

func TestDeadlockInARing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		o := callers(t, &c, 1, "a", 0, asks(&c, "b", asks(&c, "a", nil))).one()
		assert.EqualError(t, o.err, "courier: deadlock: a → b → a")

		o = callers(t, &c, 1, "a", 0, asks(&c, "b", asks(&c, "c", asks(&c, "a", nil)))).one()
		assert.Equal(t, []any{"a", "b", "c", "a"}, cycleOf(t, o.err))

		// The cycle need not begin where the chain does.
		o = callers(t, &c, 1, "a", 0, asks(&c, "b", asks(&c, "c", asks(&c, "b", nil)))).one()
		assert.Equal(t, []any{"b", "c", "b"}, cycleOf(t, o.err))
		assert.Zero(t, o.after)
		assert.EqualValues(t, 3, c.Stats().Deadlocks)
		still(t, c.Stats())
	})
}

// The function that gets the error may still return a value.
func TestDeadlockIsSurvived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		o := callers(t, &c, 1, "a", 0, func(ctx context.Context) (int, error) {
			_, _, err := c.Do(ctx, "a", nil)
			assert.ErrorIs(t, err, courier.ErrDeadlock)
			assert.NoError(t, ctx.Err(), "the flight goes on")
			return 7, nil
		}).one()
		assert.NoError(t, o.err)
		assert.Equal(t, 7, o.value)
		assert.Equal(t, 0, c.Stats().Waiting)

		// The call that got the error does not wait: the flight is cancelled
		// when its caller leaves.
		o = callers(t, &c, 1, "a", time.Second, func(ctx context.Context) (int, error) {
			_, _, err := c.Do(ctx, "a", nil)
			assert.ErrorIs(t, err, courier.ErrDeadlock)
			assert.Equal(t, 1, c.Stats().Waiting)
			<-ctx.Done()
			return 0, ctx.Err()
		}).one()
		assert.ErrorIs(t, o.err, context.DeadlineExceeded)
		synctest.Wait()
		assert.EqualValues(t, 1, c.Stats().Deserted)
		still(t, c.Stats())
	})
}

func TestDeadlockOfTwoCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		goA, goB := make(chan struct{}), make(chan struct{})
		a := callers(t, &c, 3, "a", 0, func(ctx context.Context) (int, error) {
			<-goA
			return asks(&c, "b", nil)(ctx)
		})
		b := callers(t, &c, 3, "b", 0, func(ctx context.Context) (int, error) {
			<-goB
			_, err := asks(&c, "a", nil)(ctx)
			assert.Equal(t, []any{"a", "b", "a"}, cycleOf(t, err))
			return 7, nil
		})
		close(goA)
		synctest.Wait() // a waits for b
		close(goB)
		for _, o := range append(a.wait(), b.wait()...) {
			assert.NoError(t, o.err)
			assert.Equal(t, 7, o.value)
			assert.Zero(t, o.after)
		}
		assert.EqualValues(t, 1, c.Stats().Deadlocks)
		still(t, c.Stats())
	})
}

// If two concurrent calls would close the cycle, one gets the error.
func TestDeadlockRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		for i := range uint64(100) {
			gate := make(chan struct{})
			crosswise := func(key string) fetchFunc {
				return func(ctx context.Context) (int, error) {
					<-gate
					if _, err := asks(&c, key, nil)(ctx); err != nil {
						assert.ErrorIs(t, err, courier.ErrDeadlock)
					}
					return 7, nil
				}
			}
			a := callers(t, &c, 1, "a", 0, crosswise("b"))
			b := callers(t, &c, 1, "b", 0, crosswise("a"))
			close(gate)
			assert.Equal(t, 7, a.one().value)
			assert.Equal(t, 7, b.one().value)
			require.Equal(t, i+1, c.Stats().Deadlocks)
		}
	})
}

func TestDeadlockThroughAChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		o := callers(t, &c, 1, "a", 0, func(ctx context.Context) (int, error) {
			courier.Go(ctx, func(ctx context.Context) error {
				ctx, cancel := context.WithTimeout(ctx, time.Hour) // a derived context works, too
				defer cancel()
				_, err := asks(&c, "b", asks(&c, "a", nil))(ctx)
				return err
			})
			<-ctx.Done() // the child's failure ends the flight
			return 0, nil
		}).one()
		assert.Equal(t, []any{"a", "b", "a"}, cycleOf(t, o.err))
		assert.Zero(t, o.after)
		synctest.Wait()
		still(t, c.Stats())
	})
}

func TestDeadlockAcrossCouriers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var names courier.Courier[string, int]
		var numbers courier.Courier[int, int]
		o := callers(t, &names, 1, "a", 0, asks(&numbers, 7, asks(&names, "a", nil))).one()
		assert.EqualError(t, o.err, "courier: deadlock: a → 7 → a")
		assert.Equal(t, []any{"a", 7, "a"}, cycleOf(t, o.err))
		assert.EqualValues(t, 1, names.Stats().Deadlocks)
		assert.Zero(t, numbers.Stats().Deadlocks)
	})
}

func TestNoDeadlockInADiamond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		slow := sleeps(time.Second)
		top := callers(t, &c, 1, "top", 0, func(ctx context.Context) (int, error) {
			got := make(chan int)
			for _, key := range []string{"left", "right"} {
				courier.Go(ctx, func(ctx context.Context) error {
					v, err := asks(&c, key, asks(&c, "bottom", slow))(ctx)
					got <- v
					return err
				})
			}
			return <-got + <-got, nil
		})
		assert.Equal(t, outcome{value: 14, after: time.Second}, top.one())
		synctest.Wait()
		s := c.Stats()
		still(t, s)
		assert.EqualValues(t, 4, s.Started)
		assert.Zero(t, s.Deadlocks)
	})
}

func TestNoDeadlockInSequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		slow := sleeps(time.Second)
		o := callers(t, &c, 1, "a", 0, func(ctx context.Context) (int, error) {
			for _, fetch := range []fetchFunc{
				asks(&c, "b", slow),
				asks(&c, "c", asks(&c, "b", slow)), // no call waits for b any more
				asks(&c, "b", asks(&c, "c", slow)),
			} {
				if v, err := fetch(ctx); err != nil || v != 7 {
					return v, err
				}
			}
			return 7, nil
		}).one()
		assert.Equal(t, outcome{value: 7, after: 3 * time.Second}, o)
		assert.Zero(t, c.Stats().Deadlocks)
	})
}

// A call that was given up is no edge of the graph, even while its flight waits for its turn to go
// on.
func TestNoDeadlockWithOneWhoLeft(t *testing.T) {
	for name, opts := range map[string][]courier.Option{
		"no limit":      nil,
		"one at a time": {courier.WithMaxConcurrent(1)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := courier.New[string, int](opts...)
				a := callers(t, c, 1, "a", 0, func(ctx context.Context) (int, error) {
					time.Sleep(time.Nanosecond) // until b is under way
					short, cancel := context.WithTimeout(ctx, time.Second)
					defer cancel()
					_, _, err := c.Do(short, "b", nil)
					assert.ErrorIs(t, err, context.DeadlineExceeded)
					time.Sleep(2 * time.Second)
					return 7, nil
				})
				b := callers(t, c, 1, "b", 0, func(ctx context.Context) (int, error) {
					time.Sleep(2 * time.Second)
					return asks(c, "a", nil)(ctx)
				})
				assert.NoError(t, a.one().err)
				assert.NoError(t, b.one().err)
				assert.Equal(t, 7, b.one().value)
				assert.Zero(t, c.Stats().Deadlocks)
			})
		})
	}
}

// A flight that is over waits for nothing, though its function may be stuck in
// a nested call.
func TestNoDeadlockWithAnEndedFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		a := callers(t, &c, 1, "a", time.Second, func(ctx context.Context) (int, error) {
			time.Sleep(time.Nanosecond)                           // until b is under way
			return asks(&c, "b", nil)(context.WithoutCancel(ctx)) // ignores ctx, still in the flight
		})
		b := callers(t, &c, 1, "b", 0, func(ctx context.Context) (int, error) {
			time.Sleep(2 * time.Second)
			return asks(&c, "a", value(7))(ctx) // a fresh flight
		})
		assert.ErrorIs(t, a.one().err, context.DeadlineExceeded)
		assert.Equal(t, outcome{value: 7, shared: true, after: 2 * time.Second}, b.one())
		synctest.Wait()
		still(t, c.Stats())
	})
}

// Callers that were woken, but did not run yet, do not count as waiting either. On one processor
// they do not run before the call, except after a rare preemption.
func TestNoDeadlockWithOneWhoWasTold(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		var c, closed courier.Courier[string, int]
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		goB := make(chan struct{})
		b := callers(t, &c, 1, "b", 0, func(ctx context.Context) (int, error) {
			<-goB
			// It ends "middle", for which "a" waits, and does not block.
			assert.Error(t, closed.Shutdown(ended))
			return asks(&c, "a", nil)(ctx)
		})
		a := callers(t, &c, 1, "a", 0, func(ctx context.Context) (int, error) {
			_, err := asks(&closed, "middle", func(ctx context.Context) (int, error) {
				return asks(&c, "b", nil)(context.WithoutCancel(ctx))
			})(ctx)
			assert.ErrorIs(t, err, courier.ErrClosed)
			return 7, nil
		})
		close(goB)
		assert.Equal(t, 7, a.one().value)
		assert.Equal(t, 7, b.one().value)
	})
}

// Work that is started and not waited for is no edge of the graph.
func TestNoDeadlockWithDetachedWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		refreshed := make(chan error, 1)
		a := callers(t, &c, 1, "a", 0, func(ctx context.Context) (int, error) {
			go func() {
				_, err := asks(&c, "b", asks(&c, "a", nil))(courier.Detach(ctx))
				refreshed <- err
			}()
			time.Sleep(time.Second)
			return 7, nil
		})
		assert.Equal(t, outcome{value: 7, shared: true, after: time.Second}, a.one())
		assert.NoError(t, <-refreshed)
		assert.Zero(t, c.Stats().Deadlocks)
	})
}
