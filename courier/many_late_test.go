package courier_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// A late key is fetched anew by the next caller, alone or with others.
func TestDoManyLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		release := make(chan struct{})
		patient := many(t, t.Context(), c, []string{"a", "b", "c"}, whole(deaf(release)))
		callers(t, c, 1, "a", time.Second, nil).wait()
		callers(t, c, 1, "b", time.Second, nil).wait()
		assert.EqualValues(t, 2, c.Stats().Late)

		works(t, c, "a")
		got := c.DoMany(within(t, time.Second), []string{"b", "c", "d"},
			func(ctx context.Context, missing []string) (outcomes, error) {
				assert.Equal(t, []string{"b", "d"}, missing)
				assert.Equal(t, 2*time.Second, courier.LateAge(ctx))
				return lengths(ctx, missing)
			})
		assert.Equal(t, courier.Outcome[int]{Value: 1}, got[0])
		assert.Equal(t, context.DeadlineExceeded, got[1].Err)
		assert.Equal(t, courier.Outcome[int]{Value: 1}, got[2])

		assert.Equal(t, courier.Stats{Started: 6, Joined: 3, InFlight: 3, Waiting: 1, Late: 3}, c.Stats())
		close(release)
		for _, o := range patient.wait() {
			assert.Equal(t, -1, o.Value)
		}
		atRest(t, c)
	})
}

// A batch that waits for its turn is not late.
func TestDoManyInTheQueueIsNotLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1))
		callers(t, c, 1, "holder", 0, sleeps(3*time.Second))
		h := many(t, t.Context(), c, []string{"a", "b"}, lengthsAfter(2*time.Second))
		callers(t, c, 1, "a", time.Second, nil).wait()
		assert.Zero(t, c.Stats().Late)
		callers(t, c, 1, "a", 3*time.Second, nil).wait()
		assert.EqualValues(t, 1, c.Stats().Late)
		h.wait()
		assert.Equal(t, 5*time.Second, h.after)
		atRest(t, c)
	})
}

func TestDoManyWithPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const d = time.Second
		c := courier.New[string, int]()
		patient := courier.ContextWithPatience(t.Context(), d)
		callers(t, c, 1, "late", 0, sleeps(6*time.Second))
		callers(t, c, 1, "late", d, nil).wait()
		callers(t, c, 1, "old", 0, sleeps(5*time.Second))
		time.Sleep(d / 2)
		callers(t, c, 1, "young", 0, sleeps(5*time.Second))
		callers(t, c, 1, "quick", 0, sleeps(d*3/4))
		time.Sleep(d / 2)

		keys := []string{"late", "old", "young", "quick", "own"}
		var asked [][]string
		fetch := func(ctx context.Context, missing []string) (outcomes, error) {
			asked = append(asked, slices.Clone(missing))
			return lengthsAfter(3*d)(ctx, missing)
		}
		h := many(t, patient, c, keys, fetch)
		for i, o := range h.wait() {
			if keys[i] == "quick" {
				assert.Equal(t, courier.Outcome[int]{Value: 7, Shared: true}, o)
			} else {
				assert.ErrorIs(t, o.Err, courier.ErrLate, keys[i])
				assert.Zero(t, o.Value)
			}
		}
		assert.Equal(t, d, h.after, "until its own flight has that age")
		// The two late keys already have fresh flights.
		assert.Equal(t, [][]string{{"late", "old", "own"}}, asked)
		assert.Equal(t, 6, c.Stats().InFlight)

		h = many(t, patient, c, keys, func(ctx context.Context, missing []string) (outcomes, error) {
			asked = append(asked, slices.Clone(missing))
			return lengthsAfter(d/2)(ctx, missing)
		})
		for i, o := range h.wait() {
			if keys[i] == "quick" {
				assert.Equal(t, courier.Outcome[int]{Value: 5}, o)
			} else {
				assert.ErrorIs(t, o.Err, courier.ErrLate, keys[i])
			}
		}
		assert.Equal(t, d/2, h.after)
		assert.Equal(t, []string{"young", "quick", "own"}, asked[1])
		time.Sleep(time.Minute)
		assert.EqualValues(t, 6, c.Stats().Late)
		assert.Zero(t, c.Stats().Deserted)
		atRest(t, c)
	})
}

// A batch goes on alone when callers skip, or have left, each of its keys, and then ends in each of
// the possible ways.
func TestBatchThatGoesOnAlone(t *testing.T) {
	const d = time.Second
	hang := func(ctx context.Context, _ []string) (outcomes, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, tc := range []struct {
		name  string
		fetch manyFunc
		check func(t *testing.T, c *courier.Courier[string, int])
		want  courier.Stats
	}{
		{"succeeds", lengthsAfter(2 * d), nil, courier.Stats{Started: 2, Late: 2}},
		{"times out", hang, nil, courier.Stats{Started: 2, Late: 2, Timeouts: 2, AbandonedTotal: 1}},
		{"is shut down", hang, func(t *testing.T, c *courier.Courier[string, int]) {
			assert.NoError(t, c.Shutdown(t.Context()))
		}, courier.Stats{Started: 2, Late: 2, AbandonedTotal: 1}},
		{"is forgotten", hang, func(t *testing.T, c *courier.Courier[string, int]) {
			c.Forget("a")
			synctest.Wait()
			assert.Equal(t, 1, c.Stats().InFlight)
			c.Forget("b")
			synctest.Wait()
			assert.Zero(t, c.Stats().InFlight)
		}, courier.Stats{Started: 2, Late: 2, Deserted: 2, AbandonedTotal: 1}},
		{"is replaced, and goes on", lengthsAfter(5 * d),
			func(t *testing.T, c *courier.Courier[string, int]) {
				works(t, c, "a")
				assert.Equal(t, 2, c.Stats().InFlight)
			}, courier.Stats{Started: 3, Late: 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := courier.New[string, int]()
				ctx := courier.ContextWithPatience(t.Context(), d)
				for _, o := range c.DoMany(ctx, []string{"a", "b"}, tc.fetch) {
					assert.ErrorIs(t, o.Err, courier.ErrLate)
				}
				if tc.check != nil {
					tc.check(t, c)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				assert.Equal(t, tc.want, c.Stats())
				atRest(t, c)
			})
		})
	}

	// A fresh flight beside late ones is forgotten before it has a waiter.
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		callers(t, c, 1, "a", 0, sleeps(5*d))
		time.Sleep(2 * d)
		got := c.DoMany(courier.ContextWithPatience(t.Context(), d), []string{"a"}, hang)
		assert.ErrorIs(t, got[0].Err, courier.ErrLate)
		assert.Equal(t, 2, c.Stats().InFlight)
		c.Forget("a")
		synctest.Wait()
		assert.Equal(t, 1, c.Stats().InFlight)
		time.Sleep(5 * d)
		atRest(t, c)
	})
}

// A caller waits as usual for keys without a substitute, in the same batch as keys for which it has
// one.
func TestManyWithPatienceForSome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[int, int]()
		calls := 0
		ctx := courier.ContextWithPatienceFor(t.Context(), time.Second,
			func(i int) bool { return i%2 == 0 })
		start := time.Now()
		got := c.DoMany(ctx, []int{10, 11, 12},
			func(_ context.Context, keys []int) ([]courier.Outcome[int], error) {
				calls++
				time.Sleep(3 * time.Second)
				out := make([]courier.Outcome[int], len(keys))
				for i, k := range keys {
					out[i].Value = k
				}
				return out, nil
			})
		require.Equal(t, 3*time.Second, time.Since(start))
		require.ErrorIs(t, got[0].Err, courier.ErrLate)
		require.Equal(t, courier.Outcome[int]{Value: 11}, got[1])
		require.ErrorIs(t, got[2].Err, courier.ErrLate)
		require.Equal(t, 1, calls)
		require.Zero(t, c.Stats().Waiting)
		require.NoError(t, c.Shutdown(t.Context()))
	})
}
