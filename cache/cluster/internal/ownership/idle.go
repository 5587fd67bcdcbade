package ownership

import (
	"sync/atomic"
	"time"
)

// idle releases the names of ids that have been idle for long enough.
//
// Each shard has a list of its idle claims; the one that has been idle for the longest is first. So
// to become idle, and to be used again, is to enter and to leave a list: O(1), under a lock that is
// taken anyway, and nothing is left behind of a key that comes and goes quickly.
type idle struct {
	h     *claims
	after time.Duration
	begun time.Time

	asleep atomic.Bool // no timer is set, so begin has to wake run
	wake   chan struct{}
}

func newIdle(h *claims, after time.Duration) *idle {
	return &idle{h: h, after: after, begun: time.Now(), wake: make(chan struct{}, 1)}
}

// begin notes that a claim that is in use becomes idle now. The caller holds the shard's mu.
func (d *idle) begin(s *shard, have *claim) {
	have.idleSince, have.idleElement = time.Since(d.begun), s.idle.PushBack(have)
	if d.asleep.CompareAndSwap(true, false) {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

// restart notes that an idle claim is idle from now on. The caller holds the shard's mu.
func (d *idle) restart(s *shard, have *claim) {
	if have.idleElement != nil {
		have.idleSince = time.Since(d.begun)
		s.idle.MoveToBack(have.idleElement)
	}
}

// endIdle notes that a claim is in use, if it was idle. The caller holds mu.
func (s *shard) endIdle(have *claim) {
	if have.idleElement != nil {
		s.idle.Remove(have.idleElement)
		have.idleElement = nil
	}
}

// run releases names until the claims close.
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
		d.asleep.Store(true) // before releaseDue: a claim that becomes idle after that wakes run
		if wait, some := d.releaseDue(); some {
			d.asleep.Store(false) // claims that become idle from now on are due later
			timer.Reset(max(wait, d.after/100))
		}
	}
}

// releaseDue releases what is due. It returns how long it is to the next one, if there is one.
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
