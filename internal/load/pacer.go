package load

import (
	"runtime"
	"time"
)

// A pacer says when the next operation of an open loop is due. One worker at a
// time waits for that; the others wait for their turn to wait, so that only one
// goroutine is ever kept awake.
type pacer struct {
	run  *run
	rate float64
	turn chan struct{} // full while a worker has the turn

	begun uint64 // by whoever has the turn
}

func newPacer(r *run) *pacer {
	return &pacer{run: r, rate: r.cfg.Rate, turn: make(chan struct{}, 1)}
}

// next waits until the next operation is due and returns when that was, which
// is in the past if all workers were busy. It returns false when the run has
// stopped.
func (p *pacer) next() (due time.Duration, ok bool) {
	select {
	case p.turn <- struct{}{}:
	case <-p.run.stop:
		return 0, false
	}
	defer func() { <-p.turn }()
	due = p.dueAt(p.begun)
	if p.run.stopped.Load() || !p.wait(due) {
		return 0, false
	}
	p.begun++
	return due, true
}

func (p *pacer) dueAt(n uint64) time.Duration {
	return time.Duration(float64(n) / p.rate * float64(time.Second))
}

// wait blocks until the time has come, or returns false if the run has stopped
// before.
func (p *pacer) wait(due time.Duration) bool {
	if rest := due - p.run.now() - p.run.cfg.Spin; rest > 0 {
		timer := time.NewTimer(rest)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.run.stop:
			return false
		}
	}
	for p.run.now() < due {
		if p.run.stopped.Load() {
			return false
		}
		runtime.Gosched()
	}
	return true
}

// missed is how many operations were due by the given time but never begun.
// Called when the workers have ended.
func (p *pacer) missed(by time.Duration) uint64 {
	due := uint64(by.Seconds() * p.rate)
	if due <= p.begun {
		return 0
	}
	return due - p.begun
}
