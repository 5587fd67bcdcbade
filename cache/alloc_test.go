package cache_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
)

// A hit allocates nothing.
func TestHitsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	testHits(t, 42)
	testHits(t, "a key of some length")
	testHits(t, bigKey{name: "a"})
	testHits(t, any("in an interface"))
}

func testHits[K comparable](t *testing.T, key K) {
	t.Helper()
	for name, o := range map[string]cache.Options[K, int]{
		"no TTL":  {},
		"TTL":     {TTL: time.Hour, TTLJitter: 0.1},
		"refresh": {TTL: time.Hour, RefreshAt: 0.1},
		"large":   {Capacity: 1_000_000},
	} {
		c := newCache(t, o)
		c.Set(key, 5)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		t.Cleanup(cancel)
		fetch := func(context.Context, K) (int, error) { return 0, errLoad }
		require.Zero(t, testing.AllocsPerRun(1000, func() {
			if v, ok := c.Get(key); !ok || v != 5 {
				t.Error("no hit")
			}
		}), "Get, %T, %s", key, name)
		require.Zero(t, testing.AllocsPerRun(1000, func() {
			if v, err := c.Fetch(ctx, key, fetch); err != nil || v != 5 {
				t.Error("no hit")
			}
		}), "Fetch, %T, %s", key, name)
		c.Delete(key)
		require.Zero(t, testing.AllocsPerRun(1000, func() { c.Get(key) }), "miss, %T, %s", key, name)
	}
}
