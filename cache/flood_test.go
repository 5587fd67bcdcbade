package cache_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/internal/workload"
)

// A flood of ids that do not exist costs the keys that do exist less than a point of their
// hit ratio, and memory for MaxNotFound keys.
func TestFloodOfUnknownIDs(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, so the race detector finds nothing")
	}
	const capacity, keys, perRequest = 20_000, 100_000, 10
	flood := 10_000_000
	if testing.Short() {
		flood = 1_000_000
	}
	load := func(_ context.Context, id int) (int, error) {
		if id < 0 {
			return 0, cache.ErrNotFound
		}
		return id, nil
	}
	for policy, flood := range map[cache.Policy]int{cache.Adaptive: flood, cache.TinyLFU: flood / 10} {
		z, err := workload.NewZipf(keys, 1.01)
		require.NoError(t, err)
		r := workload.Stream(1)
		ids := make([]int, flood/perRequest)
		for i := range ids {
			ids[i] = int(z.Draw(r))
		}
		// run returns the hit ratio of ids, with unknown ones between them.
		run := func(unknown int) (ratio float64) {
			before := heap()
			c := newCache(t, cache.Options[int, int]{
				Capacity: capacity, Policy: policy, NotFoundTTL: time.Hour,
			})
			ctx := t.Context()
			loads, next := 0, 0
			for _, id := range ids {
				if _, err := c.Fetch(ctx, id, func(context.Context, int) (int, error) {
					loads++
					return id, nil
				}); err != nil {
					t.Fatal(err)
				}
				for range unknown {
					next--
					if _, err := c.Fetch(ctx, next, load); err == nil {
						t.Fatal("found")
					}
				}
			}
			ratio = 100 * (1 - float64(loads)/float64(len(ids)))
			grown := int64(heap() - before)
			t.Logf("%-7v %8d unknown ids: hit ratio %.2f %%, %d of them remembered, heap +%d KiB",
				policy, -next, ratio, c.NotFoundKeys(), grown>>10)
			require.LessOrEqual(t, c.NotFoundKeys(), capacity/10)
			require.Equal(t, uint64(-next), c.Stats().NotFound)
			require.Zero(t, c.Stats().LoadErrors)
			require.Less(t, grown, int64(capacity*200+capacity/10*300+2*mib))
			runtime.KeepAlive(c)
			return ratio
		}
		alone := run(0)
		require.InDelta(t, alone, run(perRequest), 1, "%v", policy)
	}
}
