// Package usage measures the processor time of the process and the pauses of its garbage collector.
package usage

import (
	"math"
	"runtime/metrics"
)

// PausesMetric is the metric that [Pauses] reads.
const PausesMetric = "/sched/pauses/total/gc:seconds"

// Pauses returns the number of pauses since before, the earlier counts of h, and the length of the
// longest in seconds: the upper bound of its bucket or, of the last bucket, the lower. It returns 0
// and 0 if before does not have the length of h.Counts.
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

// PauseQuantile returns the quantile q, from 0 to 1, of the pauses since before, in seconds: the
// bound of its bucket, as for [Pauses]. It returns 0 if there were none.
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
