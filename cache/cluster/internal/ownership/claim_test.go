package ownership

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The name of a key that comes many times at once is claimed once, and no caller waits for that.
func TestNameIsRegisteredOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, has, end := idleKeys(t, r)
		defer end()
		open := r.jam()
		for range 100 {
			go has.set(u, true, "k")
		}
		synctest.Wait()
		require.EqualValues(t, 1, r.registers.Load())
		require.Equal(t, "a", u.Owner("k"), "its home")
		require.Zero(t, u.Stats())
		open()
		synctest.Wait()
		has.set(u, true, "k")
		synctest.Wait()
		require.EqualValues(t, 1, r.registers.Load())
		require.Equal(t, Stats{Held: 1, Claimed: 1}, u.Stats())
	})
}

// A name that is claimed after its entry has gone is idle.
func TestNameThatComesLate(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, has, end := idleKeys(t, r)
		defer end()
		open := r.jam()
		has.set(u, true, "there", "left", "back")
		has.set(u, false, "left", "back")
		has.set(u, true, "back")
		require.Zero(t, u.Stats())
		open()
		synctest.Wait()
		require.Equal(t, 3, u.Stats().Held)
		require.Equal(t, 1, idling(u))
		time.Sleep(idleTime + idleTime/100)
		require.True(t, holds(r, "there"))
		require.True(t, holds(r, "back"))
		require.Equal(t, 2, u.Stats().Held)
	})
}

// Names that wait for the registry are bounded: beyond the bound a key gets none until it comes
// again.
func TestTooManyWait(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, has, end := idleKeys(t, r)
		defer end()
		open := r.jam()
		for i := range maxWaiting + 1 {
			has.set(u, true, strconv.Itoa(i))
		}
		open()
		time.Sleep(time.Minute) // its queue is shorter
		require.Equal(t, maxWaiting, u.Stats().Held)
		has.set(u, true, strconv.Itoa(maxWaiting))
		time.Sleep(time.Minute)
		require.Equal(t, maxWaiting+1, u.Stats().Held)
		require.Zero(t, u.claims.waiting.Load())
	})
}
