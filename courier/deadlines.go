package courier

import (
	"context"
	"math"
	"time"
)

// An instant is a time on the monotonic clock, in nanoseconds since the process
// began. To read it takes half as long as time.Now. A bubble of testing/synctest
// has a clock of its own: instants of different clocks can't be compared.
type instant int64

var processStart = time.Now()

func now() instant { return instant(time.Since(processStart)) }

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
	armed          bool // the timer
}

// limit files f, which starts now and has that much time. s.mu is held.
func (s *shard[K, V]) limit(f *flight[K, V], timeout time.Duration) {
	if f.started.inBubble() { // only a timer of its own bubble may end it
		time.AfterFunc(timeout, func() { s.expireAlone(f) })
		return
	}
	f.limited = true
	d := &s.limited
	if d.newest == nil {
		d.oldest = f
	} else {
		f.before, d.newest.after = d.newest, f
	}
	d.newest = f
	if !d.armed { // else it is, or fires now and arms itself again
		d.armed = true
		time.AfterFunc(timeout, s.expire)
	}
}

// RestartTimeout makes the time-out of the flight in ctx begin anew, and gives it more
// besides: [WithTimeout] then counts from now on. It never makes a flight end sooner. A
// function that has waited for something with a time-out of its own calls it before it
// begins with what WithTimeout is to bound. With more = math.MaxInt64 the flight has no
// time-out until the next call. Without a flight or a time-out it does nothing.
func RestartTimeout(ctx context.Context, more time.Duration) {
	if f := callOf(ctx).flight; f != nil {
		f.restart(more)
	}
}

// noDeadline is the deadline of a flight that has none for the time being.
const noDeadline instant = math.MaxInt64

// ends returns when f's time is up.
func (f *flight[K, V]) ends(timeout time.Duration) instant {
	if at := instant(f.deadline.Load()); at != 0 {
		return at
	}
	return f.started + instant(timeout)
}

// restart is RestartTimeout for f. In shard.limited it stays where it is: it gets a timer
// of its own when it would have ended there, which few flights live to see.
func (f *flight[K, V]) restart(more time.Duration) {
	s := f.shard
	timeout := s.courier.cfg.flightTimeout()
	if timeout == 0 {
		return
	}
	at := noDeadline
	if begins := now(); more < time.Duration(noDeadline-max(0, begins))-timeout {
		at = begins + instant(timeout+more)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f.deadline.Store(int64(at))
	if !f.limited && !f.ended {
		s.expireAt(f, at)
	}
}

// expireAt ends f at that time, unless its deadline has changed by then.
func (s *shard[K, V]) expireAt(f *flight[K, V], at instant) {
	if at != noDeadline {
		time.AfterFunc(at.since(now()), func() { s.expireAlone(f) })
	}
}

// expireAlone ends f, which is not in limited, if its time is up.
func (s *shard[K, V]) expireAlone(f *flight[K, V]) {
	s.mu.Lock()
	first := !f.ended && now() >= f.ends(s.courier.cfg.flightTimeout())
	if first {
		s.timeOut(f)
	}
	s.mu.Unlock()
	if first {
		f.wake()
	}
}

// timeOut ends f with ErrTimeout. s.mu is held; wake follows.
func (s *shard[K, V]) timeOut(f *flight[K, V]) {
	if f.batch == nil {
		s.stats.Timeouts++
	} else { // counted for each key
		f.batch.result.counts = true
	}
	f.timedOut = true
	s.remember(f, ErrTimeout, false)
	f.settle(*new(V), ErrTimeout)
}

// remove takes f out, if it is in. The shard's lock is held.
func (d *deadlines[K, V]) remove(f *flight[K, V]) {
	if !f.limited {
		return
	}
	f.limited = false
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
	timeout := s.courier.cfg.flightTimeout()
	f := s.limited.oldest
	for f != nil && at.since(f.started) >= timeout {
		next := f.after
		if ends := f.ends(timeout); ends > at {
			s.limited.remove(f)
			s.expireAt(f, ends)
		} else {
			s.timeOut(f)
			ended = append(ended, f)
		}
		f = next
	}
	if s.limited.armed = f != nil; f != nil {
		time.AfterFunc(timeout-at.since(f.started), s.expire)
	}
	s.mu.Unlock()
	for _, f := range ended {
		f.wake()
	}
}
