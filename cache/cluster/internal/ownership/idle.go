package ownership

import (
	"sync/atomic"
	"time"
)

// idle gives up the names of units that have been idle for long enough.
//
// Each shard has a list of its idle holdings, those that have been idle for the longest first. To
// become idle, and to be used again, is thus to enter and to leave a list: O(1), under a lock that
// has to be taken anyway, and nothing is left behind of a key that comes and goes quickly.
type idle struct {
	h     *claims
	after time.Duration
	begun time.Time

	asleep atomic.Bool // no timer is set: who makes a holding idle has to wake run
	wake   chan struct{}
}

func newIdle(h *claims, after time.Duration) *idle {
	return &idle{h: h, after: after, begun: time.Now(), wake: make(chan struct{}, 1)}
}

// begin makes a holding that is in use idle from now on. The caller holds the shard's mu.
func (d *idle) begin(s *shard, have *claim) {
	have.idleSince, have.idleElement = time.Since(d.begun), s.idle.PushBack(have)
	if d.asleep.CompareAndSwap(true, false) {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

// restart makes a holding that is idle be so from now on. The caller holds the shard's mu.
func (d *idle) restart(s *shard, have *claim) {
	if have.idleElement != nil {
		have.idleSince = time.Since(d.begun)
		s.idle.MoveToBack(have.idleElement)
	}
}

// use takes a holding out of the idle ones, if it is one. The caller holds mu.
func (s *shard) endIdle(have *claim) {
	if have.idleElement != nil {
		s.idle.Remove(have.idleElement)
		have.idleElement = nil
	}
}

// run gives names up until the holdings close.
func (d *idle) run() {
	timer := time.NewTimer(time.Nanosecond) // not 0: see atOnce in package registry
	defer timer.Stop()
	for {
		select {
		case <-d.h.life.Done():
			return
		case <-d.wake:
		case <-timer.C:
		}
		d.asleep.Store(true) // before looking: what is added after that wakes this goroutine
		if wait, some := d.releaseDue(); some {
			d.asleep.Store(false) // all that is added from now on is due later
			timer.Reset(max(wait, d.after/100))
		}
	}
}

// releaseDue gives up what is due. It returns how long it is to the next one, if there is one.
func (d *idle) releaseDue() (wait time.Duration, some bool) {
	for i := range d.h.shards {
		s := &d.h.shards[i]
		for {
			s.mu.Lock()
			oldest := s.idle.Front()
			if oldest == nil {
				s.mu.Unlock()
				break
			}
			have := oldest.Value.(*claim) //nolint:errcheck,forcetypeassert // there is nothing else
			if left := have.idleSince + d.after - time.Since(d.begun); left > 0 {
				s.mu.Unlock()
				if !some || left < wait {
					wait, some = left, true
				}
				break
			}
			d.h.startRelease(s, have)
			s.mu.Unlock()
			d.h.finishRelease(s, have)
		}
	}
	return wait, some
}
