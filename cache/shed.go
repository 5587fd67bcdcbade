package cache

import (
	"math"
	"runtime/metrics"
	"time"
)

const (
	shedEvery = 50 * time.Millisecond

	// maxShedShare bounds the share of the entries that is evicted before the next
	// garbage collection shows how much memory that has freed.
	maxShedShare = 0.25

	// shedBatch bounds the entries that are evicted each time that a shard is locked.
	shedBatch = 128
)

// A memory describes the memory use of the process, in bytes.
type memory struct {
	limit  uint64 // MaxInt64: none
	live   uint64 // heap objects that the last garbage collection found live
	other  uint64 // memory that counts towards the limit, without heap objects and free heap
	cycles uint64 // the number of garbage collections so far
}

// excess returns the share of the live heap that has to be freed so that the memory in
// use is at most share of the limit. It is 0 without a limit, and may be negative.
func (m memory) excess(share float64) float64 {
	if m.limit == math.MaxInt64 || m.live == 0 {
		return 0
	}
	return (float64(m.live+m.other) - share*float64(m.limit)) / float64(m.live)
}

// readMemory returns the runtime's present values.
func readMemory() memory {
	s := []metrics.Sample{
		{Name: "/gc/gomemlimit:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(s)
	value := func(i int) uint64 { return s[i].Value.Uint64() }
	return memory{
		limit:  value(0),
		live:   value(1),
		cycles: value(2),
		other:  value(3) - value(4) - value(5) - value(6),
	}
}

// runShed sheds once and returns the pause until the next time. The shedder calls it; it
// starts when an entry is stored and Options.ShedAbove is set.
func (c *Cache[K, V]) runShed() (pause time.Duration) {
	// Entries that were evicted count as live until the next collection.
	if m := c.memory(); m.cycles != c.lastGC {
		c.lastGC = m.cycles
		c.shed(m)
	}
	return shedEvery
}

// shed evicts the share of the entries that m's excess demands, up to maxShedShare.
func (c *Cache[K, V]) shed(m memory) {
	share := min(m.excess(c.shedAbove), maxShedShare)
	if share <= 0 {
		return
	}
	for i := range c.shards {
		s := &c.shards[i]
		left := int(math.Ceil(share * float64(s.size.Load())))
		for left > 0 {
			n := c.shedShard(s, min(left, shedBatch))
			if n == 0 {
				break
			}
			left -= n
		}
	}
}

// shedShard evicts up to most entries of s, and returns their number, which is less than
// most only if s is empty then.
func (c *Cache[K, V]) shedShard(s *shard[K, V], most int) (n int) {
	var out evicted[K, V]
	s.mu.Lock()
	for n < most {
		e := c.victim(s, nil, false)
		if e == nil {
			break
		}
		c.endEvicted(s, e)
		c.remove(s, e, c.reasonFor(e, ReasonMemory), &out)
		n++
	}
	s.mu.Unlock()
	c.notify(out)
	return n
}
