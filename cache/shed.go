package cache

import (
	"math"
	"runtime/metrics"
	"time"
)

const (
	shedEvery = 50 * time.Millisecond

	// shedMost is the share of the entries that is given up before the garbage
	// collector has shown what that was worth.
	maxShedShare = 0.25

	// shedBatch bounds how many leave one shard while it is locked.
	shedBatch = 128
)

// A memory is what the process uses, in bytes.
type memory struct {
	limit  uint64 // MaxInt64: none
	live   uint64 // of the heap, as the last garbage collection found it
	other  uint64 // what counts towards the limit and is not the heap's objects
	cycles uint64 // garbage collections
}

// excess is the share of the live heap that would have to go for what is in use
// to be no more than share of the limit.
func (m memory) excess(share float64) float64 {
	if m.limit == math.MaxInt64 || m.live == 0 {
		return 0
	}
	return (float64(m.live+m.other) - share*float64(m.limit)) / float64(m.live)
}

// readMemory asks the runtime.
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

// shedAndRest is what the shedder calls. It starts when an entry is stored and
// Options.ShedAbove is set.
func (c *Cache[K, V]) runShed() (rest time.Duration) {
	// What was given up shows in the live heap only after a collection.
	if m := c.memory(); m.cycles != c.lastGC {
		c.lastGC = m.cycles
		c.shed(m)
	}
	return shedEvery
}

// shed gives up as many entries as there is too much memory in use.
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

// shedShard gives up that many entries, or as many as there are.
func (c *Cache[K, V]) shedShard(s *shard[K, V], most int) (n int) {
	var out evicted[K, V]
	s.mu.Lock()
	for n < most {
		e := c.victim(s, nil, false)
		if e == nil {
			break
		}
		c.remove(s, e, c.reasonFor(e, ReasonMemory), &out)
		n++
	}
	s.mu.Unlock()
	c.notify(out)
	return n
}
