package registry_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/snowfence/snowfence/registry"
)

// Any bytes are a valid name, and arrive unchanged on another node, whether or not there are groups
// of the same name.
func TestAnyBytesAreAName(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		bytes := rapid.OneOf(rapid.Byte(), rapid.ByteRange(0, 2), rapid.ByteRange(0xfe, 0xff))
		names := rapid.SliceOfNDistinct(rapid.Map(rapid.SliceOfN(bytes, 1, 12),
			func(b []byte) string { return string(b) }),
			1, 12, rapid.ID[string]).Draw(rt, "names")
		withGroups := rapid.Bool().Draw(rt, "groups")
		synctest.Test(t, func(t *testing.T) { roundTrip(t, names, withGroups) })
	})
}

func roundTrip(t *testing.T, names []string, withGroups bool) {
	t.Helper()
	lan := registry.NewLAN()
	a, b := registry.OpenOn(t, lan, "a", 0), registry.OpenOn(t, lan, "b", 0)
	if withGroups {
		g := groupsOf(t, a)
		for _, name := range names {
			joined(t, g, name, "member")
			joined(t, g, "\x00\x01"+name, "member")
		}
	}
	w := b.Watch(t.Context(), registry.WatchNames(names...))
	for _, name := range names {
		_, err := a.Register(t.Context(), name, []byte(name))
		require.NoError(t, err)
	}
	time.Sleep(time.Second)
	slices.Sort(names)
	require.Equal(t, names, slices.Sorted(b.Names()))
	require.Equal(t, len(names), b.Len())
	require.Equal(t, len(names), b.Stats().Names)
	require.Equal(t, map[string]int{"a": len(names)}, b.CountByNode())
	var seen []string
	for range names {
		e, err := w.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, registry.Registered, e.Kind)
		seen = append(seen, e.Name)
	}
	slices.Sort(seen)
	require.Equal(t, names, seen)
	for _, name := range names {
		c, ok := b.Lookup(name)
		require.True(t, ok)
		require.Equal(t, name, c.Name)
		require.Equal(t, name, string(c.Meta))
		c, err := b.WaitFor(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, name, c.Name)
	}
	if withGroups {
		want := make(map[string]int)
		for _, name := range names {
			want[name]++
			want["\x00\x01"+name]++
		}
		g, got := groupsOf(t, b), make(map[string]int)
		for name := range g.Names() {
			got[name] = g.Len(name)
		}
		require.Equal(t, want, got)
	}
}
