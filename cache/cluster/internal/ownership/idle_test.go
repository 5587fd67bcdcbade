package ownership

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const idleTime = time.Second

// idleKeys makes keys in a bubble, which are closed when the function that it returns is called.
func idleKeys(t *testing.T, r *gated) (*keys, func()) {
	t.Helper()
	u := newKeys(Config{
		Registry: r, Self: "a", Cache: "test", IdleRelease: idleTime,
		Lost: func(func(string) bool) { t.Error("nothing was lost") },
	})
	u.SetMembers([]string{"a"})
	return u, func() {
		require.NoError(t, u.Close(t.Context()))
		synctest.Wait()
		require.Zero(t, r.Len(), "nothing is left in the registry")
		require.Zero(t, u.Stats().Held)
	}
}

func mustClaim(t *testing.T, u Units, list ...string) {
	t.Helper()
	for _, key := range list {
		owner, err := u.Claim(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, Owner{"a", true}, owner)
	}
}

// holds reports whether the name is in the registry, without asking for it as who wants to fetch it.
func holds(r *gated, key string) bool {
	_, ok := r.Registry.Lookup("cache/test/key/" + key)
	return ok
}

// A name is given up once its key has been gone for IdleRelease, and not while it is there.
func TestIdleRelease(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, end := idleKeys(t, r)
		defer end()
		time.Sleep(20 * idleTime) // nothing is there: nothing is looked at
		mustClaim(t, u, "failed", "evicted", "kept")
		u.Arrived("evicted")
		u.Arrived("kept")
		time.Sleep(idleTime / 2)
		u.Left("evicted")
		u.Left("evicted")
		u.Left("never heard of")
		u.Arrived("never heard of")

		time.Sleep(idleTime/2 - time.Millisecond)
		require.True(t, holds(r, "failed"), "its load may still be under way")
		time.Sleep(idleTime/100 + time.Millisecond)
		require.False(t, holds(r, "failed"), "nothing arrived")
		require.Equal(t, Owner{Node: "a"}, u.Owner("failed"))
		time.Sleep(idleTime/2 - idleTime/100 - time.Millisecond)
		require.True(t, holds(r, "evicted"))
		time.Sleep(idleTime/100 + time.Millisecond)
		require.False(t, holds(r, "evicted"))
		time.Sleep(20 * idleTime)
		require.True(t, holds(r, "kept"))
		require.Equal(t, Stats{Held: 1, Claimed: 3, Released: 2}, u.Stats())

		mustClaim(t, u, "evicted")
		require.True(t, holds(r, "evicted"), "it can be claimed again")
		u.Arrived("evicted")
		time.Sleep(20 * idleTime)
		require.Equal(t, Stats{Held: 2, Claimed: 4, Released: 2}, u.Stats())
	})
}

// A key that comes and goes keeps its name, and leaves nothing behind each time.
func TestHotNameDoesNotFlap(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, end := idleKeys(t, r)
		defer end()
		mustClaim(t, u, "hot", "asked", "claimed", "other")
		for range 50 {
			u.Arrived("hot")
			time.Sleep(idleTime / 20)
			u.Left("hot")
			require.Equal(t, Owner{"a", true}, u.Owner("asked"))
			mustClaim(t, u, "claimed")
			time.Sleep(idleTime * 9 / 10)
		}
		require.Equal(t, Stats{Held: 3, Claimed: 4, Released: 1}, u.Stats())
		require.EqualValues(t, 4, r.registers.Load())
		require.Equal(t, 3, idling(u))
		u.Arrived("hot")
		require.Equal(t, 2, idling(u))
		u.Left("hot")
		time.Sleep(idleTime + idleTime/100)
		require.Zero(t, u.Stats().Held)
		require.Zero(t, idling(u))
	})
}

// idling counts what is in the lists.
func idling(u *keys) (n int) {
	for i := range u.holdings.shards {
		n += idlingIn(&u.holdings.shards[i])
	}
	return n
}

// idlingIn counts a list, from both ends: -1 if they differ.
func idlingIn(s *shard) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	back := 0
	for have := s.idlers.oldest; have != nil; have = have.next {
		n++
	}
	for have := s.idlers.newest; have != nil; have = have.prev {
		back++
	}
	if n != back {
		return -1
	}
	return n
}

// Many keys of the same shards become idle in turn, and some are used again: the others go in time, and only they.
func TestIdleReleaseOfMany(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, end := idleKeys(t, r)
		defer end()
		const n = 900 // one each ms: all are there before the first one is due
		names := make([]string, n)
		was := make([]time.Time, n)
		for i := range names {
			was[i] = time.Now()
			names[i] = string(rune('a'+i%26)) + time.Duration(i).String()
			mustClaim(t, u, names[i])
			time.Sleep(time.Millisecond)
		}
		for i := 0; i < n; i += 3 {
			u.Arrived(names[i])
		}
		require.Equal(t, n-(n+2)/3, idling(u))
		for i := range n / 2 { // time goes on to when each is due
			time.Sleep(time.Until(was[i].Add(idleTime + idleTime/100 + time.Microsecond)))
			synctest.Wait()
			require.Equal(t, i%3 == 0, holds(r, names[i]), i)
		}
		time.Sleep(2 * idleTime)
		require.Equal(t, (n+2)/3, u.Stats().Held)
		require.Zero(t, idling(u))
	})
}

// Who claims a name that is just being given up gets one that is held: not the one that is about to end.
func TestClaimWhileTheNameIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, end := idleKeys(t, r)
		defer end()
		mustClaim(t, u, "k")
		h, s := u.holdings, u.holdings.shard("k")
		s.mu.Lock()
		have := s.units["k"]
		h.goes(s, have)
		s.mu.Unlock()
		u.Arrived("k")
		u.Left("k")
		require.False(t, h.release("k"), "it is under way")
		claimed := make(chan error, 1)
		go func() {
			_, err := u.Claim(t.Context(), "k")
			claimed <- err
		}()
		synctest.Wait()
		require.Empty(t, claimed)
		h.give(s, have)
		require.NoError(t, <-claimed)
		require.True(t, holds(r, "k"))
		require.Equal(t, Stats{Held: 1, Claimed: 2, Released: 1}, u.Stats())
		require.Equal(t, 1, idling(u))
	})
}

// A name that the registry hands out after Close is given back.
func TestNameThatComesAfterClose(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, end := idleKeys(t, r)
		open := r.jam()
		r.deaf.Store(true)
		failed := make(chan error, 1)
		go func() {
			_, err := u.Claim(t.Context(), "k")
			failed <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, u.Close(ctx), context.Canceled)
		open()
		end()
		require.ErrorIs(t, <-failed, ErrClosed)
	})
}

// Close during a claim that waits: the caller is told, and no name comes after it.
func TestCloseDuringAClaim(t *testing.T) {
	bubble(t, func(t *testing.T, r *gated) {
		u, end := idleKeys(t, r)
		mustClaim(t, u, "held")
		open := r.jam()
		failed := make(chan error)
		for _, key := range []string{"k", "l"} {
			go func() {
				_, err := u.Claim(context.Background(), key)
				failed <- err
			}()
		}
		synctest.Wait()
		end()
		require.Error(t, <-failed)
		require.Error(t, <-failed)
		open()
		synctest.Wait()
		require.Zero(t, r.Len())
		_, err := u.Claim(t.Context(), "k")
		require.ErrorIs(t, err, ErrClosed)
		require.Equal(t, Stats{Claimed: 1, Released: 1}, u.Stats())
	})
}
