package courier_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/snowfence/snowfence/courier"
)

// sleeps returns a function that takes d and returns 7.
func sleeps(d time.Duration) fetchFunc {
	return func(context.Context) (int, error) { time.Sleep(d); return 7, nil }
}

func TestMaxConcurrent(t *testing.T) {
	for _, limit := range []int{1, 3} {
		t.Run(strconv.Itoa(limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := courier.New[string, int](courier.WithMaxConcurrent(limit), courier.WithQueueWait(0))
				const flights = 12
				var running, most atomic.Int32
				var mu sync.Mutex
				var order []int
				start := time.Now()
				var wg sync.WaitGroup
				for i := range flights {
					wg.Go(func() {
						_, _, err := c.Do(t.Context(), strconv.Itoa(i), func(context.Context) (int, error) {
							mu.Lock()
							order = append(order, i)
							mu.Unlock()
							most.Store(max(most.Load(), running.Add(1)))
							time.Sleep(time.Second)
							running.Add(-1)
							return 0, nil
						})
						assert.NoError(t, err)
					})
					synctest.Wait()
				}
				assert.Equal(t, flights, c.Stats().InFlight)
				wg.Wait()
				assert.EqualValues(t, limit, most.Load())
				assert.Equal(t, time.Duration(flights/limit)*time.Second, time.Since(start))
				for i, got := range order { // those of one second start together
					assert.Equal(t, i/limit, got/limit, "order %v", order)
				}
				still(t, c.Stats())
			})
		})
	}
}

func TestQueueWait(t *testing.T) {
	for _, tc := range []struct {
		name string
		opts []courier.Option
		want error
		at   time.Duration
	}{
		{"given", []courier.Option{courier.WithQueueWait(2 * time.Second)}, courier.ErrOverloaded,
			2 * time.Second},
		{"default", nil, courier.ErrOverloaded, courier.DefaultQueueWait},
		{"none", []courier.Option{courier.WithQueueWait(0)}, nil, 20 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := courier.New[string, int](append(tc.opts, courier.WithMaxConcurrent(1))...)
				holder := callers(t, c, 1, "holder", 0, sleeps(20*time.Second))
				h := callers(t, c, 2, "key", 0, value(7))
				for _, o := range h.wait() {
					assert.ErrorIs(t, o.err, tc.want)
					assert.Equal(t, tc.at, o.after)
				}
				synctest.Wait()
				if tc.want != nil {
					assert.Equal(t, courier.Stats{Started: 2, Joined: 1, Overloads: 1, AbandonedTotal: 0,
						InFlight: 1, Waiting: 1}, c.Stats())
				}
				holder.wait()
				works(t, c, "key")
				still(t, c.Stats())
			})
		})
	}
}

func TestTimeoutCountsTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1), courier.WithTimeout(3*time.Second))
		callers(t, c, 1, "holder", 0, sleeps(time.Second*5/2))
		time.Sleep(time.Second)
		queued := callers(t, c, 1, "key", 0, sleeps(time.Second*5/2)) // runs from 2.5 s
		o := queued.one()
		assert.ErrorIs(t, o.err, courier.ErrTimeout)
		assert.Equal(t, 3*time.Second, o.after)
		time.Sleep(time.Minute)
		synctest.Wait()
		still(t, c.Stats())
	})
}

func TestQueuedFlightIsDeserted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1))
		holder := callers(t, c, 1, "holder", 0, sleeps(5*time.Second))
		queued := callers(t, c, 2, "key", time.Second, func(context.Context) (int, error) {
			t.Error("called")
			return 0, nil
		})
		next := callers(t, c, 1, "next", 0, value(8))
		for _, o := range queued.wait() {
			assert.ErrorIs(t, o.err, context.DeadlineExceeded)
		}
		assert.NoError(t, holder.one().err)
		assert.Equal(t, outcome{value: 8, after: 5 * time.Second}, next.one())
		synctest.Wait()
		still(t, c.Stats())
	})
}

// A flight that gets its turn at the same time as its time-out gives it back.
func TestHolderAndQueuedTimeOutTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1), courier.WithTimeout(time.Second))
		for range 100 {
			holder := callers(t, c, 1, "holder", 0, sleeps(time.Minute))
			queued := callers(t, c, 1, "queued", 0, sleeps(time.Minute))
			assert.ErrorIs(t, holder.one().err, courier.ErrTimeout)
			assert.ErrorIs(t, queued.one().err, courier.ErrTimeout)
			works(t, c, "key")
			time.Sleep(time.Hour)
			still(t, c.Stats())
		}
	})
}

// A few stuck functions must not stop all keys.
func TestFlightThatIsOverHasNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1), courier.WithTimeout(time.Second))
		release := make(chan struct{})
		stuck := callers(t, c, 1, "stuck", 0, deaf(release))
		assert.ErrorIs(t, stuck.one().err, courier.ErrTimeout)
		works(t, c, "key")
		close(release) // it had no turn to give back
		synctest.Wait()
		a := callers(t, c, 1, "a", 0, sleeps(time.Second/2))
		b := callers(t, c, 1, "b", 0, value(8))
		assert.Equal(t, time.Second/2, a.one().after)
		assert.Equal(t, time.Second/2, b.one().after, "still one function at a time")
	})
}

func TestNestedCallsLendTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[int, int](courier.WithMaxConcurrent(1), courier.WithTimeout(0))
		var running, most atomic.Int32
		var fib func(ctx context.Context, n int) (int, error)
		fib = func(ctx context.Context, n int) (int, error) {
			v, _, err := c.Do(ctx, n, func(ctx context.Context) (int, error) {
				work := func() {
					most.Store(max(most.Load(), running.Add(1)))
					time.Sleep(time.Second)
					running.Add(-1)
				}
				work()
				if n < 2 {
					return n, nil
				}
				a, err := fib(ctx, n-1)
				if err != nil {
					return 0, err
				}
				work()
				b, err := fib(ctx, n-2)
				work()
				return a + b, err
			})
			return v, err
		}
		v, err := fib(t.Context(), 6)
		assert.NoError(t, err)
		assert.Equal(t, 8, v)
		assert.EqualValues(t, 1, most.Load(), "never two functions at a time")
		assert.Zero(t, c.Stats().InFlight)
	})
}

func TestNestedCallJoinsAQueuedFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1))
		outer := callers(t, c, 1, "outer", 0, func(ctx context.Context) (int, error) {
			time.Sleep(time.Second)
			v, shared, err := c.Do(ctx, "inner", nil)
			assert.True(t, shared)
			return v, err
		})
		inner := callers(t, c, 1, "inner", 0, sleeps(time.Second))
		assert.Equal(t, outcome{value: 7, after: 2 * time.Second}, outer.one())
		assert.Equal(t, outcome{value: 7, shared: true, after: 2 * time.Second}, inner.one())
	})
}

func TestTwoLimitedCouriers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := courier.New[string, int](courier.WithMaxConcurrent(1))
		two := courier.New[int, int](courier.WithMaxConcurrent(1))
		v, _, err := one.Do(t.Context(), "a", func(ctx context.Context) (int, error) {
			v, _, err := two.Do(ctx, 1, func(ctx context.Context) (int, error) {
				v, _, err := one.Do(ctx, "b", func(ctx context.Context) (int, error) {
					v, _, err := two.Do(ctx, 2, value(7))
					return v, err
				})
				return v, err
			})
			return v, err
		})
		assert.NoError(t, err)
		assert.Equal(t, 7, v)
	})
}

// A flight must get its lent turn back before the function goes on, and two goroutines of one
// flight must not queue for two turns.
func TestTwoGoroutinesOfAFlightComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1))
		free := courier.New[string, int]()
		outer := callers(t, c, 1, "outer", 0, func(ctx context.Context) (int, error) {
			back := make(chan struct{})
			courier.Go(ctx, func(ctx context.Context) error {
				defer close(back)
				time.Sleep(3 * time.Second / 2) // while the function is in the queue
				_, _, err := free.Do(ctx, "free", value(1))
				return err
			})
			_, _, err := c.Do(ctx, "inner", sleeps(time.Second))
			<-back
			return 7, err
		})
		next := callers(t, c, 1, "next", 0, sleeps(time.Second))
		assert.Equal(t, outcome{value: 7, after: 2 * time.Second}, outer.one())
		assert.Equal(t, outcome{value: 7, after: 2 * time.Second}, next.one())
		a := callers(t, c, 1, "a", 0, sleeps(time.Second))
		b := callers(t, c, 1, "b", 0, sleeps(time.Second))
		assert.Equal(t, time.Second, a.one().after)
		assert.Equal(t, 2*time.Second, b.one().after, "one turn was given back, not two")
	})
}

// The same if one of them has made another nested call meanwhile.
func TestFlightThatWaitsAgainLeavesItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1))
		outer := callers(t, c, 1, "outer", 0, func(ctx context.Context) (int, error) {
			courier.Go(ctx, func(ctx context.Context) error {
				time.Sleep(3 * time.Second / 2)
				_, _, err := c.Do(ctx, "second", sleeps(time.Second))
				return err
			})
			_, _, err := c.Do(ctx, "first", sleeps(time.Second))
			time.Sleep(5 * time.Second)
			return 7, err
		})
		next := callers(t, c, 1, "next", 0, sleeps(time.Second)) // from 1 s to 2 s
		assert.Equal(t, 2*time.Second, next.one().after)
		// The function goes on at 2 s, since its child waits; "second" runs
		// until 3 s, and the turn comes back.
		time.Sleep(3 * time.Second / 2)
		last := callers(t, c, 1, "last", 0, value(8))
		assert.Equal(t, 7*time.Second, outer.one().after)
		assert.Equal(t, 7*time.Second/2, last.one().after)
		still(t, c.Stats())
	})
}

func TestTurnThatDoesNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1), courier.WithQueueWait(3*time.Second))
		release := make(chan struct{})
		outer := callers(t, c, 1, "outer", 0, func(ctx context.Context) (int, error) {
			v, _, err := c.Do(ctx, "inner", sleeps(time.Second))
			assert.Error(t, ctx.Err(), "the flight is over")
			assert.NoError(t, err)
			return v, err
		})
		hang := callers(t, c, 1, "hang", 0, deaf(release)) // has the turn from 1 s on
		o := outer.one()
		assert.ErrorIs(t, o.err, courier.ErrOverloaded)
		assert.Equal(t, 4*time.Second, o.after)
		synctest.Wait()
		assert.EqualValues(t, 1, c.Stats().Overloads)
		assert.Equal(t, 1, c.Stats().InFlight)
		close(release)
		hang.wait()
		works(t, c, "outer")
		still(t, c.Stats())
	})
}

// A flight that ends while it waits for its turn to come back leaves the queue.
func TestFlightEndsWhileItsTurnIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1), courier.WithQueueWait(0))
		outer := callers(t, c, 1, "outer", 2*time.Second, func(ctx context.Context) (int, error) {
			v, _, err := c.Do(ctx, "inner", sleeps(time.Second))
			return v, err
		})
		hold := callers(t, c, 1, "hold", 0, sleeps(3*time.Second)) // from 1 s to 4 s
		last := callers(t, c, 1, "last", 0, value(8))
		assert.ErrorIs(t, outer.one().err, context.DeadlineExceeded)
		synctest.Wait()
		assert.Zero(t, c.Stats().Abandoned)
		assert.Equal(t, 4*time.Second, hold.one().after)
		assert.Equal(t, 4*time.Second, last.one().after)
		works(t, c, "outer")
		still(t, c.Stats())
	})
}
