package courier_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// The function of a batch takes one turn.
func TestDoManyTakesOneTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(2))
		h := many(t, t.Context(), c, keysNamed(10), lengthsAfter(time.Second))
		other := callers(t, c, 1, "other", 0, sleeps(time.Second))
		third := many(t, t.Context(), c, []string{"x", "y"}, lengthsAfter(time.Second))
		assert.Equal(t, time.Second, other.one().after)
		h.wait()
		assert.Equal(t, time.Second, h.after)
		third.wait()
		assert.Equal(t, 2*time.Second, third.after)
		atRest(t, c)
	})
}

// A batch that does not get its turn is an error for each of its keys.
func TestDoManyWaitsForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1), courier.WithQueueWait(time.Second))
		callers(t, c, 1, "holder", 0, sleeps(5*time.Second))
		h := many(t, t.Context(), c, []string{"a", "b"}, nil)
		joined := callers(t, c, 1, "b", 0, nil)
		got := h.wait()
		overloaded(t, got[0].Err, "a", courier.QueueWait)
		overloaded(t, got[1].Err, "b", courier.QueueWait)
		overloaded(t, joined.one().err, "b", courier.QueueWait)
		assert.EqualValues(t, 2, c.Stats().Overloads)

		// The same for a batch whose callers leave, or that is shut down, while it waits.
		h = many(t, within(t, time.Second/2), c, []string{"a", "b"}, nil)
		assert.Equal(t, context.DeadlineExceeded, h.wait()[0].Err)
		h = many(t, t.Context(), c, []string{"a", "b"}, nil)
		assert.NoError(t, c.Shutdown(t.Context()))
		assert.Equal(t, courier.ErrClosed, h.wait()[1].Err)
		atRest(t, c)
	})
}

// The same for a batch that has lent its turn.
func TestDoManyWaitsToGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1), courier.WithQueueWait(2*time.Second))
		h := many(t, t.Context(), c, []string{"a", "b"},
			func(ctx context.Context, missing []string) (outcomes, error) {
				_, _, _ = c.Do(ctx, "inner", sleeps(time.Second))
				assert.Error(t, ctx.Err())
				return lengths(ctx, missing)
			})
		callers(t, c, 1, "thief", 0, sleeps(5*time.Second))
		got := h.wait()
		assert.Equal(t, 3*time.Second, h.after)
		overloaded(t, got[0].Err, "a", courier.QueueWait)
		overloaded(t, got[1].Err, "b", courier.QueueWait)
		time.Sleep(time.Minute)
		atRest(t, c)
	})
}

// A nested call lends the turn of the flight that it is made in, once.
func TestDoManyNested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1))
		outer := func(ctx context.Context, missing []string) (outcomes, error) {
			inner := c.DoMany(ctx, []string{"x", "yy", "x"},
				func(ctx context.Context, missing []string) (outcomes, error) {
					v, _, err := c.Do(ctx, "deep", sleeps(time.Second))
					assert.NoError(t, err)
					assert.Equal(t, 7, v)
					return lengthsAfter(time.Second)(ctx, missing)
				})
			assert.Equal(t, outcomes{{Value: 1}, {Value: 2}, {Value: 1}}, inner)
			assert.Empty(t, c.DoMany(ctx, nil, nil))
			return lengthsAfter(time.Second)(ctx, missing)
		}
		h := many(t, t.Context(), c, []string{"a", "b"}, outer)
		assert.Equal(t, outcomes{{Value: 1}, {Value: 1}}, h.wait())
		assert.Equal(t, 3*time.Second, h.after)
		atRest(t, c)
	})
}

// WithMaxWaiting counts a caller once, WithMaxWaitingPerKey for each key.
func TestDoManyAndTheLimitsOfCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxWaiting(3), courier.WithMaxWaitingPerKey(2))
		h := many(t, t.Context(), c, []string{"a", "b", "c"}, lengthsAfter(time.Second))
		callers(t, c, 1, "a", 0, nil)
		assert.Equal(t, 2, c.Stats().Waiting)

		got := c.DoMany(within(t, time.Second/2), []string{"a", "b", "x"}, lengths)
		overloaded(t, got[0].Err, "a", courier.KeyWaiting)
		assert.Equal(t, context.DeadlineExceeded, got[1].Err)
		assert.Equal(t, 1, got[2].Value, "the other keys are not affected")
		assert.Equal(t, 2, c.Stats().Waiting)

		callers(t, c, 1, "other", 0, sleeps(time.Second))
		for i, o := range c.DoMany(t.Context(), []string{"c", "y"}, nil) {
			overloaded(t, o.Err, []string{"c", "y"}[i], courier.Waiting)
		}
		assert.EqualValues(t, 3, c.Stats().Overloads)
		overloaded(t, refusal(t, c, "y"), "y", courier.Waiting)

		// Low priority is not refused.
		low := many(t, courier.ContextWithLowPriority(t.Context()), c, []string{"a", "y"}, lengths)
		assert.Equal(t, outcomes{{Value: 1, Shared: true}, {Value: 1}}, low.wait())
		h.wait()
		time.Sleep(time.Second)
		atRest(t, c)

		// A caller without a flight to wait for does not count.
		for range 2 {
			callers(t, c, 1, "full", 0, sleeps(time.Second))
		}
		got = c.DoMany(t.Context(), []string{"full"}, nil)
		overloaded(t, got[0].Err, "full", courier.KeyWaiting)
		assert.Equal(t, 2, c.Stats().Waiting)
		callers(t, c, 1, "x", 0, value(1))
		time.Sleep(time.Second)
		atRest(t, c)
	})
}

// A stuck batch counts once in all and once for each of its keys, until it ends or the key works.
func TestDoManyThatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxAbandoned(2, 3), courier.WithTimeout(time.Second))
		release := make(chan struct{})
		keys := []string{"a", "b", "c"}
		for range 2 {
			for _, o := range c.DoMany(t.Context(), keys, whole(deaf(release))) {
				assert.ErrorIs(t, o.Err, courier.ErrTimeout)
			}
		}
		assert.Equal(t, 2, c.Stats().Abandoned)
		overloaded(t, refusal(t, c, "a"), "a", courier.KeyStuck)
		got := c.DoMany(t.Context(), []string{"b", "x", "c"},
			func(ctx context.Context, missing []string) (outcomes, error) {
				assert.Equal(t, []string{"x"}, missing)
				return lengths(ctx, missing)
			})
		overloaded(t, got[0].Err, "b", courier.KeyStuck)
		overloaded(t, got[2].Err, "c", courier.KeyStuck)
		assert.Equal(t, 1, got[1].Value)
		assert.EqualValues(t, 3, c.Stats().Overloads)

		// The third reaches the total bound; then one batch may try, for all of its keys.
		c.DoMany(t.Context(), []string{"d", "e"}, whole(deaf(release)))
		for i, o := range c.DoMany(t.Context(), []string{"x", "y"}, nil) {
			overloaded(t, o.Err, []string{"x", "y"}[i], courier.Stuck)
		}
		time.Sleep(time.Second)
		assert.Equal(t, outcomes{{Value: 1}, {Value: 1}, {Value: 1}},
			c.DoMany(t.Context(), []string{"x", "y", "b"}, lengths))
		assert.Equal(t, outcomes{{Value: 1}, {Value: 1}},
			c.DoMany(t.Context(), []string{"x", "b"}, lengths))
		close(release)
		synctest.Wait()
		works(t, c, "a")
		works(t, c, "c")
		atRest(t, c)
	})
}

// A key that its caller has left counts as stuck while the function runs on for others.
func TestDoManyKeyThatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxAbandoned(1, 10))
		h := many(t, within(t, time.Second), c, []string{"a", "b"}, lengthsAfter(3*time.Second))
		stays := callers(t, c, 1, "b", 0, nil)
		h.wait()
		overloaded(t, refusal(t, c, "a"), "a", courier.KeyStuck)
		assert.Zero(t, c.Stats().Abandoned, "the function still has waiters")
		assert.Equal(t, 1, stays.one().value)
		works(t, c, "a")
		atRest(t, c)
	})
}

// Functions that return while their children hang have not shown that their keys work.
func TestDoManyWithAHangingChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxAbandoned(2, 100))
		release := make(chan struct{})
		fetch := func(ctx context.Context, missing []string) (outcomes, error) {
			courier.Go(ctx, func(context.Context) error { <-release; return nil })
			return lengths(ctx, missing)
		}
		for range 2 {
			assert.Equal(t, outcomes{{Value: 1}, {Value: 1}},
				c.DoMany(t.Context(), []string{"a", "b"}, fetch))
		}
		assert.Equal(t, 2, c.Stats().Abandoned)
		overloaded(t, refusal(t, c, "a"), "a", courier.KeyStuck)
		overloaded(t, refusal(t, c, "b"), "b", courier.KeyStuck)
		close(release)
		synctest.Wait()
		works(t, c, "a")
		atRest(t, c)

		// A child that is started after all callers have left counts separately.
		var kept context.Context
		c.DoMany(t.Context(), []string{"a", "b"},
			func(ctx context.Context, missing []string) (outcomes, error) {
				kept = ctx //nolint:fatcontext // kept on purpose
				return lengths(ctx, missing)
			})
		late := make(chan struct{})
		courier.Go(kept, func(context.Context) error { <-late; return nil })
		assert.Equal(t, 1, c.Stats().Abandoned)
		var left *courier.ShutdownError
		assert.ErrorAs(t, c.Shutdown(within(t, time.Second)), &left)
		close(late)
		assert.NoError(t, c.Shutdown(t.Context()))
		atRest(t, c)
	})
}

// A batch with low priority yields to others, until an ordinary caller joins one of its keys.
func TestDoManyWithLowPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1),
			courier.WithBackoff(time.Hour, time.Hour))
		low := courier.ContextWithLowPriority(t.Context())
		var order []string
		fetch := func(_ context.Context, missing []string) (outcomes, error) {
			order = append(order, missing...)
			time.Sleep(time.Second)
			return nil, errBoom
		}
		callers(t, c, 1, "holder", 0, sleeps(time.Second))
		first := many(t, low, c, []string{"a", "b"}, fetch)
		second := many(t, low, c, []string{"c", "d"}, fetch)
		many(t, t.Context(), c, []string{"e"}, fetch)
		for range 2 {
			callers(t, c, 1, "d", 0, nil)
		}
		many(t, t.Context(), c, []string{"f"}, fetch)
		assert.Equal(t, 5, c.Stats().Waiting)
		first.wait()
		second.wait()
		assert.Equal(t, []string{"e", "c", "d", "f", "a", "b"}, order)
		works(t, c, "a")
		works(t, c, "c")
		works(t, c, "d") // an ordinary caller has joined the flight, but not started it
		atRest(t, c)

		c = courier.New[string, int](courier.WithBackoff(time.Hour, time.Hour))
		h := many(t, low, c, []string{"a", "b"}, fetch)
		callers(t, c, 1, "b", 0, nil)
		h.wait()
		works(t, c, "a")
		works(t, c, "b")
		atRest(t, c)
	})
}

// WithMaxBatch splits the keys that are to be fetched, and a part that fails leaves the others
// alone.
func TestMaxBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[int, int](courier.WithMaxBatch(2), courier.WithMaxConcurrent(2))
		release := make(chan struct{})
		go func() {
			_, _, _ = c.Do(context.Background(), 1, func(context.Context) (int, error) {
				<-release
				return 100, nil
			})
		}()
		synctest.Wait()
		var mu sync.Mutex
		var batches [][]int
		time.AfterFunc(10*time.Second, func() { close(release) })
		start := time.Now()
		got := c.DoMany(t.Context(), []int{0, 1, 2, 3, 4, 5},
			func(_ context.Context, keys []int) ([]courier.Outcome[int], error) {
				mu.Lock()
				batches = append(batches, keys)
				mu.Unlock()
				time.Sleep(time.Second)
				if keys[0] == 3 {
					panic(errBoom)
				}
				out := make([]courier.Outcome[int], len(keys))
				for i, k := range keys {
					out[i].Value = k
				}
				return out, nil
			})
		require.Equal(t, 10*time.Second, time.Since(start))
		require.ElementsMatch(t, [][]int{{0, 2}, {3, 4}, {5}}, batches)
		for i, o := range got {
			switch i {
			case 1:
				require.Equal(t, 100, o.Value)
			case 3, 4:
				require.ErrorIs(t, o.Err, errBoom)
			default:
				require.Equal(t, courier.Outcome[int]{Value: i}, o)
			}
		}
		require.NoError(t, c.Shutdown(t.Context()))
	})
}
