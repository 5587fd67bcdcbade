package cache

import (
	"cmp"
	"maps"
	"math/bits"
	"slices"
	"sync/atomic"
	"unsafe"
)

// HotKeys are the keys that a sample of a cache's hits is for.
type HotKeys struct {
	// Sampled is the number of hits in the sample: one in 256, and 1,024 at most. So a full sample
	// stands for the last 260,000 hits or so.
	Sampled int
	// Keys has the keys with the most hits in the sample, the one with the most first.
	Keys []HotKey
}

// A HotKey is a key that is asked for often.
type HotKey struct {
	Key     any
	KeyText string // what may be shown of Key: see courier.WithKeyText
	Hits    int    // of this key, in the sample
}

const (
	// lookEvery is the number of a stripe's hits between two calls of look.
	lookEvery = 64
	// sampleEvery is the number of a stripe's hits of which one is sampled. It is a multiple of
	// lookEvery. Where many cores hit, a sample moves a cache line between them, which takes some ten
	// times as long as a hit.
	sampleEvery = 256
	sampleSize  = 1024 // a power of two

	// leastHot is the number of hits in the sample from which a key is not there by chance.
	leastHot = 2
)

// hitSamples holds a sample of hits: for each the shard's number and the key's hash, since a
// pointer would keep an evicted entry in memory. 0 is a free place. A new sample takes the place of
// any other one, whatever the stripe, so that each stripe has a part of the sample in proportion to
// its hits.
type hitSamples [sampleSize]atomic.Uint64

// look does what not every hit has to do: it adapts the clock and samples the hit. n is the number
// of the stripe's hits, a multiple of lookEvery.
//
//go:noinline
func (c *Cache[K, V]) look(s *shard[K, V], e *entry[K, V], on *stripe, n uint64) {
	if e.expiry() != never {
		c.clock.adapt(on)
	}
	if samples := c.sampled.Load(); samples != nil && n%sampleEvery == 0 {
		where := uint64(uintptr(unsafe.Pointer(on)))>>6 + n/sampleEvery
		place := where * 0x9e3779b97f4a7c15 >> (64 - bits.TrailingZeros(sampleSize))
		number := uint64(c.shardNumber(s)) //nolint:gosec // not negative
		samples[place].Store(number<<32 | uint64(e.Hash&hashMask) | 1)
	}
}

// Hottest returns the n keys that were asked for most of late, as far as a sample of the hits
// shows. Keys that the sample has once, or that have left the cache, are left out. The first call
// returns none: it starts the sample, which costs hits nothing that can be measured. Misses do not
// count. If the keys are asked for in a fixed cycle, the sample may have a few of them alone.
//
// Hottest takes no lock, and its work does not grow with the cache.
func (c *Cache[K, V]) Hottest(n int) HotKeys {
	samples := c.sampled.Load()
	if samples == nil {
		c.sampled.CompareAndSwap(nil, new(hitSamples))
		return HotKeys{}
	}
	hot := HotKeys{}
	counts := make(map[uint64]int)
	for i := range samples {
		if sample := samples[i].Load(); sample != 0 {
			counts[sample]++
			hot.Sampled++
		}
	}
	order := slices.SortedFunc(maps.Keys(counts), func(a, b uint64) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	for _, sample := range order {
		if len(hot.Keys) >= n || counts[sample] < leastHot {
			break
		}
		hash := uint32(sample) & hashMask //nolint:gosec // the lower half
		if e := c.shards[sample>>32].index.findHash(hash); e != nil {
			hot.Keys = append(hot.Keys, HotKey{e.key, c.courier.KeyText(e.key), counts[sample]})
		}
	}
	return hot
}

// findHash returns an entry with that hash, or nil. It is safe for concurrent use.
func (x *index[K, V]) findHash(hash uint32) *entry[K, V] {
	t := x.table.Load()
	if t == nil {
		return nil
	}
	at := t.home(hash)
	for range len(t.buckets) {
		for e := range t.buckets[at].entries {
			if e.Hash&hashMask == hash {
				return e
			}
		}
		if t.buckets[at].tags.Load() < overflowOne {
			return nil
		}
		at = (at + 1) % len(t.buckets)
	}
	return nil
}
