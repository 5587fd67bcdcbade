package ownership

import (
	"sync/atomic"
	"time"
)

// idle gives up the names of units that have been idle for long enough. The methods of a nil idle
// do nothing.
//
// Each shard has a list of its idle holdings, those that have been idle for the longest first. To
// become idle, and to be used again, is thus to enter and to leave a list: O(1), under a lock that
// has to be taken anyway, and nothing is left behind of a key that comes and goes quickly.
type idle struct {
	h     *holdings
	after time.Duration
	begun time.Time

	asleep atomic.Bool // no timer is set: who makes a holding idle has to wake run
	wake   chan struct{}
}

func newIdle(h *holdings, after time.Duration) *idle {
	return &idle{h: h, after: after, begun: time.Now(), wake: make(chan struct{}, 1)}
}

// now is the time since the beginning; never 0.
func (d *idle) now() time.Duration { return time.Since(d.begun) + 1 }

// begin makes a holding idle from now on. The caller holds the shard's mu.
func (d *idle) begin(s *shard, have *holding) {
	if d == nil {
		return
	}
	have.since = d.now()
	s.idlers.add(have)
	if d.asleep.CompareAndSwap(true, false) {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

// restart has a holding that is idle be so from now on. The caller holds the shard's mu.
func (d *idle) restart(s *shard, have *holding) {
	if d != nil && have.since != 0 {
		s.idlers.remove(have)
		d.begin(s, have)
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
			have := s.idlers.oldest
			if have == nil {
				s.mu.Unlock()
				break
			}
			if left := have.since + d.after - d.now(); left > 0 {
				s.mu.Unlock()
				if !some || left < wait {
					wait, some = left, true
				}
				break
			}
			d.h.giveUp(s, have)
			s.mu.Unlock()
			d.h.give(s, have)
		}
	}
	return wait, some
}

// idlers is a list of holdings, in the order of since.
type idlers struct{ oldest, newest *holding }

func (l *idlers) add(have *holding) {
	have.prev = l.newest
	if l.newest == nil {
		l.oldest = have
	} else {
		l.newest.next = have
	}
	l.newest = have
}

// remove takes a holding out, if it is in.
func (l *idlers) remove(have *holding) {
	if l.oldest != have && have.prev == nil {
		return
	}
	if have.prev == nil {
		l.oldest = have.next
	} else {
		have.prev.next = have.next
	}
	if have.next == nil {
		l.newest = have.prev
	} else {
		have.next.prev = have.prev
	}
	have.prev, have.next = nil, nil
}
