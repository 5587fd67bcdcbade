package ownership

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry"
)

func TestKeyIsClaimedOnce(t *testing.T) {
	r := openRegistry(t, "a")
	has := new(entries)
	u := openOwners(t, NewKeys, Config{Registry: r, IdleRelease: time.Hour, Has: has.has})
	require.Empty(t, u.Owner("k"), "there are no members yet")
	u.SetMembers([]string{"a"})
	require.Equal(t, "a", u.Owner("k"))
	require.Zero(t, u.Stats(), "there is nothing to own yet")
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { has.set(u, true, "k") })
	}
	wg.Wait()
	soon(t, "it is claimed", func() bool { return u.Stats() == Stats{Held: 1, Claimed: 1} })
	require.Equal(t, "a", u.Owner("k"))
	claim, ok := r.Lookup("cache/test/key/k")
	require.True(t, ok)
	require.Equal(t, "a", claim.Node)
}

func TestKeyThatAnotherNodeHolds(t *testing.T) {
	a := openRegistry(t, "a")
	b := openRegistry(t, "b", a.Addr())
	has := new(entries)
	ua := openOwners(t, NewKeys, Config{Registry: a, IdleRelease: time.Hour, Has: has.has})
	ub := openOwners(t, NewKeys, Config{Registry: b, IdleRelease: time.Hour, Has: has.has})
	key := ""
	for i := 0; key == ""; i++ { // whose home is a
		ua.SetMembers([]string{"a", "b"})
		if k := fmt.Sprint("k", i); ua.Owner(k) == "a" {
			key = k
		}
	}
	has.set(ua, true, key)
	soon(t, "b sees it", func() bool { return b.Len() == 1 })
	ub.SetMembers([]string{"a", "b"})
	ub.Changed(key)
	require.Equal(t, "a", ub.Owner(key))
	require.Zero(t, ub.Stats())
	require.NoError(t, ua.Close(t.Context()))
	soon(t, "it is free", func() bool { return b.Len() == 0 })
	ub.SetMembers([]string{"b"})
	ub.Changed(key)
	soon(t, "b has claimed it", func() bool { return ub.Stats().Held == 1 })
	require.Equal(t, "b", ub.Owner(key))
}

// A holder that is no member can't be asked. Its key is loaded by the home, whose entry is a copy.
func TestKeyOfAStranger(t *testing.T) {
	a := openRegistry(t, "a")
	b := openRegistry(t, "b", a.Addr())
	_, err := a.Register(t.Context(), "cache/test/key/k", nil)
	require.NoError(t, err)
	soon(t, "b sees it", func() bool { return b.Len() == 1 })
	has, lost := new(entries), make(chan string, 1)
	ub := openOwners(t, NewKeys, Config{
		Registry: b, Has: has.has, Lost: func(key string) { lost <- key },
	})
	ub.SetMembers([]string{"b"})
	require.Equal(t, "b", ub.Owner("k"))
	has.set(ub, true, "k")
	require.Equal(t, "k", <-lost)
	require.Zero(t, ub.Stats())
}

func TestLongKeys(t *testing.T) {
	r := openRegistry(t, "a")
	has := new(entries)
	u := openOwners(t, NewKeys, Config{Registry: r, IdleRelease: time.Hour, Has: has.has})
	u.SetMembers([]string{"a"})
	long := strings.Repeat("x", 100_000)
	has.set(u, true, "", "\x00\xff/../", strings.Repeat("x", maxPlainKey), long, long+"y")
	soon(t, "all are held", func() bool { return u.Stats().Held == 5 })
	for name := range r.Names() {
		require.Less(t, len(name), 300)
	}
}

// Two nodes that did not see each other hold many keys. When they meet, Lost is called for each key
// on the node that loses it.
func TestConflict(t *testing.T) {
	const n = 300
	a, b := openRegistry(t, "a"), openRegistry(t, "b")
	var lost sync.Map
	has := new(entries)
	c := Config{IdleRelease: time.Hour, Has: has.has, Lost: func(key string) {
		_, twice := lost.LoadOrStore(key, true)
		assert.False(t, twice)
	}}
	c.Registry = a
	ua := openOwners(t, NewKeys, c)
	c.Registry = b
	ub := openOwners(t, NewKeys, c)
	var keys []string
	for i := range n {
		keys = append(keys, fmt.Sprint("key", i))
	}
	for u, self := range map[Owners]string{ua: "a", ub: "b"} {
		u.SetMembers([]string{self})
	}
	for _, u := range []Owners{ua, ub} { // b's are newer: a loses all
		has.set(u, true, keys...)
		soon(t, "all are held", func() bool { return u.Stats().Held == n })
		u.SetMembers([]string{"a", "b"})
	}
	_, err := b.Join(t.Context(), a.Addr())
	require.NoError(t, err)
	soon(t, "all conflicts are settled", func() bool { return ua.Stats().Lost == n })
	require.Equal(t, Stats{Claimed: n, Lost: n}, ua.Stats())
	require.Equal(t, Stats{Held: n, Claimed: n}, ub.Stats())
	soon(t, "Lost is called for all", func() bool {
		count := 0
		lost.Range(func(any, any) bool { count++; return true })
		return count == n
	})
	for _, key := range keys {
		require.Equal(t, "b", ua.Owner(key))
	}
}

// Lost is called for a name that is lost while it is being released. A name that is claimed again
// meanwhile is not released for the end of the claim before.
func TestClaimAfterAConflict(t *testing.T) {
	a, b := openRegistry(t, "a"), openRegistry(t, "b")
	told := make(chan string, 10)
	has := new(entries)
	u := openOwners(t, newKeys, Config{
		Registry: a, IdleRelease: time.Hour, Has: has.has, Lost: func(key string) { told <- key },
	})
	u.SetMembers([]string{"a"})
	has.set(u, true, "k")
	soon(t, "it is held", func() bool { return u.Stats().Held == 1 })
	s := u.claims.shard("k")
	s.mu.Lock()
	have := s.claims["k"]
	s.mu.Unlock()
	require.True(t, have.stopWatching(), "as if its func had not run yet")
	other, err := b.Register(t.Context(), "cache/test/key/k", nil)
	require.NoError(t, err)
	_, err = b.Join(t.Context(), a.Addr())
	require.NoError(t, err)
	soon(t, "the conflict is settled", func() bool { return have.registration.Context().Err() != nil })
	require.NoError(t, other.Release())
	soon(t, "it is free", func() bool { return a.Len() == 0 })
	u.claims.claim("k")
	again := Stats{Held: 1, Claimed: 2, Lost: 1}
	soon(t, "it is held again", func() bool { return u.Stats() == again })
	require.Equal(t, "k", <-told)
	u.claims.ended(s, have)
	require.Equal(t, again, u.Stats())
}

// Close waits for calls of Lost, but not longer than its context.
func TestCloseWaitsForLost(t *testing.T) {
	r := openRegistry(t, "a")
	busy, begun := make(chan struct{}), make(chan struct{})
	u := openOwners(t, newKeys, Config{Registry: r, Lost: func(string) {
		close(begun)
		<-busy
	}})
	u.claims.losses.add("k")
	<-begun
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("tired")
	cancel(why)
	require.ErrorIs(t, u.Close(ctx), why)
	u.claims.losses.add("later") // would close begun again
	close(busy)
	require.NoError(t, u.Close(t.Context()))
}

func TestKeysClose(t *testing.T) {
	r := openRegistry(t, "a")
	has := new(entries)
	u := openOwners(t, NewKeys, Config{
		Registry: r, IdleRelease: time.Hour, Has: has.has,
		Lost: func(string) { t.Error("nothing was lost") },
	})
	u.SetMembers([]string{"a"})
	for i := range 100 {
		has.set(u, true, string(rune('a'+i)))
	}
	soon(t, "all are held", func() bool { return u.Stats().Held == 100 })
	require.NoError(t, u.Close(t.Context()))
	require.Zero(t, r.Len())
	require.Equal(t, Stats{Claimed: 100, Released: 100}, u.Stats())
	has.set(u, true, "k")
	has.set(u, false, "a")
	require.NoError(t, u.Close(t.Context()), "again")
	require.Zero(t, r.Len())
}

// A Close whose context has ended returns at once, and the names are released all the same.
func TestCloseGoesOn(t *testing.T) {
	r := openRegistry(t, "a")
	has := new(entries)
	u := openOwners(t, NewKeys, Config{Registry: r, Has: has.has})
	u.SetMembers([]string{"a"})
	for i := range 5000 {
		has.set(u, true, fmt.Sprint("key", i))
	}
	soon(t, "all are held", func() bool { return u.Stats().Held == 5000 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, u.Close(ctx), context.Canceled)
	require.Zero(t, u.Stats().Held)
	require.NoError(t, u.Close(t.Context()))
	require.Equal(t, Stats{Claimed: 5000, Released: 5000}, u.Stats())
	require.Zero(t, r.Len())
}

// Without a registry nothing can be claimed, and nothing is held.
func TestRegistryCloses(t *testing.T) {
	r, err := registry.Open(t.Context(), registry.Config{NodeName: "a"})
	require.NoError(t, err)
	has := new(entries)
	u := openOwners(t, NewKeys, Config{Registry: r, IdleRelease: time.Hour, Has: has.has})
	u.SetMembers([]string{"a"})
	has.set(u, true, "k")
	soon(t, "it is held", func() bool { return u.Stats().Held == 1 })
	require.NoError(t, r.Close())
	soon(t, "it is forgotten", func() bool { return u.Stats().Held == 0 })
	has.set(u, true, "k")
	require.Zero(t, u.Stats().Lost)
}

// Keys come and go on many goroutines. At the end the counts agree with each other and with the
// registry.
func TestKeysInAHurry(t *testing.T) {
	r := openRegistry(t, "a")
	seed := time.Now().UnixNano()
	t.Log("seed", seed)
	has := new(entries)
	k := openOwners(t, newKeys, Config{
		Registry: r, IdleRelease: time.Millisecond, Has: has.has,
		Lost: func(string) { t.Error("nothing was lost") },
	})
	k.SetMembers([]string{"a"})
	var wg sync.WaitGroup
	for g := range 8 {
		random := rand.New(rand.NewPCG(uint64(seed), uint64(g))) //nolint:gosec // none is negative
		wg.Go(func() {
			for range 3000 {
				key := fmt.Sprint("key", random.IntN(20))
				switch random.IntN(8) {
				case 0:
					has.set(k, false, key)
				case 1:
					k.Owner(key)
				case 2:
					k.claims.release(key)
				case 3:
					time.Sleep(time.Duration(random.IntN(100)) * time.Microsecond)
				default:
					has.set(k, true, key)
				}
			}
		})
	}
	wg.Wait()
	for i := range 20 {
		has.set(k, true, fmt.Sprint("key", i))
	}
	soon(t, "all are held", func() bool { return k.Stats().Held == 20 && r.Len() == 20 })
	require.Zero(t, idling(k))
	for i := range 20 {
		has.set(k, false, fmt.Sprint("key", i))
	}
	soon(t, "all go", func() bool {
		stats := k.Stats() // a name is counted as released once it is, which r shows before
		return stats.Held == 0 && r.Len() == 0 && stats.Claimed == stats.Released
	})
	require.Zero(t, idling(k))
	require.Zero(t, k.claims.waiting.Load())
}
