package ownership

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry"
)

func TestKeyIsClaimedOnce(t *testing.T) {
	r := openRegistry(t, "a")
	u := openUnits(t, NewKeys, Config{Registry: r, IdleRelease: time.Hour})
	require.Equal(t, Owner{}, u.Owner("k"), "nobody is a member yet")
	u.SetMembers([]string{"a"})
	require.Equal(t, Owner{Node: "a"}, u.Owner("k"))
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			owner, err := u.Claim(t.Context(), "k")
			assert.NoError(t, err)
			assert.Equal(t, Owner{"a", true}, owner)
		})
	}
	wg.Wait()
	require.Equal(t, Owner{"a", true}, u.Owner("k"))
	require.Equal(t, Stats{Held: 1, Claimed: 1}, u.Stats())
	claim, ok := r.Lookup("cache/test/key/k")
	require.True(t, ok)
	require.Equal(t, "a", claim.Node)
}

func TestKeyThatAnotherNodeHolds(t *testing.T) {
	a := openRegistry(t, "a")
	b := openRegistry(t, "b", a.Addr())
	ua := openUnits(t, NewKeys, Config{Registry: a, IdleRelease: time.Hour})
	ub := openUnits(t, NewKeys, Config{Registry: b, IdleRelease: time.Hour})
	for _, u := range []Units{ua, ub} {
		u.SetMembers([]string{"a", "b"})
	}
	_, err := ua.Claim(t.Context(), "k")
	require.NoError(t, err)
	soon(t, "b sees it", func() bool { return ub.Owner("k") == Owner{"a", true} })
	owner, err := ub.Claim(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, Owner{"a", true}, owner)
	require.Zero(t, ub.Stats())
	require.NoError(t, ua.Close(t.Context()))
	soon(t, "it is free", func() bool { return !ub.Owner("k").Held })
	owner, err = ub.Claim(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, Owner{"b", true}, owner, "what it was told before is forgotten")
}

// A holder that is no member can't be asked.
func TestKeyOfAStranger(t *testing.T) {
	a := openRegistry(t, "a")
	b := openRegistry(t, "b", a.Addr())
	_, err := a.Register(t.Context(), "cache/test/key/k", nil)
	require.NoError(t, err)
	soon(t, "b sees it", func() bool { return b.Len() == 1 })
	ub := openUnits(t, NewKeys, Config{Registry: b})
	ub.SetMembers([]string{"b"})
	require.Equal(t, Owner{Node: "b"}, ub.Owner("k"), "a holder that is no member can't be asked")
	owner, err := ub.Claim(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, Owner{"a", true}, owner)
}

func TestLongKeys(t *testing.T) {
	r := openRegistry(t, "a")
	u := openUnits(t, NewKeys, Config{Registry: r, IdleRelease: time.Hour})
	u.SetMembers([]string{"a"})
	long := strings.Repeat("x", 100_000)
	for _, key := range []string{"", "\x00\xff/../", strings.Repeat("x", maxPlainKey), long, long + "y"} {
		require.False(t, u.Owner(key).Held)
		_, err := u.Claim(t.Context(), key)
		require.NoError(t, err)
		require.True(t, u.Owner(key).Held)
	}
	require.Equal(t, 5, u.Stats().Held)
	for name := range r.Names() {
		require.Less(t, len(name), 300)
	}
}

// Two nodes that did not see each other hold many keys; when they meet, the loser of each is told. It is told of all
// that were lost while it was busy in one call.
func TestConflict(t *testing.T) {
	for _, single := range []bool{false, true} {
		t.Run(fmt.Sprintf("LostKeys=%v", single), func(t *testing.T) {
			const n = 300
			a, b := openRegistry(t, "a"), openRegistry(t, "b")
			var calls atomic.Int64
			var lost sync.Map
			busy := make(chan struct{})
			told := func(keys []string) {
				if calls.Add(1) == 1 {
					<-busy
				}
				for _, key := range keys {
					_, twice := lost.LoadOrStore(key, true)
					assert.False(t, twice)
				}
			}
			c := Config{IdleRelease: time.Hour, Lost: func(match func(string) bool) {
				assert.False(t, match("other"))
				var keys []string
				for i := range n {
					if key := fmt.Sprint("key", i); match(key) {
						keys = append(keys, key)
					}
				}
				told(keys)
			}}
			if single {
				c.LostKeys, c.Lost = told, func(func(string) bool) { t.Error("not this one") }
			}
			c.Registry = a
			ua := openUnits(t, NewKeys, c)
			c.Registry = b
			ub := openUnits(t, NewKeys, c)
			for _, u := range []Units{ua, ub} { // b's are newer: a loses all
				u.SetMembers([]string{"a", "b"})
				for i := range n {
					_, err := u.Claim(t.Context(), fmt.Sprint("key", i))
					require.NoError(t, err)
					u.Arrived(fmt.Sprint("key", i))
				}
			}
			_, err := b.Join(t.Context(), a.Addr())
			require.NoError(t, err)
			soon(t, "all conflicts are settled", func() bool { return ua.Stats().Lost == n })
			require.Equal(t, Stats{Claimed: n, Lost: n}, ua.Stats())
			require.Equal(t, Stats{Held: n, Claimed: n}, ub.Stats())
			close(busy)
			soon(t, "the loser is told of all", func() bool {
				count := 0
				lost.Range(func(any, any) bool { count++; return true })
				return count == n
			})
			require.EqualValues(t, 2, calls.Load())
			for i := range n {
				require.Equal(t, Owner{"b", true}, ua.Owner(fmt.Sprint("key", i)))
			}
			owner, err := ua.Claim(t.Context(), "key0")
			require.NoError(t, err)
			require.Equal(t, Owner{"b", true}, owner)
		})
	}
}

// A conflict that is lost while its name is being given up is told all the same, and one that was claimed anew
// meanwhile is not given up for the end of the one before.
func TestClaimAfterAConflict(t *testing.T) {
	a, b := openRegistry(t, "a"), openRegistry(t, "b")
	told := make(chan struct{}, 10)
	u := openUnits(t, newKeys, Config{Registry: a, IdleRelease: time.Hour, LostKeys: func(keys []string) {
		assert.Equal(t, []string{"k"}, keys)
		told <- struct{}{}
	}})
	u.SetMembers([]string{"a", "b"})
	mustClaim(t, u, "k")
	s := u.holdings.shard("k")
	s.mu.Lock()
	have := s.units["k"]
	s.mu.Unlock()
	require.True(t, have.forget(), "as if its func had not run yet")
	other, err := b.Register(t.Context(), "cache/test/key/k", nil)
	require.NoError(t, err)
	_, err = b.Join(t.Context(), a.Addr())
	require.NoError(t, err)
	soon(t, "the conflict is settled", func() bool { return have.registration.Context().Err() != nil })
	require.NoError(t, other.Release())
	soon(t, "it is free", func() bool { return !u.Owner("k").Held })
	mustClaim(t, u, "k")
	soon(t, "it is told", func() bool { return len(told) == 1 })
	u.holdings.ended(s, have)
	require.Equal(t, Stats{Held: 1, Claimed: 2, Lost: 1}, u.Stats())
	require.True(t, u.Owner("k").Held)
}

// Close waits for who is being told of a loss, but not for longer than it may.
func TestCloseWaitsForLost(t *testing.T) {
	r := openRegistry(t, "a")
	busy, begun := make(chan struct{}), make(chan struct{})
	u := openUnits(t, newKeys, Config{Registry: r, LostKeys: func([]string) {
		close(begun)
		<-busy
	}})
	u.holdings.losses.add("k")
	<-begun
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("tired")
	cancel(why)
	require.ErrorIs(t, u.Close(ctx), why)
	u.holdings.losses.add("later") // would close begun again
	close(busy)
	require.NoError(t, u.Close(t.Context()))
}

func TestKeysClose(t *testing.T) {
	r := openRegistry(t, "a")
	u := openUnits(t, NewKeys, Config{
		Registry: r, IdleRelease: time.Hour, Lost: func(func(string) bool) { t.Error("nothing was lost") },
	})
	u.SetMembers([]string{"a"})
	for i := range 100 {
		_, err := u.Claim(t.Context(), string(rune('a'+i)))
		require.NoError(t, err)
	}
	require.NoError(t, u.Close(t.Context()))
	require.Zero(t, r.Len())
	require.Equal(t, Stats{Claimed: 100, Released: 100}, u.Stats())
	_, err := u.Claim(t.Context(), "k")
	require.ErrorIs(t, err, ErrClosed)
	u.Arrived("a")
	u.Left("a")
	require.NoError(t, u.Close(t.Context()), "again")
}

// Who closes without patience is not kept, and the names go all the same.
func TestCloseGoesOn(t *testing.T) {
	r := openRegistry(t, "a")
	u := openUnits(t, NewKeys, Config{Registry: r})
	u.SetMembers([]string{"a"})
	for i := range 5000 {
		mustClaim(t, u, fmt.Sprint("key", i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, u.Close(ctx), context.Canceled)
	require.Zero(t, u.Stats().Held)
	_, err := u.Claim(t.Context(), "key1")
	require.ErrorIs(t, err, ErrClosed)
	require.NoError(t, u.Close(t.Context()))
	require.Equal(t, Stats{Claimed: 5000, Released: 5000}, u.Stats())
	require.Zero(t, r.Len())
}

// Without a registry nothing can be claimed, and nothing is held.
func TestRegistryCloses(t *testing.T) {
	r, err := registry.Open(t.Context(), registry.Config{NodeName: "a"})
	require.NoError(t, err)
	u := openUnits(t, NewKeys, Config{Registry: r, IdleRelease: time.Hour})
	u.SetMembers([]string{"a"})
	_, err = u.Claim(t.Context(), "k")
	require.NoError(t, err)
	require.NoError(t, r.Close())
	soon(t, "it is forgotten", func() bool { return u.Stats().Held == 0 })
	_, err = u.Claim(t.Context(), "k")
	require.ErrorIs(t, err, registry.ErrClosed)
	require.Zero(t, u.Stats().Lost)
}

// Callers on all sides, names that go all the time: at the end the counts agree, with each other and with the
// registry.
func TestKeysInAHurry(t *testing.T) {
	r := openRegistry(t, "a")
	seed := time.Now().UnixNano()
	t.Log("seed", seed)
	k := openUnits(t, newKeys, Config{
		Registry: r, IdleRelease: time.Millisecond, Lost: func(func(string) bool) { t.Error("nothing was lost") },
	})
	k.SetMembers([]string{"a", "b"})
	var wg sync.WaitGroup
	for g := range 8 {
		random := rand.New(rand.NewPCG(uint64(seed), uint64(g))) //nolint:gosec // a test; no time is negative
		wg.Go(func() {
			for range 3000 {
				key := fmt.Sprint("key", random.IntN(20))
				switch random.IntN(8) {
				case 0:
					k.Left(key)
				case 1:
					k.Arrived(key)
				case 2:
					k.Owner(key)
				case 3:
					k.holdings.release(key)
				case 4:
					time.Sleep(time.Duration(random.IntN(100)) * time.Microsecond)
				default:
					owner, err := k.Claim(t.Context(), key)
					assert.NoError(t, err)
					assert.Equal(t, Owner{"a", true}, owner)
				}
			}
		})
	}
	wg.Wait()
	for i := range 20 {
		k.Left(fmt.Sprint("key", i))
	}
	soon(t, "all go", func() bool {
		stats := k.Stats() // a name is counted as released once it is, which r shows before
		return stats.Held == 0 && r.Len() == 0 && stats.Claimed == stats.Released
	})
	require.Zero(t, idling(k))
	require.Zero(t, k.holdings.waiting.Load())
}
