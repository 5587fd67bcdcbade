//go:build !race

package cache

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Where the memory bounds the number of entries, far below Capacity, the default policy adapts to
// that bound: keys that are asked for a few times and never again have about the hits of an LRU.
func TestPolicyAdaptsToShedding(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	const requests, room = 200_000, 2000
	hits := func(policy Policy) (n int) {
		c, err := New(Options[int, int]{Capacity: 1_000_000, Policy: policy, ShedAbove: 0.8})
		require.NoError(t, err)
		r := rand.New(rand.NewPCG(seed, 0))
		recent := make([]int, room*3/4)
		for i := range requests {
			at := r.IntN(len(recent))
			if r.IntN(3) == 0 {
				recent[at] = i + 1
			}
			if _, ok := c.Get(recent[at]); ok {
				n++
			} else {
				c.Set(recent[at], i)
			}
			for shard := 0; c.Len() > room; shard++ {
				c.shedShard(&c.shards[shard%len(c.shards)], 1)
			}
		}
		require.NoError(t, c.Close())
		return n
	}
	require.Greater(t, hits(Adaptive), hits(LRU)-requests*4/100)
}
