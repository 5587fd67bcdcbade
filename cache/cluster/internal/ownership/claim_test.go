package ownership

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// However many ask for a key at the same time, its name is registered once, also if they ask again and again.
func TestNameIsRegisteredOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, end := idleKeys(t, r)
		defer end()
		open := r.jam()
		results := make(chan error)
		ask := func() {
			owner, err := u.Claim(t.Context(), "k")
			if err == nil {
				assert.Equal(t, Owner{"a", true}, owner)
			}
			results <- err
		}
		for round := range 3 { // all are tired of waiting
			for range 100 {
				go ask()
			}
			begun := time.Now()
			for range 100 {
				require.ErrorIs(t, <-results, ErrTimeout)
			}
			require.Equal(t, 250*time.Millisecond, time.Since(begun))
			require.EqualValues(t, 1, r.registers.Load(), round)
		}
		require.Equal(t, Owner{Node: "a"}, u.Owner("k"))
		for range 100 {
			go ask()
		}
		synctest.Wait()
		open()
		for range 100 {
			require.NoError(t, <-results)
		}
		require.EqualValues(t, 1, r.registers.Load())
		mustClaim(t, u, "k")
		require.EqualValues(t, 1, r.registers.Load())
		require.Equal(t, Stats{Held: 1, Claimed: 1}, u.Stats())
	})
}

// A name that comes too late for who asked for it is idle, unless an entry is there by then.
func TestNameThatComesLate(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, end := idleKeys(t, r)
		defer end()
		open := r.jam()
		for _, key := range []string{"nothing", "arrived", "left"} {
			_, err := u.Claim(t.Context(), key)
			require.ErrorIs(t, err, ErrTimeout)
		}
		u.Arrived("arrived")
		u.Arrived("left")
		u.Left("left")
		require.Zero(t, u.Stats())
		require.Zero(t, idling(u))
		open()
		synctest.Wait()
		require.Equal(t, 3, u.Stats().Held)
		require.Equal(t, 2, idling(u))
		time.Sleep(idleTime + idleTime/100)
		require.True(t, holds(r, "arrived"))
		require.Equal(t, 1, u.Stats().Held)
	})
}

func TestClaimEndsWithItsCaller(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, end := idleKeys(t, r)
		defer end()
		why := errors.New("tired")
		ctx, cancel := context.WithCancelCause(t.Context())
		defer r.jam()()
		failed := make(chan error)
		go func() {
			_, err := u.Claim(ctx, "k")
			failed <- err
		}()
		synctest.Wait()
		cancel(why)
		require.ErrorIs(t, <-failed, why)
		_, err := u.Claim(ctx, "other")
		require.ErrorIs(t, err, why)
		synctest.Wait()
		require.EqualValues(t, 1, r.registers.Load(), "for a caller who has left already nothing is begun")
	})
}

// Names that wait for the registry are bounded: past that claims fail at once, and when there is room again they
// don't.
func TestTooManyWait(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, end := idleKeys(t, r)
		defer end()
		open := r.jam()
		results := make(chan error)
		for i := range maxWaiting {
			go func() {
				_, err := u.Claim(t.Context(), strconv.Itoa(i))
				results <- err
			}()
		}
		synctest.Wait()
		begun := time.Now()
		_, err := u.Claim(t.Context(), "one more")
		require.ErrorIs(t, err, ErrOverloaded)
		require.Zero(t, time.Since(begun))
		go func() {
			_, err := u.Claim(t.Context(), "0")
			results <- err
		}()
		synctest.Wait()
		open()
		for range maxWaiting + 1 {
			require.NoError(t, <-results)
		}
		mustClaim(t, u, "one more")
		require.Equal(t, maxWaiting+1, u.Stats().Held)
		require.Zero(t, u.holdings.waiting.Load())
	})
}
