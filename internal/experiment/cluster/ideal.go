package cluster

import (
	"slices"
	"time"
)

// ideal is how many loads one cache for all would need for the fetches of a key, given when they
// were to begin: one for each that finds the load before older than ttl. ttl 0: the first is
// enough.
func ideal(due []time.Duration, ttl time.Duration) (n uint64) {
	slices.Sort(due)
	var loaded time.Duration
	for _, t := range due {
		if n == 0 || ttl > 0 && t-loaded >= ttl {
			n, loaded = n+1, t
		}
	}
	return n
}

// same counts how often a key was loaded n times within one ttl, in same[n-1]. A ttl begins with
// the first load that is not within the one before.
func same(counts []uint64, loads []time.Duration, ttl time.Duration) []uint64 {
	for len(loads) > 0 {
		n := 1
		for n < len(loads) && (ttl == 0 || loads[n]-loads[0] < ttl) {
			n++
		}
		for len(counts) < n {
			counts = append(counts, 0)
		}
		counts[n-1]++
		loads = loads[n:]
	}
	return counts
}
