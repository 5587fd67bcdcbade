package courier_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// Callers of a key whose functions hang for ever are refused, and the key is tried now and then. It
// works again as soon as its function does, although the old ones still hang.
func TestStuckKeyIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 3
		c := courier.New[string, int](courier.WithTimeout(10*time.Millisecond),
			courier.WithMaxAbandoned(bound, 100))
		release := make(chan struct{})
		hang := func(context.Context) (int, error) { <-release; return 0, nil }
		work := func(context.Context) (int, error) { return 1, nil }
		do := func(fetch func(context.Context) (int, error)) error {
			_, _, err := c.Do(t.Context(), "key", fetch)
			return err
		}

		for range bound {
			require.ErrorIs(t, do(hang), courier.ErrTimeout)
		}
		// The pause doubles with each try, from a second up to a minute.
		reached := time.Now()
		for _, seconds := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
			rest := time.Duration(seconds) * time.Second
			time.Sleep(time.Until(reached.Add(rest - time.Millisecond)))
			require.ErrorIs(t, do(hang), courier.ErrOverloaded, "just before %v", rest)
			time.Sleep(time.Millisecond)
			reached = time.Now()
			require.ErrorIs(t, do(hang), courier.ErrTimeout, "after %v", rest)
			require.ErrorIs(t, do(hang), courier.ErrOverloaded, "only one may try")
		}
		assert.Equal(t, bound+8, c.Stats().Abandoned)

		time.Sleep(time.Minute)
		require.NoError(t, do(work))
		for range 10 {
			require.NoError(t, do(work), "the key works, although older functions hang")
		}
		for range bound {
			require.ErrorIs(t, do(hang), courier.ErrTimeout, "the count starts again")
		}
		require.ErrorIs(t, do(hang), courier.ErrOverloaded)

		close(release)
		synctest.Wait()
		assert.Zero(t, c.Stats().Abandoned)
		require.NoError(t, do(work))
	})
}

// Tries past the bound of a key must not use up the total bound.
func TestTriesLeaveRoomForOtherKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithTimeout(time.Millisecond),
			courier.WithMaxAbandoned(1, 10))
		release := make(chan struct{})
		hang := func(context.Context) (int, error) { <-release; return 0, nil }
		for range 1000 {
			_, _, err := c.Do(t.Context(), "bad", hang)
			require.Error(t, err)
			time.Sleep(30 * time.Second)
		}
		abandoned := c.Stats().Abandoned
		assert.InDelta(t, 1000/2, abandoned, 10, "the key is tried every minute while it hangs")
		_, _, err := c.Do(t.Context(), "other", func(context.Context) (int, error) { return 1, nil })
		require.NoError(t, err)
		close(release)
		synctest.Wait()
	})
}

// A function that returns while its children hang has not shown that the key
// works.
func TestHangingChildrenAreNotForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 4
		c := courier.New[string, int](courier.WithMaxAbandoned(bound, 100))
		release := make(chan struct{})
		fetch := func(ctx context.Context) (int, error) {
			courier.Go(ctx, func(context.Context) error { <-release; return nil })
			return 1, nil
		}
		for range bound {
			_, _, err := c.Do(t.Context(), "key", fetch)
			require.NoError(t, err)
		}
		_, _, err := c.Do(t.Context(), "key", fetch)
		require.ErrorIs(t, err, courier.ErrOverloaded)
		close(release)
		synctest.Wait()
	})
}
