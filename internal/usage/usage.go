// Package usage measures what the process takes: processor time, and the pauses
// of its garbage collector.
package usage

import (
	"math"
	"runtime/metrics"
)

// PausesMetric is the metric that [Pauses] reads.
const PausesMetric = "/sched/pauses/total/gc:seconds"

// Pauses tells how many pauses h has that before had not, by the counts of its
// slots, and the upper bound of the slot that the longest of them fell into, in
// seconds; of the last slot, which has none, the lower. Counts that are not those
// of h's slots tell nothing: 0 and 0.
func Pauses(h *metrics.Float64Histogram, before []uint64) (n uint64, longest float64) {
	if len(h.Counts) != len(before) {
		return 0, 0
	}
	for i, count := range h.Counts {
		if count -= before[i]; count == 0 {
			continue
		}
		n += count
		if longest = h.Buckets[i+1]; math.IsInf(longest, 0) {
			longest = h.Buckets[i]
		}
	}
	return n, longest
}
