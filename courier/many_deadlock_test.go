package courier_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// A cycle is an error of only the key that closes it. The error names the keys.
func TestDoManyDeadlocks(t *testing.T) {
	cycle := func(t *testing.T, err error, want ...any) {
		t.Helper()
		assert.Equal(t, want, cycleOf(t, err))
	}
	t.Run("a batch asks for its own keys", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := courier.New[string, int]()
			got := c.DoMany(t.Context(), []string{"a", "b"},
				func(ctx context.Context, missing []string) (outcomes, error) {
					_, _, err := c.Do(ctx, "b", nil)
					cycle(t, err, "b", "b")
					inner := c.DoMany(ctx, []string{"a", "xx", "b"}, lengths)
					cycle(t, inner[0].Err, "a", "a")
					assert.Equal(t, courier.Outcome[int]{Value: 2}, inner[1])
					cycle(t, inner[2].Err, "b", "b")
					return lengths(ctx, missing)
				})
			assert.Equal(t, outcomes{{Value: 1, Shared: true}, {Value: 1, Shared: true}}, got)
			assert.EqualValues(t, 3, c.Stats().Deadlocks)
			atRest(t, c)
		})
	})
	t.Run("a load asks for its own key among others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := courier.New[string, int](courier.WithMaxConcurrent(1))
			v, _, err := c.Do(t.Context(), "a", func(ctx context.Context) (int, error) {
				got := c.DoMany(ctx, []string{"x", "a", "y"}, lengths)
				cycle(t, got[1].Err, "a", "a")
				return got[0].Value + got[2].Value, nil
			})
			assert.NoError(t, err)
			assert.Equal(t, 2, v)
			got := c.DoMany(t.Context(), []string{"p"},
				func(ctx context.Context, missing []string) (outcomes, error) {
					cycle(t, c.DoMany(ctx, []string{"p"}, nil)[0].Err, "p", "p")
					return lengths(ctx, missing)
				})
			assert.NoError(t, got[0].Err)
			atRest(t, c)
		})
	})
	t.Run("a load asks through a batch", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := courier.New[string, int]()
			_, _, err := c.Do(t.Context(), "a", func(ctx context.Context) (int, error) {
				got := c.DoMany(ctx, []string{"x", "y"},
					func(ctx context.Context, missing []string) (outcomes, error) {
						_, _, err := c.Do(ctx, "a", nil)
						cycle(t, err, "a", "x", "a")
						return lengths(ctx, missing)
					})
				return got[1].Value, got[1].Err
			})
			assert.NoError(t, err)
			atRest(t, c)
		})
	})
	t.Run("batches that wait for each other", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := courier.New[string, int]()
			gate := make(chan struct{})
			var errs [2]error
			asking := func(i int, key string) manyFunc {
				return func(ctx context.Context, missing []string) (outcomes, error) {
					<-gate
					time.Sleep(time.Duration(i) * time.Second)
					got := c.DoMany(ctx, []string{"free" + key, key}, lengths)
					assert.NoError(t, got[0].Err)
					errs[i] = got[1].Err
					return lengths(ctx, missing)
				}
			}
			first := many(t, t.Context(), c, []string{"a1", "a2"}, asking(0, "b2"))
			second := many(t, t.Context(), c, []string{"b1", "b2"}, asking(1, "a1"))
			close(gate)
			first.wait()
			second.wait()
			assert.NoError(t, errs[0])
			cycle(t, errs[1], "a1", "b2", "a1")
			atRest(t, c)
		})
	})
	t.Run("no cycle: two callers want each other's keys", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := courier.New[string, int]()
			outer := courier.New[string, int]()
			fetch := func(keys ...string) fetchFunc {
				return func(ctx context.Context) (int, error) {
					for _, o := range c.DoMany(ctx, keys, lengthsAfter(time.Second)) {
						assert.NoError(t, o.Err)
					}
					return 0, nil
				}
			}
			first := callers(t, outer, 1, "first", 0, fetch("a", "b"))
			second := callers(t, outer, 1, "second", 0, fetch("b", "c", "a"))
			third := callers(t, outer, 1, "third", 0, fetch("c", "a"))
			assert.Equal(t, time.Second, first.one().after)
			assert.Equal(t, time.Second, second.one().after)
			assert.Equal(t, time.Second, third.one().after)
			assert.Zero(t, c.Stats().Deadlocks)
			atRest(t, c)
		})
	})
}

// The graph is walked once for all keys, of which nearly all would close a cycle.
func TestDoManyDeadlocksOfManyKeys(t *testing.T) {
	c := courier.New[string, int]()
	keys := keysNamed(20_000)
	got := c.DoMany(t.Context(), keys, func(ctx context.Context, missing []string) (outcomes, error) {
		for _, o := range c.DoMany(ctx, keys, nil) {
			if !errors.Is(o.Err, courier.ErrDeadlock) {
				return nil, errBoom
			}
		}
		return lengths(ctx, missing)
	})
	for _, o := range got {
		require.NoError(t, o.Err)
	}
}
