package cluster

import (
	"slices"
	"time"

	"github.com/snowfence/snowfence/internal/measured"
)

// A moment says what happened in one interval of a run.
type moment struct {
	loads, errors, fetches uint64
	p99                    time.Duration // 0: nothing ended
}

// heal returns how long after from, in seconds, the run was as before start, and stayed so. The
// value does not exist if that did not happen.
//
// Intervals are taken in pairs, so that one that is empty by chance says nothing. The range of
// before is that of the second half of the time before the disturbance (in the first one caches
// fill), with some room: half as many loads more and 20 per second, twice the latency and 100 ms. A
// busy machine makes a pair slow at any time, so one pair alone out of range counts for its errors
// only.
func heal(moments []moment, start, from time.Duration) measured.Value {
	pairs := make([]moment, len(moments)/2)
	for i := range pairs {
		a, b := moments[2*i], moments[2*i+1]
		pairs[i] = moment{a.loads + b.loads, a.errors + b.errors, a.fetches + b.fetches,
			max(a.p99, b.p99)}
	}
	width := 2 * interval
	var most moment
	for i := int(start / 2 / width); i < int(start/width) && i < len(pairs); i++ {
		most.loads, most.errors, most.p99 = max(most.loads, pairs[i].loads),
			max(most.errors, pairs[i].errors), max(most.p99, pairs[i].p99)
	}
	most.loads += most.loads/2 + uint64(20*width.Seconds())
	most.p99 = 2*most.p99 + 100*time.Millisecond
	bad := make([]bool, len(pairs)+2) // with one before and one after
	for i, p := range pairs {
		bad[i+1] = p.loads > most.loads || p.errors > most.errors || p.p99 > most.p99
	}
	last, alive := -1, false
	for i := int(from / width); i < len(pairs); i++ {
		alive = alive || pairs[i].fetches > 0
		if bad[i+1] && (bad[i] || bad[i+2] || pairs[i].errors > most.errors) {
			last = i
		}
	}
	switch {
	case !alive || last >= 0 && last >= len(pairs)-1:
		return measured.None()
	case last < 0:
		return 0
	}
	return measured.Value(max(0, time.Duration(last+1)*width-from).Seconds())
}

// ideal returns how many loads one cache for all would need for the fetches of a key that were to
// begin at these times: one for each that finds the load before older than ttl. With ttl 0 the
// first is enough.
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

// same adds to counts[n-1] how often a key was loaded n times within one ttl. A ttl begins with the
// first load that is not within the one before.
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
