package courier

import (
	"math"
	"time"
)

// An instant is a time on the monotonic clock, in nanoseconds since the process
// began. To read it takes half as long as time.Now. A bubble of testing/synctest
// has a clock of its own: instants of different clocks can't be compared.
type instant int64

var processStart = time.Now()

func now() instant { return instant(time.Since(processStart)) }

// add returns t plus d, or the last instant there is.
func (t instant) add(d time.Duration) instant {
	if sum := t + instant(d); sum >= t {
		return sum
	}
	return math.MaxInt64
}

func (t instant) since(earlier instant) time.Duration { return time.Duration(t - earlier) }

// inBubble reports whether t is of a bubble, whose clock starts in the year 2000,
// before the process began.
func (t instant) inBubble() bool { return t < 0 }

// deadlines hold the live flights of a shard in the order of their deadlines. All
// have the same time-out, so that is the order in which they started, and one
// timer serves all: it is left armed when the flight it was armed for has ended,
// and looks at the oldest when it fires. A timer for each flight would cost a
// fetch two allocations and a tenth of its time. The shard's lock guards them.
type deadlines[K comparable, V any] struct {
	oldest, newest *flight[K, V]
	armed          instant // when the timer fires; 0: not armed
}

// limit files f, which starts now and has that much time. s.mu is held.
func (s *shard[K, V]) limit(f *flight[K, V], timeout time.Duration) {
	d := &s.limited
	deadline := f.started.add(timeout)
	if d.newest == nil {
		d.oldest = f
	} else {
		f.before, d.newest.after = d.newest, f
	}
	d.newest = f
	// A timer of one bubble does not fire in another, so in a bubble each flight
	// has its own. One that should have fired by now may come from a bubble.
	if d.armed == 0 || d.armed < f.started || deadline < d.armed || f.started.inBubble() {
		s.arm(deadline, timeout)
	}
}

// arm has the timer fire at the time at, which is d from now. s.mu is held.
func (s *shard[K, V]) arm(at instant, d time.Duration) {
	s.limited.armed = at
	time.AfterFunc(d, s.expire)
}

// remove takes f out, if it is in. The shard's lock is held.
func (d *deadlines[K, V]) remove(f *flight[K, V]) {
	if f.before == nil && d.oldest != f {
		return
	}
	if f.before == nil {
		d.oldest = f.after
	} else {
		f.before.after = f.after
	}
	if f.after == nil {
		d.newest = f.before
	} else {
		f.after.before = f.before
	}
	f.before, f.after = nil, nil
}

// expire ends the flights whose time is up. The timer calls it.
func (s *shard[K, V]) expire() {
	var ended []*flight[K, V]
	s.mu.Lock()
	at := now()
	bubble := at.inBubble()
	timeout := s.courier.cfg.flightTimeout()
	for f := s.limited.oldest; f != nil; {
		next := f.after
		switch {
		case at.since(f.started) >= timeout:
			s.stats.Timeouts++
			f.timedOut = true
			s.remember(f, ErrTimeout)
			f.settle(*new(V), ErrTimeout)
			ended = append(ended, f)
		case !bubble: // all that follow are later
			next = nil
		}
		f = next
	}
	if f := s.limited.oldest; f == nil {
		s.limited.armed = 0
	} else if !bubble {
		s.arm(f.started.add(timeout), timeout-at.since(f.started))
	}
	s.mu.Unlock()
	for _, f := range ended {
		f.wake()
	}
}
