package registry

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// tickEvery is the resolution of the alarm, and the least time between two rings. Partitions that
// are due meanwhile tick together, so that what they send shares packets.
const tickEvery = 50 * time.Millisecond

const never = math.MaxInt64

// An alarm lets time pass for the partitions of a registry: one goroutine (keepTime) sleeps until
// the first moment that a partition has set, or until one is set. It also compares digests with
// other nodes.
type alarm struct {
	phase int64          // of its rings, random so that nodes do not ring at the same time
	wake  chan struct{}  // has room for one: a moment before next was set
	next  atomic.Int64   // when it rings: Mono, as all moments here
	due   []atomic.Int64 // by number of the partition; those of the second space come last
}

func newAlarm(parts int) *alarm {
	a := &alarm{
		phase: rand.Int64N(int64(tickEvery)),
		wake:  make(chan struct{}, 1),
		due:   make([]atomic.Int64, parts),
	}
	for i := range a.due {
		a.due[i].Store(never)
	}
	a.next.Store(never)
	return a
}

// set sets the moment at which partition n must tick, none if ok is false, and returns it rounded
// to a ring. The caller holds the partition's lock.
func (a *alarm) set(n int, due time.Duration, ok bool) int64 {
	moment := int64(never)
	if ok {
		moment = a.round(due)
	}
	a.due[n].Store(moment)
	return moment
}

// soon makes partition n tick after about tickEvery, if it would not anyway. The caller holds the
// partition's lock.
func (a *alarm) soon(n int, now time.Duration) {
	if moment := a.round(now + tickEvery/2); moment < a.due[n].Load() {
		a.due[n].Store(moment)
		a.wakeBefore(moment)
	}
}

// round returns the first ring at or after t.
func (a *alarm) round(t time.Duration) int64 {
	const step = int64(tickEvery)
	return (int64(t)-a.phase+step-1)/step*step + a.phase
}

// wakeBefore wakes the alarm if it would sleep past a moment.
func (a *alarm) wakeBefore(moment int64) {
	if moment < a.next.Load() {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// keepTime is the alarm's goroutine.
func (r *Registry) keepTime() {
	a := r.alarm
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		a.next.Store(never) // a moment that is set from here on wakes the alarm again
		next := min(r.tickDue(r.parts), r.tickDue(r.groups.awake()), r.conflicts.log(r), r.compare())
		a.next.Store(next)
		if next == never {
			timer.Stop()
		} else {
			// Not 0: two timers that are due when a select looks at them crash the race detector in a
			// synctest bubble (seen in Go 1.26.8).
			timer.Reset(max(time.Duration(next)-r.now().Mono, time.Nanosecond))
		}
		select {
		case <-timer.C:
		case <-a.wake:
		case q := <-r.comparison.questions:
			r.answer(q)
		case <-r.life.Done():
			return
		}
		r.wakeUps.Add(1)
	}
}

// tickDue ticks the partitions that are due, and returns the next moment of one. It does not wait
// for a partition's lock: if that is taken, the partition's goroutine ticks.
func (r *Registry) tickDue(parts []*part) (next int64) {
	next = never
	now := int64(time.Since(r.started))
	for _, p := range parts {
		moment := r.alarm.due[p.n].Load()
		switch {
		case moment > now:
		case p.mu.TryLock():
			moment = p.tick()
		default:
			p.missed.Store(true)
			p.rouse()
			moment = now + int64(tickEvery)
		}
		next = min(next, moment)
	}
	return next
}
