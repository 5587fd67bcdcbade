package ownership

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const idleTime = time.Second

// idleKeys returns keys in a bubble, and a function that closes them.
func idleKeys(t *testing.T, r *gated) (*keys, *entries, func()) {
	t.Helper()
	has := new(entries)
	u := newKeys(Config{
		Registry: r, Self: "a", Cache: "test", IdleRelease: idleTime, Has: has.has,
		Lost: func(string) { t.Error("nothing was lost") }, Logger: slog.New(slog.DiscardHandler),
	})
	u.SetMembers([]string{"a"})
	return u, has, func() {
		require.NoError(t, u.Close(t.Context()))
		synctest.Wait()
		require.Zero(t, r.Len(), "nothing is left in the registry")
		require.Zero(t, u.Stats().Held)
	}
}

// holds reports whether the name is in the registry, without the effect of Owner.
func holds(r *gated, key string) bool {
	_, ok := r.Registry.Lookup("cache/test/key/" + key)
	return ok
}

// A name is released when its key has been gone for IdleRelease, and not while it is there.
func TestIdleRelease(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, has, end := idleKeys(t, r)
		defer end()
		time.Sleep(20 * idleTime) // nothing is idle, so no timer is set
		has.set(u, true, "evicted", "kept")
		synctest.Wait()
		time.Sleep(idleTime / 2)
		has.set(u, false, "evicted", "evicted", "never loaded")
		time.Sleep(idleTime - time.Millisecond)
		require.True(t, holds(r, "evicted"))
		time.Sleep(idleTime/100 + time.Millisecond)
		require.False(t, holds(r, "evicted"))
		require.False(t, holds(r, "never loaded"))
		time.Sleep(20 * idleTime)
		require.True(t, holds(r, "kept"))
		require.Equal(t, Stats{Held: 1, Claimed: 2, Released: 1}, u.Stats())

		has.set(u, true, "evicted")
		synctest.Wait()
		require.True(t, holds(r, "evicted"), "it can be claimed again")
		time.Sleep(20 * idleTime)
		require.Equal(t, Stats{Held: 2, Claimed: 3, Released: 1}, u.Stats())
	})
}

// A key that comes and goes keeps its name, and leaves nothing behind each time.
func TestHotNameDoesNotFlap(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, has, end := idleKeys(t, r)
		defer end()
		has.set(u, true, "hot", "asked", "other")
		synctest.Wait()
		has.set(u, false, "asked", "other")
		for range 50 {
			has.set(u, true, "hot")
			time.Sleep(idleTime / 20)
			has.set(u, false, "hot")
			require.Equal(t, "a", u.Owner("asked"))
			time.Sleep(idleTime * 9 / 10)
		}
		require.Equal(t, Stats{Held: 2, Claimed: 3, Released: 1}, u.Stats())
		require.EqualValues(t, 3, r.registers.Load())
		require.Equal(t, 2, idling(u))
		has.set(u, true, "hot")
		require.Equal(t, 1, idling(u))
		has.set(u, false, "hot")
		time.Sleep(idleTime + idleTime/100)
		require.Zero(t, u.Stats().Held)
		require.Zero(t, idling(u))
	})
}

// idling returns the number of idle claims.
func idling(u *keys) (n int) {
	for i := range u.claims.shards {
		s := &u.claims.shards[i]
		s.mu.Lock()
		n += s.idle.Len()
		s.mu.Unlock()
	}
	return n
}

// Many keys of the same shards become idle in turn, and some are used again. The others are
// released in time, and no others.
func TestIdleReleaseOfMany(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, has, end := idleKeys(t, r)
		defer end()
		const n = 900 // one each ms: all are there before the first one is due
		names := make([]string, n)
		was := make([]time.Time, n)
		for i := range names {
			was[i] = time.Now()
			names[i] = string(rune('a'+i%26)) + time.Duration(i).String()
			has.set(u, true, names[i])
			synctest.Wait()
			has.set(u, false, names[i])
			time.Sleep(time.Millisecond)
		}
		for i := 0; i < n; i += 3 {
			has.set(u, true, names[i])
		}
		require.Equal(t, n-(n+2)/3, idling(u))
		for i := range n / 2 { // until each is due
			time.Sleep(time.Until(was[i].Add(idleTime + idleTime/100 + time.Microsecond)))
			synctest.Wait()
			require.Equal(t, i%3 == 0, holds(r, names[i]), i)
		}
		time.Sleep(2 * idleTime)
		require.Equal(t, (n+2)/3, u.Stats().Held)
		require.Zero(t, idling(u))
	})
}

// A key that comes while its name is being released gets a new claim, and not the registration that
// is about to end.
func TestClaimWhileTheNameIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, has, end := idleKeys(t, r)
		defer end()
		has.set(u, true, "k")
		synctest.Wait()
		h, s := u.claims, u.claims.shard("k")
		s.mu.Lock()
		have := s.claims["k"]
		h.startRelease(s, have)
		s.mu.Unlock()
		has.set(u, false, "k")
		require.False(t, h.release("k"), "it is under way")
		has.set(u, true, "k")
		synctest.Wait()
		require.EqualValues(t, 1, r.registers.Load())
		h.finishRelease(s, have)
		synctest.Wait()
		require.True(t, holds(r, "k"))
		require.Equal(t, Stats{Held: 1, Claimed: 2, Released: 1}, u.Stats())
		require.Zero(t, idling(u))
	})
}

// A name that the registry grants after Close is released.
func TestNameThatComesAfterClose(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, has, end := idleKeys(t, r)
		open := r.jam()
		r.ignoresContext.Store(true)
		has.set(u, true, "k")
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, u.Close(ctx), context.Canceled)
		open()
		end()
	})
}

// If keys close while names wait for the registry, none is held afterwards.
func TestCloseDuringAClaim(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, has, end := idleKeys(t, r)
		has.set(u, true, "held")
		synctest.Wait()
		open := r.jam()
		has.set(u, true, "k", "l")
		synctest.Wait()
		end()
		open()
		synctest.Wait()
		require.Zero(t, r.Len())
		has.set(u, true, "k")
		synctest.Wait()
		require.Zero(t, r.Len())
		require.Equal(t, Stats{Claimed: 1, Released: 1}, u.Stats())
	})
}
