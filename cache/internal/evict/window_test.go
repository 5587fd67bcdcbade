package evict

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// adaptive returns a cache of size entries with an adaptive window, which it reports uses to as a
// cache does.
func adaptive(size int) (c *cacheOf, w *Window) {
	w = NewAdaptiveWindow(func() int { return size })
	c = newCacheOf(NewTinyLFU(w), size)
	c.window = w
	return c, w
}

// requests makes sequences of requests, each of other keys.
type requests struct {
	r    *rand.Rand
	next uint32 // the next new key
}

// loop returns requests for keys one after the other, again and again. LRU has none of them if there
// is room for fewer.
func (q *requests) loop(keys, n int) []uint32 {
	base := q.next
	q.next += uint32(keys) //nolint:gosec // small
	all := make([]uint32, n)
	for i := range all {
		all[i] = base + uint32(i%keys) //nolint:gosec // small
	}
	return all
}

// recent returns requests for each key three times, about within requests, and never again.
func (q *requests) recent(within, n int) []uint32 {
	all := make([]uint32, n+within)
	for at := range n {
		if all[at] != 0 {
			continue
		}
		all[at] = q.next
		for range 2 {
			if again := at + q.r.IntN(within); all[again] == 0 { // taken otherwise
				all[again] = q.next
			}
		}
		q.next++
	}
	return all[:n]
}

// After a change of the load the window is a right one within requests for ten times the size. A
// loop has hits with a small one alone, and recent keys have the most with the whole.
func TestWindowFollows(t *testing.T) {
	skipIfRace(t)
	seed := rand.Uint64()
	t.Log("seed", seed)
	for _, size := range []int{100, 1000, 10_000} {
		q := &requests{rand.New(rand.NewPCG(seed, 0)), 1}
		c, w := adaptive(size)
		for round := range 6 {
			load := q.loop(size*3/2, 10*size)
			if round%2 == 1 {
				load = q.recent(size, 10*size)
			}
			for _, key := range load {
				c.get(key)
			}
			if round%2 == 1 {
				require.InDelta(t, wholeShare, w.get(), 0.001, "size %d, round %d", size, round)
			} else {
				require.Less(t, w.get(), 0.5, "size %d, round %d", size, round)
			}
		}
	}
}

// While windows of all sizes have the same hits, the share hardly ever changes.
func TestWindowStays(t *testing.T) {
	skipIfRace(t)
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	const size, times = 2000, 100
	c, w := adaptive(size)
	changes, last := 0, float64(tinyShare)
	for range times * size {
		c.get(r.Uint32N(10 * size)) // all keys alike
		if share := w.get(); share != last {
			last = share
			changes++
		}
	}
	require.LessOrEqual(t, changes, 10, "in requests for %d times the size", times)
}

// A small cache begins as an LRU, a large one as TinyLFU.
func TestFirstShare(t *testing.T) {
	c, w := adaptive(largeCache - 1)
	c.get(1)
	require.InDelta(t, wholeShare, w.get(), 0.001)
	c, w = adaptive(largeCache)
	c.get(1)
	require.InDelta(t, tinyShare, w.get(), 0.001)
	require.InDelta(t, tinyShare, NewWindow().get(), 0.001)
}

// The sample holds about one of 2^sampleBits keys, and follows the room.
func TestSample(t *testing.T) {
	skipIfRace(t)
	for room, bits := range map[int]uint32{
		0: 0, 1: 0, sampleLeast: 0, sampleLeast + 2: 1, 1024: 2, 10_000: 5, 100_000: 5, 10_000_000: 12,
	} {
		require.Equal(t, bits, sampleBits(room), "%d", room)
	}
	room := 100_000
	w := NewAdaptiveWindow(func() int { return room })
	count := func() (n int) {
		for hash := range uint32(1 << 20) {
			if w.Samples(hash << HashReserved) {
				w.Record(hash << HashReserved)
				n++
			}
		}
		return n
	}
	count()
	require.InDelta(t, 1<<20/32, count(), 1<<20/320)
	room = 10_000_000
	count()
	require.InDelta(t, 1<<20/4096, count(), 50)
	require.LessOrEqual(t, len(w.contest.keys), 1<<20/4096+50, "others are forgotten")
	room = 5_000_000
	count()
	require.InDelta(t, 1<<20/4096, count(), 50, "large enough")
	room = 100
	count()
	require.Equal(t, 1<<20, count())
	require.False(t, NewWindow().Samples(0))
}

// A use at the same time as another is not noted, and does not wait.
func TestRecordDoesNotBlock(t *testing.T) {
	w := NewAdaptiveWindow(func() int { return 1000 })
	w.mu.Lock()
	w.Record(0)
	w.mu.Unlock()
	require.Empty(t, w.contest.keys)
	w.Record(0)
	require.Len(t, w.contest.keys, 1)
}

// The models hold what the contest knows, and no more than there is room for.
func TestContest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newContest()
		size := 10
		for range rapid.IntRange(1, 300).Draw(t, "uses") {
			if rapid.IntRange(0, 50).Draw(t, "resize") == 0 {
				size = rapid.IntRange(1, 20).Draw(t, "size")
			}
			if rapid.IntRange(0, 100).Draw(t, "keep") == 0 {
				c.keep(func(hash uint32) bool { return hash&8 == 0 })
			}
			c.use(rapid.Uint32Range(0, 60).Draw(t, "key")<<HashReserved, size)
			stored := [len(shares)]int{}
			for hash, s := range c.keys {
				require.True(t, s.stored())
				for i := range s.nodes {
					if s.nodes[i].Weight > 0 {
						require.Equal(t, hash, s.nodes[i].Hash)
						stored[i]++
					}
				}
			}
			for i, m := range c.models {
				require.Equal(t, stored[i], m.Len())
				require.LessOrEqual(t, m.Len(), 20)
			}
			require.Zero(t, c.leads[c.current])
		}
	})
}
