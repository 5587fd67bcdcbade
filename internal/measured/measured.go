// Package measured holds numbers that come out of a run and may be missing: a [Value], and the
// [Spread] of times.
package measured

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/table"
)

// A Value is a number that may not exist: then it is NaN, and null in JSON.
type Value float64

// None is the Value that does not exist.
func None() Value { return Value(math.NaN()) }

// Exists reports whether there is a number.
func (v Value) Exists() bool { return !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0) }

// MarshalJSON writes the number, or null.
func (v Value) MarshalJSON() ([]byte, error) {
	if !v.Exists() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(v))
}

// Duration is the value in seconds as a duration.
func (v Value) Duration() time.Duration {
	return time.Duration(math.Round(float64(v) * float64(time.Second)))
}

// Spread is how times were spread.
type Spread struct {
	Count int64 `json:"count"`
	P50   Value `json:"p50_seconds"`
	P99   Value `json:"p99_seconds"`
	Max   Value `json:"max_seconds"`
}

// SpreadOf returns the spread of what a histogram of nanoseconds has recorded.
func SpreadOf(h *hdrhistogram.Histogram) Spread {
	if h.TotalCount() == 0 {
		return Spread{P50: None(), P99: None(), Max: None()}
	}
	return Spread{Count: h.TotalCount(), P50: Quantile(h, 50), P99: Quantile(h, 99),
		Max: Value(time.Duration(h.Max()).Seconds())}
}

// Quantile returns the time, in seconds, that so many percent of a histogram of nanoseconds do not
// exceed.
func Quantile(h *hdrhistogram.Histogram, percent float64) Value {
	if h.TotalCount() == 0 {
		return None()
	}
	// A histogram rounds up to its next step, which may lie above its largest value.
	return Value(time.Duration(min(h.ValueAtQuantile(percent), h.Max())).Seconds())
}

// Cell shows the median, the 99th percentile and the maximum. It is compared by the second.
func (s Spread) Cell() table.Cell {
	if s.Count == 0 {
		return table.Missing()
	}
	return table.Seconds(float64(s.P99)).As(fmt.Sprintf("%s / %s / %s",
		human.Seconds(float64(s.P50)), human.Seconds(float64(s.P99)), human.Seconds(float64(s.Max))))
}
