package load

import (
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/snowfence/snowfence/internal/verdict"
)

// An Outcome is what an operation turned out to be.
type Outcome int

// The outcomes. The package's comment says what they mean for reads.
const (
	Hit Outcome = iota
	Loaded
	Joined
	Error
	Write
	Delete
	outcomes // how many
)

// String returns the outcome's name: hit, loaded, joined, error, write or
// delete.
func (o Outcome) String() string {
	return [...]string{"hit", "loaded", "joined", "error", "write", "delete"}[o]
}

// MarshalText returns the outcome's name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// A tally is what one worker counted.
type tally struct {
	// Written by the worker, read by whoever samples.
	counts [outcomes]atomic.Uint64
	worst  atomic.Int64 // largest latency since the last sample

	// The worker's own until it has ended.
	times   [outcomes]histogram
	late    histogram // how long after they were due operations began
	errors  map[verdict.Kind]uint64
	cutOff  uint64 // reads that the end of an interrupted run cut off
	skipped uint64 // operations before the measured part
}

// add counts an operation and, unless took is negative, how long it took.
func (t *tally) add(o Outcome, took time.Duration) {
	t.counts[o].Add(1)
	if took < 0 {
		return
	}
	t.times[o].record(took)
	for {
		worst := t.worst.Load()
		if int64(took) <= worst || t.worst.CompareAndSwap(worst, int64(took)) {
			return
		}
	}
}

func (t *tally) fail(kind verdict.Kind) {
	if t.errors == nil {
		t.errors = make(map[verdict.Kind]uint64)
	}
	t.errors[kind]++
}

// merge adds the other to t, which must have a map of errors.
func (t *tally) merge(other *tally) {
	for o := range t.counts {
		t.counts[o].Add(other.counts[o].Load())
		t.times[o].merge(&other.times[o])
	}
	t.late.merge(&other.late)
	for kind, n := range other.errors {
		t.errors[kind] += n
	}
	t.cutOff += other.cutOff
	t.skipped += other.skipped
}

// A histogram of durations to two digits, with the largest in full. Its memory,
// some 40 kB, is taken on first use: a thousand workers have few outcomes each.
type histogram struct {
	buckets *hdrhistogram.Histogram
	largest time.Duration
	total   time.Duration
}

const longest = 48 * time.Hour // twice the longest run

func (h *histogram) record(d time.Duration) {
	if h.buckets == nil {
		h.buckets = hdrhistogram.New(1, int64(longest), 2)
	}
	d = min(d, longest)
	// The only error is for a value that is out of range.
	_ = h.buckets.RecordValue(int64(d))
	h.largest = max(h.largest, d)
	h.total += d
}

func (h *histogram) merge(other *histogram) {
	if other.buckets == nil {
		return
	}
	if h.buckets == nil {
		h.buckets = hdrhistogram.New(1, int64(longest), 2)
	}
	h.buckets.Merge(other.buckets)
	h.largest = max(h.largest, other.largest)
	h.total += other.total
}
