package run

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/verdict"
)

// An Outcome is the class of an operation by how it ended.
type Outcome int

// The outcomes. The package's comment says what they mean for reads.
const (
	Hit Outcome = iota
	Loaded
	Joined
	Stale
	Error
	Write
	Delete
	outcomes // how many
)

// String returns the outcome's name: hit, loaded, joined, stale, error, write or delete.
func (o Outcome) String() string {
	return [...]string{"hit", "loaded", "joined", "stale", "error", "write", "delete"}[o]
}

// MarshalText returns the outcome's name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// mostTallies bounds the memory of the histograms: one outcome of one tally takes some 40 kB. Up to
// as many workers have a tally each.
const mostTallies = 128

// A tally counts for one worker, or several. It is safe for concurrent use.
type tally struct {
	// Read by the sampler.
	counts [outcomes]atomic.Uint64
	keys   atomic.Uint64 // that measured batches asked for
	worst  atomic.Int64  // largest latency since the last sample

	mu      sync.Mutex // guards what follows
	times   [outcomes]measured.Times
	late    measured.Times // how long after they were due operations began
	errors  map[verdict.Kind]uint64
	loaded  uint64 // keys of batches, by their own fetch functions
	failed  uint64 // keys of batches
	cutOff  uint64
	skipped uint64
}

// add counts an operation and, unless took is negative, how long it took.
func (t *tally) add(o Outcome, took time.Duration) {
	t.counts[o].Add(1)
	if took < 0 {
		return
	}
	t.mu.Lock()
	t.times[o].Add(took)
	t.mu.Unlock()
	for {
		worst := t.worst.Load()
		if int64(took) <= worst || t.worst.CompareAndSwap(worst, int64(took)) {
			return
		}
	}
}

// fail counts an error by its kind.
func (t *tally) fail(kind verdict.Kind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.errors == nil {
		t.errors = make(map[verdict.Kind]uint64)
	}
	t.errors[kind]++
}

// skip counts an operation before the measured part.
func (t *tally) skip() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skipped++
}

// cut counts a read that was under way when the run was interrupted.
func (t *tally) cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cutOff++
}

// began counts how long after it was due an operation began.
func (t *tally) began(late time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.late.Add(late)
}

// merge adds the other to t, which must have a map of errors. Nobody uses either meanwhile.
func (t *tally) merge(other *tally) {
	for o := range t.counts {
		t.counts[o].Add(other.counts[o].Load())
		t.times[o].Merge(&other.times[o])
	}
	t.late.Merge(&other.late)
	for kind, n := range other.errors {
		t.errors[kind] += n
	}
	t.keys.Add(other.keys.Load())
	t.loaded += other.loaded
	t.failed += other.failed
	t.cutOff += other.cutOff
	t.skipped += other.skipped
}
