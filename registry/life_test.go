package registry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The deadline of a call must not end the registration minutes later: a first call with such a
// context fails, whether the name is free or taken.
func TestRegisterRefusesADeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, _ := newLAN().open(t, "a")
		request, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		refused := func() {
			t.Helper()
			_, err := r.Register(request, "x", nil)
			var mistake *DeadlineError
			require.ErrorAs(t, err, &mistake)
			require.Equal(t, "x", mistake.Name)
			require.Equal(t, time.Now().Add(time.Minute), mistake.Deadline)
			require.ErrorContains(t, err, `for name "x" has a deadline, 2000-01-01T00:01:00`)
			require.ErrorContains(t, err, "call RegisterFor")
			require.NotErrorIs(t, err, context.DeadlineExceeded)
		}
		refused()
		require.Zero(t, r.Len())
		_, err := r.Register(context.Background(), "x", nil)
		require.NoError(t, err)
		refused()

		time.Sleep(time.Minute)
		synctest.Wait()
		_, err = r.Register(request, "x", nil)
		require.Equal(t, context.DeadlineExceeded, err, "not the error of a deadline")
	})
}

// The context of the wait may end right after RegisterFor has returned; the registration stays.
func TestRegisterForTakesWaitAndLifeApart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, _ := newLAN().open(t, "a")
		type key struct{}
		life, end := context.WithTimeout(context.WithValue(t.Context(), key{}, "v"), 10*time.Minute)
		defer end()
		wait, cancel := context.WithTimeout(t.Context(), time.Minute)
		g, err := r.RegisterFor(wait, life, "x", []byte("1"))
		require.NoError(t, err)
		cancel()
		synctest.Wait()
		require.NoError(t, g.Context().Err())
		require.Equal(t, "v", g.Context().Value(key{}), "it is derived from life")

		again, err := r.RegisterFor(t.Context(), life, "x", []byte("2"))
		require.NoError(t, err)
		require.Same(t, g, again, "the same life is the same holder")
		again, err = r.Register(g.Context(), "x", []byte("3"))
		require.NoError(t, err, "a holder whose life has a deadline is not refused its own name")
		require.Same(t, g, again)
		_, err = r.RegisterFor(t.Context(), t.Context(), "x", nil)
		require.ErrorIs(t, err, ErrTaken)

		time.Sleep(10*time.Minute - time.Nanosecond)
		require.NoError(t, g.Context().Err(), "a life may have a deadline")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Equal(t, context.DeadlineExceeded, context.Cause(g.Context()))
		require.Zero(t, r.Len())
	})
}

// Either context ends the wait for room, with its own cause.
func TestRegisterForWaitsForBoth(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, node := lan.open(t, "a", one)
		lan.open(t, "b", one)
		letGo := stall(t, a, node)
		defer letGo()
		fill(t, a)
		over := errors.New("over")
		for _, which := range []string{"wait", "life"} {
			wait, endWait := context.WithCancelCause(t.Context())
			life, endLife := context.WithCancelCause(t.Context())
			end := map[string]context.CancelCauseFunc{"wait": endWait, "life": endLife}[which]
			result := make(chan error)
			go func() {
				_, err := a.RegisterFor(wait, life, "x", nil)
				result <- err
			}()
			synctest.Wait()
			require.Equal(t, 1, a.Stats().Partitions[0].Waiting)
			end(over)
			err := <-result
			require.ErrorIs(t, err, ErrOverloaded, which)
			require.ErrorIs(t, err, over, which)
			_, err = a.RegisterFor(wait, life, "x", nil)
			require.Equal(t, over, err, which)
			endWait(nil)
			endLife(nil)
		}
	})
}
