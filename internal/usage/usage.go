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

// PauseQuantile is the upper bound of the slot that the quantile q, from 0 to 1,
// of the pauses since before falls into, in seconds, as [Pauses] has it for the
// longest. It is 0 if there were none.
func PauseQuantile(h *metrics.Float64Histogram, before []uint64, q float64) float64 {
	n, longest := Pauses(h, before)
	if n == 0 {
		return 0
	}
	left := uint64(math.Ceil(q * float64(n)))
	for i, count := range h.Counts {
		if count -= before[i]; count >= left {
			return min(h.Buckets[i+1], longest)
		}
		left -= h.Counts[i] - before[i]
	}
	return longest
}
