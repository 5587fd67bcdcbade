// Package measured holds results of a run that may be missing: a [Value], and the [Spread] of
// times.
package measured

import (
	"encoding/json"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A Value is a number that may be missing: then it is NaN, and null in JSON.
type Value float64

// None returns the missing Value.
func None() Value { return Value(math.NaN()) }

// Exists reports whether the value is not missing.
func (v Value) Exists() bool { return !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0) }

// MarshalJSON returns the number, or null.
func (v Value) MarshalJSON() ([]byte, error) {
	if !v.Exists() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(v))
}

// Duration returns the value, in seconds, as a duration.
func (v Value) Duration() time.Duration {
	return time.Duration(math.Round(float64(v) * float64(time.Second)))
}

// Spread summarises the distribution of times.
type Spread struct {
	Count int64 `json:"count"`
	P50   Value `json:"p50_seconds"`
	P99   Value `json:"p99_seconds"`
	Max   Value `json:"max_seconds"`
}

// SpreadOf returns the spread of a histogram of nanoseconds.
func SpreadOf(h *hdrhistogram.Histogram) Spread {
	if h.TotalCount() == 0 {
		return Spread{P50: None(), P99: None(), Max: None()}
	}
	return Spread{Count: h.TotalCount(), P50: Quantile(h, 50), P99: Quantile(h, 99),
		Max: Value(time.Duration(h.Max()).Seconds())}
}

// Quantile returns a percentile of a histogram of nanoseconds, in seconds.
func Quantile(h *hdrhistogram.Histogram, percent float64) Value {
	if h.TotalCount() == 0 {
		return None()
	}
	// ValueAtQuantile rounds up, possibly above the largest value.
	return Value(time.Duration(min(h.ValueAtQuantile(percent), h.Max())).Seconds())
}
