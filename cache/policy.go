package cache

import "github.com/snowfence/snowfence/cache/internal/evict"

// A Policy chooses the entry to evict when the cache is full.
type Policy uint8

// The policies.
const (
	// Adaptive evicts as TinyLFU, as LRU, or between them: by whichever window for new entries would
	// have had the most hits of late, in simulations on a sample of the keys. After a change of the
	// load it follows within requests for ten times the capacity, mostly within fewer; after repeated
	// changes it waits longer. It takes 8 to 16 bytes more per entry than LRU, and less than 1 MB for
	// the sample. A cache with room for fewer than 64 entries begins as an LRU.
	Adaptive Policy = iota
	// LRU evicts approximately the entry that was not used for the longest time: see
	// the package's documentation. It is for loads in which only recency counts.
	LRU
	// TinyLFU evicts the entry that is asked for least, by a count that decays and that
	// includes keys which are not stored. It takes 8 to 16 bytes more per entry than LRU. It is
	// W-TinyLFU, by Einziger, Friedman and Manes, with a window of 1 %. It is for loads in which
	// some keys are always popular, and scans or loops.
	TinyLFU
	// StrictLRU evicts exactly the entry that was not used for the longest time, whatever the
	// capacity; only entries that are expired or stale go before it. It is for tests and callers
	// that rely on the order. All entries are in one shard, and a hit waits for the lock that
	// writes take, so it does not scale with the cores: LRU is as good for nearly all else.
	StrictLRU
)

// policies returns a function that makes the policy of a shard.
func (c *Cache[K, V]) policies(p Policy) func() evict.Policy {
	switch p {
	case LRU:
		return func() evict.Policy { return evict.NewLRU() }
	case StrictLRU:
		return func() evict.Policy { return evict.NewStrict() }
	case TinyLFU:
		window := evict.NewWindow()
		return func() evict.Policy { return evict.NewTinyLFU(window) }
	case Adaptive:
	}
	c.window = evict.NewAdaptiveWindow(c.room)
	return func() evict.Policy { return evict.NewTinyLFU(c.window) }
}

// room returns the number of entries for which there is room. Where weights or the memory may bound
// it, that is about the number of entries.
func (c *Cache[K, V]) room() int {
	if c.maxWeight > 0 || c.shedAbove > 0 {
		return c.Len()
	}
	return int(c.capacity.Load())
}

// String returns "Adaptive", "LRU", "TinyLFU" or "StrictLRU", and "unknown" for any other value.
func (p Policy) String() string {
	switch p {
	case Adaptive:
		return "Adaptive"
	case LRU:
		return "LRU"
	case TinyLFU:
		return "TinyLFU"
	case StrictLRU:
		return "StrictLRU"
	default:
		return "unknown"
	}
}
