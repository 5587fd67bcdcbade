package cache_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/internal/workload"
)

// With default options the hit ratio is within a point of that of the better of LRU and TinyLFU,
// whichever that is: for popular keys, for keys that come a few times and never again, for a loop,
// and for scans.
func TestDefaultPolicyIsNeverTheWrongOne(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, so the race detector finds nothing")
	}
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	requests := 400_000
	if testing.Short() {
		requests = 200_000
	}
	popular, err := workload.NewZipf(100_000, 1.01)
	require.NoError(t, err)
	next := int(1 << 20)
	fresh := func() int {
		next++
		return next
	}
	recent := make([]int, 2000)
	loads := map[string]func(i int) int{
		"popular": func(int) int { return int(popular.Draw(r)) }, //nolint:gosec // below 100,000
		"loop":    func(i int) int { return i % 8000 },
		"scans": func(i int) int {
			if i/5000%2 == 0 {
				return int(popular.Draw(r)) //nolint:gosec // below 100,000
			}
			return fresh()
		},
		"recent": func(int) int {
			at := r.IntN(len(recent))
			if r.IntN(3) == 0 {
				recent[at] = fresh()
			}
			return recent[at]
		},
	}
	for name, load := range loads {
		ids := make([]int, requests)
		for i := range ids {
			ids[i] = load(i)
		}
		for _, capacity := range []int{200, 800, 2000} {
			ratio := func(p cache.Policy) float64 {
				c := newCache(t, cache.Options[int, int]{Capacity: capacity, Policy: p})
				hits := 0
				for _, id := range ids {
					if _, ok := c.Get(id); ok {
						hits++
					} else {
						c.Set(id, 0)
					}
				}
				return 100 * float64(hits) / float64(len(ids))
			}
			var none cache.Options[int, int]
			got, lru, tiny := ratio(none.Policy), ratio(cache.LRU), ratio(cache.TinyLFU)
			what := fmt.Sprintf("%s, %d entries: %.2f %%, LRU %.2f %%, TinyLFU %.2f %%", name, capacity,
				got, lru, tiny)
			t.Log(what)
			require.Greater(t, got, max(lru, tiny)-1, what)
		}
	}
}
