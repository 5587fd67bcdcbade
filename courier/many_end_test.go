package courier_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// At its deadline a caller gets the outcomes that are available.
func TestDoManyAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		callers(t, c, 1, "quick", 0, sleeps(time.Second))
		slow := callers(t, c, 1, "slow", 0, sleeps(5*time.Second))
		keys := []string{"slow", "own", "quick", "slow", "rests"}
		h := many(t, within(t, 2*time.Second), c, keys, lengthsAfter(4*time.Second))
		joined := callers(t, c, 1, "own", 0, nil)
		got := h.wait()
		assert.Equal(t, 2*time.Second, h.after)
		for _, i := range []int{0, 1, 3, 4} {
			assert.Equal(t, context.DeadlineExceeded, got[i].Err, keys[i])
			assert.Zero(t, got[i].Value)
		}
		assert.Equal(t, courier.Outcome[int]{Value: 7, Shared: true}, got[2])
		assert.Equal(t, courier.Stats{Started: 4, Joined: 3, InFlight: 2, Waiting: 2, Late: 3,
			Deserted: 1}, c.Stats())

		// The function goes on for the key that has a waiter.
		assert.Equal(t, outcome{value: 3, shared: true, after: 4 * time.Second}, joined.one())
		assert.Equal(t, 7, slow.one().value)
		atRest(t, c)
	})
}

// The function is cancelled when no key has a caller any more, and not before.
func TestDoManyIsCancelledWithItsLastKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		var ended time.Time
		fetch := func(ctx context.Context, _ []string) (outcomes, error) {
			<-ctx.Done()
			assert.Equal(t, context.Canceled, ctx.Err())
			ended = time.Now()
			return nil, ctx.Err()
		}
		begin := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		h := many(t, ctx, c, []string{"a", "b", "c"}, fetch)
		callers(t, c, 1, "a", 3*time.Second, nil)
		callers(t, c, 2, "c", 2*time.Second, nil)
		time.Sleep(time.Second)
		cancel()
		for _, o := range h.wait() {
			assert.ErrorIs(t, o.Err, context.Canceled)
		}
		synctest.Wait()
		assert.Equal(t, courier.Stats{Started: 3, Joined: 3, InFlight: 2, Waiting: 3, Deserted: 1},
			c.Stats())
		works(t, c, "b")
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, 1, c.Stats().InFlight)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, 3*time.Second, ended.Sub(begin))
		assert.Equal(t, courier.Stats{Started: 4, Joined: 3, Late: 2, Deserted: 3, AbandonedTotal: 1},
			c.Stats())
		atRest(t, c)
	})
}

// A key without a waiter can be forgotten while its batch is about to start. The race detector
// checks this one.
func TestForgetWhileABatchStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const d, keys = time.Second, 2000
		c := courier.New[int, int]()
		hang := func(ctx context.Context, _ []int) ([]courier.Outcome[int], error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		var late sync.WaitGroup
		for key := range keys {
			late.Go(func() {
				_, _, err := c.Do(t.Context(), key, func(context.Context) (int, error) {
					time.Sleep(5 * d)
					return key, nil
				})
				assert.NoError(t, err)
			})
		}
		time.Sleep(2 * d)
		patient := courier.ContextWithPatience(t.Context(), d)
		for key := range keys {
			var forgets sync.WaitGroup
			forgets.Go(func() {
				for c.Stats().InFlight == keys {
					runtime.Gosched()
				}
				c.Forget(key)
			})
			assert.ErrorIs(t, c.DoMany(patient, []int{key}, hang)[0].Err, courier.ErrLate)
			forgets.Wait()
			synctest.Wait()
			assert.Equal(t, keys, c.Stats().InFlight)
		}
		late.Wait()
		assert.NoError(t, c.Shutdown(t.Context()))
		assert.NoError(t, courier.AtRest(c))
	})
}

func TestDoManyForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithBackoff(time.Hour, time.Hour))
		h := many(t, t.Context(), c, []string{"a", "b"},
			func(context.Context, []string) (outcomes, error) {
				time.Sleep(time.Second)
				return nil, errBoom
			})
		c.Forget("a")
		works(t, c, "a")
		for _, o := range h.wait() {
			assert.Equal(t, errBoom, o.Err, "the flight goes on for its waiters")
		}
		works(t, c, "a") // the outcome of a forgotten flight does not count for its key
		refused(t, c, "b", errBoom)
		c.ForgetAll()
		works(t, c, "b")
		atRest(t, c)
	})
}

func TestDoManyShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		release := make(chan struct{})
		h := many(t, t.Context(), c, keysNamed(100), whole(deaf(release)))
		single := callers(t, c, 1, "key7", 0, nil)
		var left *courier.ShutdownError
		assert.ErrorAs(t, c.Shutdown(within(t, time.Second)), &left)
		assert.Equal(t, 1, left.Abandoned, "functions")
		for _, o := range h.wait() {
			assert.Equal(t, courier.ErrClosed, o.Err)
		}
		assert.Equal(t, courier.ErrClosed, single.one().err)
		assert.Equal(t, courier.Stats{Started: 100, Joined: 1, Abandoned: 1, AbandonedTotal: 1},
			c.Stats())
		for _, o := range c.DoMany(t.Context(), keysNamed(3), nil) {
			assert.Equal(t, courier.ErrClosed, o.Err)
		}
		time.AfterFunc(time.Second, func() { close(release) })
		assert.NoError(t, c.Shutdown(t.Context()))
		assert.NoError(t, courier.AtRest(c), "no key counts as under way when Shutdown returns")
		atRest(t, c)
	})
}

// Shutdown races with callers of DoMany.
func TestDoManyRacesWithShutdown(t *testing.T) {
	for range 100 {
		c := courier.New[string, int](courier.WithTimeout(time.Minute))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				hang := func(ctx context.Context, _ []string) (outcomes, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				for _, o := range c.DoMany(context.Background(), keysNamed(50), hang) {
					assert.Equal(t, courier.ErrClosed, o.Err)
				}
			})
		}
		assert.NoError(t, c.Shutdown(context.Background()))
		wg.Wait()
		assert.NoError(t, c.Shutdown(context.Background()))
		still(t, c.Stats())
		require.NoError(t, courier.AtRest(c))
	}
}

// Time-outs that pass before all keys of a batch have their flights race with DoMany.
func TestDoManyWithTheShortestTimeout(t *testing.T) {
	c := courier.New[string, int](courier.WithTimeout(1), courier.WithMaxAbandoned(1000, 1000))
	for range 100 {
		for _, o := range c.DoMany(context.Background(), keysNamed(50), lengths) {
			if o.Err != nil {
				assert.ErrorIs(t, o.Err, courier.ErrTimeout)
			}
		}
	}
	require.NoError(t, c.Shutdown(context.Background()))
	require.NoError(t, courier.AtRest(c))
}
