package evict

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// turns returns requests that are in turn, for n each, a loop over the same keys and keys that are
// asked for three times, on average, and never again.
func turns(r *rand.Rand, size, n int) (load []uint32) {
	recent := make([]uint32, size*2/3)
	next := uint32(1 << 20)
	loop := 0
	for i := range 80 * n {
		if i/n%2 == 0 {
			loop++
			load = append(load, uint32(loop%(size*3/2))) //nolint:gosec // small
			continue
		}
		at := r.IntN(len(recent))
		if r.IntN(3) == 0 {
			next++
			recent[at] = next
		}
		load = append(load, recent[at])
	}
	return load
}

// A load that changes again and again does not make the cache follow too late each time: however
// long its turns are, the cache has about as many hits as with the worse of two fixed windows, or
// more. With long turns it has more than with either.
func TestTurnsOfAnyLength(t *testing.T) {
	skipIfRace(t)
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	const size = 300
	for _, times := range []int{1, 2, 4, 6, 8, 10, 12, 20} {
		load := turns(r, size, times*size)
		percent := func(c *cacheOf) int {
			for _, key := range load {
				c.get(key)
			}
			return 100 * c.hits / len(load)
		}
		adapts, _ := adaptive(size)
		got := percent(adapts)
		tiny := percent(newCacheOf(NewTinyLFU(windowOf(tinyShare)), size))
		lru := percent(newCacheOf(NewTinyLFU(windowOf(wholeShare)), size))
		t.Logf("turns of %d times the size: %d %%, TinyLFU %d %%, LRU %d %%", times, got, tiny, lru)
		require.Greater(t, got, min(tiny, lru)-4, "turns of %d times the size", times)
		if times >= 20 {
			require.Greater(t, got, max(tiny, lru), "turns of %d times the size", times)
		}
	}
}
