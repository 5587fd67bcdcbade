package courier

import (
	"context"
	"math"
	"time"

	"github.com/snowfence/snowfence/internal/stacks"
)

// An instant is a time on the monotonic clock, in nanoseconds since the process
// began. To read it takes half as long as time.Now. A bubble of testing/synctest
// has a clock of its own; instants of different clocks can't be compared.
type instant int64

var processStart = time.Now()

func now() instant { return instant(time.Since(processStart)) }

func (t instant) since(earlier instant) time.Duration { return time.Duration(t - earlier) }

// inBubble reports whether t is a time of a bubble, whose clock starts in the year 2000, before the
// process began.
func (t instant) inBubble() bool { return t < 0 }

// deadlines hold the live flights of a shard in the order of their deadlines. All have the same
// time-out, so that is the order in which they started, and one timer serves all: it stays armed
// when the flight that it was armed for ends, and looks at the oldest flight when it fires. A timer
// for each flight would cost a fetch two allocations and a tenth of its time. The shard's lock
// guards them.
type deadlines[K comparable, V any] struct {
	oldest, newest *flight[K, V]
	armed          bool // the timer
}

// limit gives f, which starts now, a time-out. s.mu is held.
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

// RestartTimeout makes the time-out of the flight in ctx, which [WithTimeout] sets, begin anew and
// adds more to it. It never makes a flight end sooner. A function that has waited for something
// with a time-out of its own calls it before it begins the work that WithTimeout is to bound. With
// more = math.MaxInt64 the flight has no time-out until the next call. Without a flight or a
// time-out it does nothing.
func RestartTimeout(ctx context.Context, more time.Duration) {
	if f := callOf(ctx).flight; f != nil {
		f.restart(more)
	}
}

// noDeadline is the deadline of a flight that has none for the time being.
const noDeadline instant = math.MaxInt64

// ends returns the instant at which f times out.
func (f *flight[K, V]) ends(timeout time.Duration) instant {
	if at := instant(f.deadline.Load()); at != 0 {
		return at
	}
	return f.started + instant(timeout)
}

// restart implements RestartTimeout. f keeps its place in shard.limited, and gets a timer of its
// own if it lives until the usual deadline, which few flights do.
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

// expireAt makes f time out at that instant, unless its deadline has changed by then.
func (s *shard[K, V]) expireAt(f *flight[K, V], at instant) {
	if at != noDeadline {
		time.AfterFunc(at.since(now()), func() { s.expireAlone(f) })
	}
}

// expireAlone ends f, which is not in limited, if its deadline has passed.
func (s *shard[K, V]) expireAlone(f *flight[K, V]) {
	timeout := s.courier.cfg.flightTimeout()
	s.mu.Lock()
	due := !f.ended && now() >= f.ends(timeout)
	s.mu.Unlock()
	if !due {
		return
	}
	shown := stacks.Recent(&s.courier.bubble)
	s.mu.Lock()
	at := now()
	first := !f.ended && at >= f.ends(timeout)
	if first {
		s.timeOut(f, at, shown)
	}
	s.mu.Unlock()
	if first {
		f.wake()
	}
}

// remove removes f, if it is there. The shard's lock is held.
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

// isDue reports whether the deadline of one of the shard's flights has passed at that instant.
func (s *shard[K, V]) isDue(at instant, timeout time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for f := s.limited.oldest; f != nil && at.since(f.started) >= timeout; f = f.after {
		if f.ends(timeout) <= at {
			return true
		}
	}
	return false
}

// expire ends the flights whose deadlines have passed. The timer calls it. The stacks of their
// functions are taken without the lock; until then a flight may still succeed.
func (s *shard[K, V]) expire() {
	timeout := s.courier.cfg.flightTimeout()
	at := now()
	var shown *stacks.Snapshot
	if s.isDue(at, timeout) {
		shown = stacks.Recent(&s.courier.bubble)
	}
	var ended []*flight[K, V]
	s.mu.Lock()
	f := s.limited.oldest
	for f != nil && at.since(f.started) >= timeout {
		next := f.after
		if ends := f.ends(timeout); ends > at {
			s.limited.remove(f)
			s.expireAt(f, ends)
		} else {
			s.timeOut(f, at, shown)
			ended = append(ended, f)
		}
		f = next
	}
	if s.limited.armed = f != nil; f != nil {
		time.AfterFunc(timeout-now().since(f.started), s.expire)
	}
	s.mu.Unlock()
	wakeAll(ended)
}
