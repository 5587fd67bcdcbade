package snapshotprom

import (
	"errors"
	"iter"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// A Durations holds counts of durations in buckets, four for each doubling. The bucket with index i
// counts durations up to 2^(i/4) seconds: those of a native histogram with schema 2.
type Durations struct {
	Count   uint64
	Sum     time.Duration
	Buckets iter.Seq2[int, uint64] // those that are not empty, in order
}

// schema is that of Durations.
const schema = 2

// classicBounds has the indexes of the buckets whose upper bounds are those of the classic buckets
// as well: 122 µs, 488 µs, 1 ms, 2 ms and so on up to 64 s. These are exact in binary and in
// decimal.
var classicBounds = []int{
	-52, -44, -40, -36, -32, -28, -24, -20, -16, -12, -8, -4, 0, 4, 8, 12, 16, 20, 24,
}

// Histogram returns a metric of durations in seconds. It has classic buckets and those of a native
// histogram, so that a scrape gets the ones that it can read.
func Histogram[S any](
	name, help string, labels []string, each func(s S, set func(d Durations, labels ...string)),
) Metric[S] {
	return Metric[S]{Name: name, Help: help, Labels: labels, durations: each}
}

// newHistogram returns a metric with the values of d.
func newHistogram(
	desc *prometheus.Desc, d Durations, labels ...string,
) (prometheus.Metric, error) {
	classic := make(map[float64]uint64, len(classicBounds))
	native := make(map[int]int64)
	sum, next := uint64(0), 0
	fill := func(below int) { // the classic buckets with an index less than below
		for ; next < len(classicBounds) && classicBounds[next] < below; next++ {
			classic[math.Exp2(float64(classicBounds[next])/(1<<schema))] = sum
		}
	}
	for i, n := range d.Buckets {
		fill(i)
		sum += n
		native[i] = int64(n) //nolint:gosec // fewer
	}
	fill(math.MaxInt)
	both := &histogram{}
	var errs [2]error
	both.Metric, errs[0] = prometheus.NewConstHistogram(desc, d.Count, d.Sum.Seconds(), classic,
		labels...)
	both.native, errs[1] = prometheus.NewConstNativeHistogram(desc, d.Count, d.Sum.Seconds(), native,
		nil, 0, schema, 0, time.Time{}, labels...)
	return both, errors.Join(errs[:]...)
}

// A histogram is a metric with both kinds of buckets, as those of client_golang that are not
// constant can be.
type histogram struct {
	prometheus.Metric // with classic buckets
	native            prometheus.Metric
}

// Write implements prometheus.Metric.
func (h *histogram) Write(to *dto.Metric) error {
	var native dto.Metric
	if err := errors.Join(h.Metric.Write(to), h.native.Write(&native)); err != nil {
		return err
	}
	from := native.GetHistogram()
	to.Histogram.Schema, to.Histogram.ZeroThreshold = from.Schema, from.ZeroThreshold
	to.Histogram.ZeroCount = from.ZeroCount
	to.Histogram.PositiveSpan, to.Histogram.PositiveDelta = from.PositiveSpan, from.PositiveDelta
	return nil
}
