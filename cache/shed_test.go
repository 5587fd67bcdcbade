package cache

import (
	"math"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestExcess(t *testing.T) {
	for _, tt := range []struct {
		name string
		m    memory
		want float64
	}{
		{"no limit", memory{limit: math.MaxInt64, live: 1 << 40}, 0},
		{"before the first collection", memory{limit: 100, other: 200}, 0},
		{"room", memory{limit: 1000, live: 500, other: 100}, -0.4},
		{"just full", memory{limit: 1000, live: 700, other: 100}, 0},
		{"too much", memory{limit: 1000, live: 900, other: 100}, 200. / 900},
	} {
		require.InDelta(t, tt.want, tt.m.excess(0.8), 1e-9, tt.name)
	}
}

// The entries next to be evicted are shed, as far as too much memory is in use, and once per
// garbage collection.
func TestShed(t *testing.T) {
	for _, policy := range []Policy{Adaptive, LRU, TinyLFU} {
		synctest.Test(t, func(t *testing.T) {
			now := memory{limit: 1000, live: 500, other: 100, cycles: 1}
			reasons := map[Reason]int{}
			c, err := New(Options[int, int]{Capacity: 100_000, Policy: policy, ShedAbove: 0.8,
				OnEviction: func(_, _ int, r Reason) { reasons[r]++ }})
			require.NoError(t, err)
			var mu sync.Mutex
			c.memory = func() memory {
				mu.Lock()
				defer mu.Unlock()
				return now
			}
			collected := func(live uint64) {
				mu.Lock()
				now.live, now.cycles = live, now.cycles+1
				mu.Unlock()
				time.Sleep(10 * shedEvery)
				synctest.Wait()
			}
			const n = 50_000
			for i := range n {
				c.Set(i, i)
			}
			collected(500)
			require.Equal(t, n, c.Len(), "there is room")

			collected(800) // 900 of 1000: an eighth of the live heap too much
			require.InDelta(t, n-n/8, c.Len(), float64(len(c.shards)), "to within one of each shard")
			require.Equal(t, n-c.Len(), reasons[ReasonMemory])
			require.Equal(t, uint64(reasons[ReasonMemory]), c.Stats().Shed)
			require.Zero(t, c.Stats().Evictions)
			require.NoError(t, c.Audit())

			before := c.Len()
			collected(5000) // far too much: not all at once
			require.InDelta(t, float64(before)*(1-maxShedShare), c.Len(), float64(len(c.shards)))

			require.NoError(t, c.Close())
		})
	}
}

// readMemory reads metrics that the runtime has.
func TestReadMemory(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 40))
	debug.FreeOSMemory()
	m := readMemory()
	require.Equal(t, uint64(1<<40), m.limit)
	require.Positive(t, m.cycles)
	require.Less(t, m.live, uint64(1<<32))
	require.Positive(t, m.live)
	require.Less(t, m.other, uint64(1<<32))
	require.Less(t, m.excess(0.8), 0.)
}
