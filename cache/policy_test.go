package cache

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Misses of keys that have no record do not count for the policy's window.
func TestWindowDoesNotSeeUnknownKeys(t *testing.T) {
	c, err := New(Options[int, int]{Policy: TinyLFU, NotFoundTTL: time.Hour})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	load := func(_ context.Context, key int) (int, error) {
		if key < 0 {
			return 0, ErrNotFound
		}
		return key, nil
	}
	for range 2 { // a load, and from memory
		_, err := c.Fetch(t.Context(), -1, load)
		require.ErrorIs(t, err, ErrNotFound)
	}
	require.Zero(t, c.missesOfRecords())
	_, err = c.Refresh(t.Context(), -1, load) // no miss, but counted as not found
	require.ErrorIs(t, err, ErrNotFound)
	require.Zero(t, c.missesOfRecords())
	for key := range 5 {
		_, err := c.Fetch(t.Context(), key, load)
		require.NoError(t, err)
	}
	require.Equal(t, uint64(4), c.missesOfRecords(), "without the one that was no miss")
	require.Equal(t, uint64(7), c.Stats().Misses)
}
