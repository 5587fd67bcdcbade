package ownership

import (
	"context"
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

	ub.SetMembers([]string{"b"})
	require.Equal(t, Owner{Node: "b"}, ub.Owner("k"), "a holder that is no member can't be asked")
	owner, err = ub.Claim(t.Context(), "k")
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

// A name is given up once its key has been gone for IdleRelease, and not while it is there.
func TestIdleRelease(t *testing.T) {
	const idle = 50 * time.Millisecond
	r := openRegistry(t, "a")
	u := openUnits(t, NewKeys, Config{Registry: r, IdleRelease: idle})
	u.SetMembers([]string{"a"})
	claim := func(key string) {
		_, err := u.Claim(t.Context(), key)
		require.NoError(t, err)
	}
	claim("kept")
	u.Arrived("kept")
	claim("hot")
	u.Arrived("hot")
	claim("failed") // its load failed: nothing arrived
	claim("evicted")
	u.Arrived("evicted")
	u.Left("evicted")
	u.Left("evicted")
	u.Left("never heard of")
	for range 20 { // it comes and goes, faster than it is idle
		u.Left("hot")
		time.Sleep(idle / 10)
		u.Arrived("hot")
	}
	soon(t, "the idle ones are given up", func() bool { return u.Stats().Released == 2 })
	require.True(t, u.Owner("kept").Held)
	require.True(t, u.Owner("hot").Held)
	require.False(t, u.Owner("failed").Held)
	require.False(t, u.Owner("evicted").Held)
	u.Left("kept")
	u.Left("hot")
	soon(t, "so are the others, later", func() bool { return u.Stats().Held == 0 })
	soon(t, "their names are free", func() bool { return r.Len() == 0 })
	claim("kept")
	require.Equal(t, 1, u.Stats().Held, "and can be claimed again")
}

// Two nodes that did not see each other hold a key; when they meet, one of them is told that it has lost it.
func TestConflict(t *testing.T) {
	a, b := openRegistry(t, "a"), openRegistry(t, "b")
	var lost atomic.Int64
	told := func(match func(string) bool) {
		lost.Add(1)
		assert.True(t, match("k"))
		assert.False(t, match("other"))
	}
	ua := openUnits(t, NewKeys, Config{Registry: a, IdleRelease: time.Hour, Lost: told})
	ub := openUnits(t, NewKeys, Config{Registry: b, IdleRelease: time.Hour, Lost: told})
	for _, u := range []Units{ua, ub} {
		u.SetMembers([]string{"a", "b"})
		_, err := u.Claim(t.Context(), "k")
		require.NoError(t, err)
		u.Arrived("k")
	}
	_, err := b.Join(t.Context(), a.Addr())
	require.NoError(t, err)
	soon(t, "the loser is told", func() bool { return lost.Load() == 1 })
	soon(t, "both agree", func() bool { return ua.Owner("k") == ub.Owner("k") && ua.Owner("k").Held })
	require.Equal(t, 1, ua.Stats().Held+ub.Stats().Held)
	require.EqualValues(t, 1, ua.Stats().Lost+ub.Stats().Lost)
	require.EqualValues(t, 1, lost.Load())
}

func TestKeysClose(t *testing.T) {
	r := openRegistry(t, "a")
	u := openUnits(t, NewKeys, Config{Registry: r, IdleRelease: time.Hour, Lost: func(func(string) bool) { t.Error("nothing was lost") }})
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

func TestClaimEndsWithItsCaller(t *testing.T) {
	r := openRegistry(t, "a")
	u := openUnits(t, NewKeys, Config{Registry: r, IdleRelease: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := u.Claim(ctx, "k"); err != nil { // it may have been quicker
		require.ErrorIs(t, err, context.Canceled)
	}
}
