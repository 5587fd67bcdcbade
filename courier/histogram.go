package courier

import (
	"iter"
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// A Histogram counts durations in buckets, four for each doubling, so that each is 19 % wide. These
// are the buckets of OpenTelemetry's exponential histograms at scale 2, and of Prometheus's native
// ones with schema 2. The zero value is empty.
type Histogram struct {
	Count   uint64
	Sum     time.Duration
	buckets [numBuckets]uint64
}

// The buckets cover 1 µs to 2.3 hours. Durations beyond that count in the first and the last one.
const (
	bucketsPerDoubling = 4
	numBuckets         = 33 * bucketsPerDoubling
	firstBucket        = -20*bucketsPerDoubling + 1 // its index in Buckets
)

// Buckets yields the buckets that are not empty, in order. The one with index i counts durations
// from 2^((i-1)/4) to 2^(i/4) seconds.
func (h *Histogram) Buckets() iter.Seq2[int, uint64] {
	return func(yield func(int, uint64) bool) {
		for i, n := range &h.buckets {
			if n > 0 && !yield(i+firstBucket, n) {
				return
			}
		}
	}
}

// UpperBound returns the upper bound of the bucket with index i, in seconds.
func UpperBound(i int) float64 { return math.Exp2(float64(i) / bucketsPerDoubling) }

// Quantile returns the duration below which a share q of those in h is, from 0 to 1, as exactly as
// the buckets allow; 0 if h is empty.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := q * float64(h.Count)
	below := 0.0
	for i, n := range h.Buckets() {
		if below += float64(n); below >= rank {
			lower, upper := UpperBound(i-1), UpperBound(i)
			share := 1 - (below-rank)/float64(n)
			return time.Duration((lower + (upper-lower)*share) * float64(time.Second))
		}
	}
	return 0
}

// Add adds the durations that are in other.
func (h *Histogram) Add(other *Histogram) {
	h.Count += other.Count
	h.Sum += other.Sum
	for i, n := range &other.buckets {
		h.buckets[i] += n
	}
}

// observe counts d.
func (h *Histogram) observe(d time.Duration) {
	h.Count++
	h.Sum += d
	h.buckets[bucketOf(d)]++
}

// bucketOf returns the index of d's bucket in Histogram.buckets.
func bucketOf(d time.Duration) int {
	// d in units of 2^-30 s, so that the bounds of buckets are powers of two and their roots
	const unitsPerNanosecond = 1 << 62 / 1_000_000_000 // times 2^-32
	high, low := bits.Mul64(uint64(max(d, 1)), unitsPerNanosecond)
	units := high<<32 | low>>32
	doubling := bits.Len64(units) - 1
	if doubling < 30+(firstBucket-1)/bucketsPerDoubling {
		return 0
	}
	i := (doubling - 30) * bucketsPerDoubling
	switch mantissa := units << (63 - doubling); {
	case mantissa >= root3:
		i += 3
	case mantissa >= root2:
		i += 2
	case mantissa >= root1:
		i++
	}
	return min(i-(firstBucket-1), numBuckets-1)
}

// 2^63 times 2^(1/4), 2^(2/4) and 2^(3/4)
const (
	root1 uint64 = 10968499370283163648
	root2 uint64 = 13043817825332783104
	root3 uint64 = 15511800964685064192
)

// A sharedHistogram is a Histogram that goroutines write without a lock.
type sharedHistogram struct {
	sum     atomic.Int64
	buckets [numBuckets]atomic.Uint64
}

func (h *sharedHistogram) observe(d time.Duration) {
	h.sum.Add(int64(d))
	h.buckets[bucketOf(d)].Add(1)
}

// addTo adds the durations that are in h to sum.
func (h *sharedHistogram) addTo(sum *Histogram) {
	sum.Sum += time.Duration(h.sum.Load())
	for i := range h.buckets {
		n := h.buckets[i].Load()
		sum.buckets[i] += n
		sum.Count += n
	}
}
