package peerload

import (
	"slices"
	"time"
)

// ideal is how many loads one cache for all would need for the fetches of a key, given when they were to begin: one for each that
// finds the load before older than ttl. A TTL begins when a load has ended; takes says how long one does that begins at a time.
// ttl 0: the first is enough.
func ideal(due []time.Duration, ttl time.Duration, takes func(at time.Duration) time.Duration) (n uint64) {
	slices.Sort(due)
	var expires time.Duration
	for _, t := range due {
		if n == 0 || ttl > 0 && t >= expires {
			n, expires = n+1, t+takes(t)+ttl
		}
	}
	return n
}

// windows splits the loads of a key, in order of time, into those that one cache for all would have needed, and what came within
// a TTL of such a load: a window begins with the first load that is not within the window before.
func windows(loads []time.Duration, ttl time.Duration) (list [][]time.Duration) {
	for len(loads) > 0 {
		n := 1
		for n < len(loads) && (ttl == 0 || loads[n]-loads[0] < ttl) {
			n++
		}
		list = append(list, loads[:n])
		loads = loads[n:]
	}
	return list
}

// same adds to counts[n-1] how often a key was loaded n times within one ttl.
func same(counts []uint64, windows [][]time.Duration) []uint64 {
	for _, w := range windows {
		for len(counts) < len(w) {
			counts = append(counts, 0)
		}
		counts[len(w)-1]++
	}
	return counts
}
