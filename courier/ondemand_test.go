package courier_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// A function that needs no turn does not wait for one, and functions that ask for a turn get it in
// order.
func TestTurnOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1), courier.WithTurnOnDemand())
		takes := func(d time.Duration) fetchFunc {
			return func(ctx context.Context) (int, error) {
				for range 2 { // the second does nothing
					if !courier.TakeTurn(ctx) {
						return 0, ctx.Err()
					}
				}
				time.Sleep(d)
				return 7, nil
			}
		}
		holder := callers(t, c, 1, "holder", 0, takes(3*time.Second))
		free := callers(t, c, 1, "free", 0, sleeps(time.Second))
		second := callers(t, c, 1, "second", 0, takes(time.Second))
		late := callers(t, c, 1, "late", 0, takes(time.Minute))
		missed := callers(t, c, 1, "missed", 0, takes(time.Second))
		for h, after := range map[*herd]time.Duration{
			holder: 3 * time.Second, free: time.Second, second: 4 * time.Second,
		} {
			o := h.wait()[0]
			assert.NoError(t, o.err)
			assert.Equal(t, after, o.after)
		}
		o := missed.wait()[0]
		assert.ErrorIs(t, o.err, courier.ErrOverloaded, "the turn did not come in time")
		assert.Equal(t, courier.DefaultQueueWait, o.after)
		assert.ErrorIs(t, late.wait()[0].err, courier.ErrTimeout)
		time.Sleep(time.Minute) // its function ends
	})
}

// A batch takes one turn.
func TestTurnOnDemandOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1), courier.WithTurnOnDemand())
		outcomes := c.DoMany(t.Context(), []string{"a", "b"},
			func(ctx context.Context, _ []string) ([]courier.Outcome[int], error) {
				assert.True(t, courier.TakeTurn(ctx))
				return make([]courier.Outcome[int], 2), nil
			})
		for _, o := range outcomes {
			assert.NoError(t, o.Err)
		}
		_, _, err := c.Do(t.Context(), "c", func(ctx context.Context) (int, error) {
			assert.True(t, courier.TakeTurn(ctx))
			return 0, nil
		})
		assert.NoError(t, err)
	})
}

// A flight that waits for its turn is not late, and one that needs none can be.
func TestTurnOnDemandThatIsLate(t *testing.T) {
	for name, takes := range map[string]bool{"takes": true, "takes none": false} {
		for _, many := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", many ", many), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := courier.New[string, int](
						courier.WithMaxConcurrent(1), courier.WithTurnOnDemand(), courier.WithQueueWait(0))
					fetch := func(ctx context.Context) (int, error) {
						if takes && !courier.TakeTurn(ctx) {
							return 0, ctx.Err()
						}
						time.Sleep(10 * time.Second)
						return 7, nil
					}
					holder := callers(t, c, 1, "holder", 0, func(ctx context.Context) (int, error) {
						courier.TakeTurn(ctx)
						time.Sleep(10 * time.Second)
						return 7, nil
					})
					patient := make(chan struct{})
					go func() {
						defer close(patient)
						if !many {
							_, _, _ = c.Do(context.Background(), "k", fetch)
							return
						}
						c.DoMany(context.Background(), []string{"k"},
							func(ctx context.Context, _ []string) ([]courier.Outcome[int], error) {
								v, err := fetch(ctx)
								return []courier.Outcome[int]{{Value: v}}, err
							})
					}()
					synctest.Wait()
					callers(t, c, 1, "k", time.Second, fetch).wait()
					late := uint64(1)
					if takes {
						late = 0
					}
					assert.Equal(t, late, c.Stats().Late)
					holder.wait()
					<-patient
					time.Sleep(time.Minute)
				})
			})
		}
	}
}

func TestRestartTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithTimeout(time.Second))
		ends := func(ctx context.Context) time.Duration {
			at, ok := ctx.Deadline()
			if !ok {
				return 0
			}
			return time.Until(at)
		}
		h := callers(t, c, 1, "k", 0, func(ctx context.Context) (int, error) {
			courier.RestartTimeout(ctx, 2*time.Second)
			assert.Equal(t, 3*time.Second, ends(ctx))
			time.Sleep(2 * time.Second)
			courier.RestartTimeout(ctx, math.MaxInt64)
			assert.Zero(t, ends(ctx), "none")
			time.Sleep(time.Hour)
			courier.RestartTimeout(ctx, 0)
			assert.Equal(t, time.Second, ends(ctx))
			<-ctx.Done()
			return 0, ctx.Err()
		})
		o := h.wait()[0]
		assert.ErrorIs(t, o.err, courier.ErrTimeout)
		assert.Equal(t, time.Hour+3*time.Second, o.after)
		courier.RestartTimeout(t.Context(), 0) // outside of a flight
	})
}

// The same test with the list of deadlines, which is not used in bubbles.
func TestRestartTimeoutInOrder(t *testing.T) {
	c := courier.New[string, int](courier.WithTimeout(10 * time.Millisecond))
	others := make(chan error, 2)
	hang := func(ctx context.Context) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	_, _, err := c.Do(t.Context(), "k", func(ctx context.Context) (int, error) {
		courier.RestartTimeout(ctx, math.MaxInt64)
		for i := range cap(others) { // they began later and end sooner
			_, _, err := c.Do(context.Background(), string(rune('a'+i)), hang)
			others <- err
		}
		require.NoError(t, ctx.Err())
		courier.RestartTimeout(ctx, 0)
		return hang(ctx)
	})
	require.ErrorIs(t, err, courier.ErrTimeout)
	for range cap(others) {
		require.ErrorIs(t, <-others, courier.ErrTimeout)
	}
	_, _, err = c.Do(t.Context(), "k", func(ctx context.Context) (int, error) {
		courier.RestartTimeout(ctx, time.Hour)
		_, _, err := c.Do(context.Background(), "other", hang)
		return 7, err
	})
	require.ErrorIs(t, err, courier.ErrTimeout, "the time-out of the other flight")
}
