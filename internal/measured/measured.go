// Package measured holds numbers that come out of a run and may be missing: a [Value], and the
// [Spread] of [Times].
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

// A Value is a number that may be missing: then it is NaN, and null in JSON.
type Value float64

// None returns the missing Value.
func None() Value { return Value(math.NaN()) }

// Of returns a duration as a Value, in seconds.
func Of(d time.Duration) Value { return Value(d.Seconds()) }

// Exists reports whether the value is not missing.
func (v Value) Exists() bool { return !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0) }

// MarshalJSON returns the number, or null.
func (v Value) MarshalJSON() ([]byte, error) {
	if !v.Exists() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(v))
}

// UnmarshalJSON takes a number, or null for the missing Value.
func (v *Value) UnmarshalJSON(text []byte) error {
	f := math.NaN()
	if string(text) != "null" {
		if err := json.Unmarshal(text, &f); err != nil {
			return err
		}
	}
	*v = Value(f)
	return nil
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

// Times collects how long things took. The zero value has two digits of precision and is ready for
// use; its memory, some 40 kB, is taken by the first Add. It is for one goroutine at a time.
type Times struct {
	h          *hdrhistogram.Histogram
	max, total time.Duration
}

// longest bounds the times: a longer one counts as this.
const longest = 48 * time.Hour

// Fine returns Times of three digits, which take some 300 kB.
func Fine() *Times { return &Times{h: hdrhistogram.New(1, int64(longest), 3)} }

// Add adds a time. A negative one counts as 0.
func (t *Times) Add(d time.Duration) {
	t.init()
	d = min(max(0, d), longest)
	_ = t.h.RecordValue(int64(d)) // the only error is that of a value out of range
	t.max = max(t.max, d)
	t.total += d
}

func (t *Times) init() {
	if t.h == nil {
		t.h = hdrhistogram.New(1, int64(longest), 2)
	}
}

// Merge adds all that o has collected.
func (t *Times) Merge(o *Times) {
	if o.Count() == 0 {
		return
	}
	t.init()
	t.h.Merge(o.h)
	t.max = max(t.max, o.max)
	t.total += o.total
}

// Reset forgets all.
func (t *Times) Reset() {
	if t.h != nil {
		t.h.Reset()
	}
	t.max, t.total = 0, 0
}

// Count returns how many times there are.
func (t *Times) Count() int64 {
	if t.h == nil {
		return 0
	}
	return t.h.TotalCount()
}

// Max returns the longest time, exactly, and 0 if there is none.
func (t *Times) Max() time.Duration { return t.max }

// Mean returns the mean time, exactly, and 0 if there is none.
func (t *Times) Mean() time.Duration { return t.total / time.Duration(max(1, t.Count())) }

// At returns the time that a percentage of all do not exceed, and 0 if there is none.
func (t *Times) At(percent float64) time.Duration {
	if t.Count() == 0 {
		return 0
	}
	// A histogram rounds up to its next step, which may lie above its largest value.
	return min(time.Duration(t.h.ValueAtQuantile(percent)), t.max)
}

// Quantile returns At in seconds, or None if there is no time.
func (t *Times) Quantile(percent float64) Value {
	if t.Count() == 0 {
		return None()
	}
	return Value(t.At(percent).Seconds())
}

// Spread returns how the times are spread.
func (t *Times) Spread() Spread {
	if t.Count() == 0 {
		return Spread{P50: None(), P99: None(), Max: None()}
	}
	return Spread{Count: t.Count(), P50: t.Quantile(50), P99: t.Quantile(99),
		Max: Value(t.max.Seconds())}
}

// Cell shows the median, the 99th percentile and the maximum. It is compared by the second.
func (s Spread) Cell() table.Cell {
	if s.Count == 0 {
		return table.Missing()
	}
	return table.Seconds(float64(s.P99)).As(fmt.Sprintf("%s / %s / %s",
		human.Seconds(float64(s.P50)), human.Seconds(float64(s.P99)), human.Seconds(float64(s.Max))))
}
