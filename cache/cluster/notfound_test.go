package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
)

// A missing record is an answer: the owner remembers it, and other nodes do so for as long as a
// copy.
func TestNotFound(t *testing.T) {
	errNoRow := errors.New("no row")
	for name, err := range map[string]error{
		"sentinel": fmt.Errorf("user 7: %w", cache.ErrNotFound), "of the user": errNoRow,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var from origin
			from.set(func(context.Context, string, int) (string, error) { return "", err })
			nodes := start(t, 3, &from, func(_ int, o *cluster.Options[string]) {
				o.CopyTTL, o.Cache.NotFoundTTL = time.Hour, 2*time.Hour
				o.Cache.IsNotFound = func(err error) bool { return errors.Is(err, errNoRow) }
				o.Errors = map[string]error{"no-row": errNoRow}
			})
			for range 5 {
				for _, n := range nodes {
					_, got := n.Fetch(t.Context(), "k")
					require.ErrorIs(t, got, cache.ErrNotFound)
					require.Equal(t, errors.Is(err, errNoRow), errors.Is(got, errNoRow))
					var load *cluster.LoadError
					if errors.As(got, &load) {
						require.Equal(t, cluster.NotFound, load.Kind)
					}
				}
			}
			require.Equal(t, 1, from.count("k"))
			asked, served := uint64(0), uint64(0)
			for _, n := range nodes {
				s := n.Stats()
				asked, served = asked+s.Asked, served+s.Served
				require.Zero(t, s.LoadErrors)
				require.Zero(t, s.ServedErrors)
			}
			require.EqualValues(t, 2, asked, "each of the others once")
			require.EqualValues(t, 2, served)

			from.set(nil)
			require.NoError(t, nodes[0].Delete(t.Context(), "k"))
			for _, n := range nodes {
				requireValue(t, n, "k#2")
			}
		})
	}
}

// The same holds for a load in place of the owner.
func TestNotFoundOfALocalLoad(t *testing.T) {
	errNoRow := errors.New("no row")
	var from origin
	nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) {
		o.CopyTTL, o.Cache.NotFoundTTL = time.Hour, time.Hour
		o.Cache.IsNotFound = func(err error) bool { return errors.Is(err, errNoRow) }
	})
	requireValue(t, nodes[0], "k#1")
	own := owner(t, nodes)
	n := others(nodes, own)[0]
	require.NoError(t, n.Delete(t.Context(), "k"))
	own.unplug()
	from.set(func(context.Context, string, int) (string, error) { return "", errNoRow })
	for range 5 {
		_, err := n.Fetch(t.Context(), "k")
		require.ErrorIs(t, err, cache.ErrNotFound)
		require.ErrorIs(t, err, errNoRow)
	}
	require.Equal(t, 2, from.count("k"))
	require.Zero(t, n.Stats().LoadErrors)
}

// Without copies other nodes do not remember missing records.
func TestNotFoundWithoutCopies(t *testing.T) {
	var from origin
	from.set(func(context.Context, string, int) (string, error) { return "", cache.ErrNotFound })
	nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) {
		o.CopyTTL, o.Cache.NotFoundTTL = -1, time.Hour
	})
	for range 5 {
		for _, n := range nodes {
			_, err := n.Fetch(t.Context(), "k")
			require.ErrorIs(t, err, cache.ErrNotFound)
		}
	}
	require.Equal(t, 1, from.count("k"))
	require.EqualValues(t, 5, nodes[0].Stats().Asked+nodes[1].Stats().Asked)
}
