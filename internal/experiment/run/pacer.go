package run

import (
	"runtime"
	"time"

	"github.com/snowfence/snowfence/internal/lab/pace"
)

// A pacer gives the operations of an open loop to workers when they are due. One worker at a time
// waits for that; the others wait for their turn to wait, so that only one goroutine is ever kept
// awake.
type pacer struct {
	run  *run
	rate float64
	turn chan struct{} // full while a worker has the turn

	begun uint64 // by whoever has the turn
}

func newPacer(r *run) *pacer {
	return &pacer{run: r, rate: r.params.Rate, turn: make(chan struct{}, 1)}
}

// next waits until the next operation is due and returns when that was, which is in the past if all
// workers were busy. It returns false when the run has stopped.
func (p *pacer) next() (due time.Duration, ok bool) {
	select {
	case p.turn <- struct{}{}:
	case <-p.run.running.Done():
		return 0, false
	}
	defer func() { <-p.turn }()
	due = pace.Due(p.begun, p.rate)
	if p.run.stopped.Load() || !p.wait(due) {
		return 0, false
	}
	p.begun++
	return due, true
}

// wait blocks until an operation is due, or returns false if the run has stopped before.
func (p *pacer) wait(due time.Duration) bool {
	if p.run.Until(p.run.running, due-p.run.params.spin) != nil {
		return false
	}
	for p.run.Now() < due {
		if p.run.stopped.Load() {
			return false
		}
		runtime.Gosched()
	}
	return true
}

// missed returns the number of operations that were due by a time but never begun. It is called
// when the workers have ended.
func (p *pacer) missed(by time.Duration) uint64 {
	due := uint64(by.Seconds() * p.rate)
	if due <= p.begun {
		return 0
	}
	return due - p.begun
}
