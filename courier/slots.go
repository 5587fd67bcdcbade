package courier

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// slots bounds the functions that run at one time. Flights get their turn in
// the order in which their goroutines came for it, those that somebody waits for
// before the others.
type slots struct {
	wait     time.Duration // 0: as long as the flight lives
	mostKept int           // by stuck functions

	mu    sync.Mutex // guards the following, and turn.queued of all flights
	free  int
	kept  int
	queue list.List // of *place: of turns that somebody waits for
	low   list.List // the others
}

// A turn is a flight's part in slots. The flight's shard.mu guards it, but for
// queued; low is written with both locks held, that of a carrier with slots.mu alone.
type turn struct {
	low     bool // nobody waits for the flight but with low priority
	quiet   bool // nobody did when it began: its failure is no reason to back off
	holding bool // it has a slot
	kept    bool // the flight is over, and its stuck function has the slot
	taken   bool // TakeTurn was called
	awaited bool // and it waits
	loan    *loan
	queued  *list.Element // of *place; nil: it is in no queue
}

// A place holds a turn's position in a queue.
type place struct {
	turn  *turn
	ready chan struct{} // closed when it has got a slot
}

// came reports whether the flight has had its turn, or has begun without one and does not wait
// for it so far.
func (t *turn) came() bool { return t.holding || t.kept || t.loan != nil && !t.awaited }

func newSlots(n int, wait time.Duration) *slots {
	return &slots{wait: wait, mostKept: n / 2, free: n}
}

// acquire takes a slot for t. It blocks until there is one, the flight is over, or
// its wait has been too long, and reports whether it has one.
func (s *slots) acquire(flight context.Context, t *turn) bool {
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return true
	}
	p := &place{t, make(chan struct{})}
	if t.low {
		t.queued = s.low.PushBack(p)
	} else {
		t.queued = s.queue.PushBack(p)
	}
	s.mu.Unlock()

	var tooLong <-chan time.Time
	if s.wait > 0 {
		timer := time.NewTimer(s.wait)
		defer timer.Stop()
		tooLong = timer.C
	}
	select {
	case <-p.ready:
		return true
	case <-flight.Done():
	case <-tooLong:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.queued == nil {
		return true // it came in the same moment
	}
	s.remove(t)
	return false
}

// remove takes t out of its queue. s.mu is held.
func (s *slots) remove(t *turn) {
	s.low.Remove(t.queued) // does nothing for an element of the other
	s.queue.Remove(t.queued)
	t.queued = nil
}

// promote ends the low priority of t, also if it is in the queue.
func (s *slots) promote(t *turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !t.low {
		return
	}
	t.low = false
	if t.queued != nil {
		p := t.queued.Value
		s.remove(t)
		t.queued = s.queue.PushBack(p)
	}
}

// promote ends the low priority of f: somebody waits for it from now on. shard.mu is
// held.
func (f *flight[K, V]) promote() {
	slots := f.shard.courier.slots
	switch {
	case f.rides():
		f.turn.low = false
		if slots != nil {
			slots.promote(&f.batch.carrier.turn)
		}
	case slots != nil:
		slots.promote(&f.turn)
	default:
		f.turn.low = false
	}
}

// release gives a slot to the next in the queue.
func (s *slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.queue.Front()
	if first == nil {
		first = s.low.Front()
	}
	if first == nil {
		s.free++
		return
	}
	next := first.Value.(*place) //nolint:errcheck,forcetypeassert // there is nothing else
	s.remove(next.turn)
	close(next.ready)
}

// keep reports whether one more stuck function may keep its slot.
func (s *slots) keep() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept >= s.mostKept {
		return false
	}
	s.kept++
	return true
}

// unkeep takes back what keep has counted.
func (s *slots) unkeep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept--
}

// takeTurn waits for the flight's turn, and reports whether it came. If not, the
// flight is over and its goroutine accounted for.
func (f *flight[K, V]) takeTurn() bool {
	s := f.shard
	slots := s.courier.slots
	came := slots.acquire(&f.flightContext, &f.turn)
	s.mu.Lock()
	if came && !f.ended && !s.closed {
		f.turn.holding = true
		s.mu.Unlock()
		if f.batch != nil {
			f.batch.hasTurn.Store(true)
		}
		return true
	}
	if came {
		slots.release()
	}
	f.running--
	first := !f.ended
	switch {
	case !first:
	case s.closed:
		f.settle(*new(V), ErrClosed)
	default:
		f.missTurn()
	}
	last := f.running == 0
	f.retire()
	s.mu.Unlock()
	f.afterEnd(first, last)
	return false
}

// missTurn ends the flight, since its turn has not come in time. shard.mu is held.
func (f *flight[K, V]) missTurn() {
	if f.batch != nil {
		f.batch.result.missed = true // an error for each key
	} else {
		f.shard.stats.Overloads++
	}
	f.settle(*new(V), &OverloadedError{f.key, QueueWait})
}

// giveBack releases the flight's slot if it has one. shard.mu is held.
func (f *flight[K, V]) giveBack() {
	t := &f.turn
	if t.kept {
		t.kept, t.holding = false, true
		f.shard.courier.slots.unkeep()
	}
	if t.holding {
		t.holding = false
		f.shard.courier.slots.release()
	}
}

// keepTurn is called for a flight that is over while its function runs on. The
// origin has to bear that function too, so it keeps its slot; but a few stuck
// functions must not stop all keys, so no more than a share of the slots is kept
// that way. s.mu is held.
func (s *shard[K, V]) keepTurn(f *flight[K, V]) {
	t := &f.turn
	if !t.holding {
		return
	}
	if s.courier.slots.keep() {
		t.holding, t.kept = false, true
	} else {
		f.giveBack()
	}
}

// lendUntilTaken makes t, of a new flight, count as lent until TakeTurn.
func (t *turn) lendUntilTaken(cfg *config) {
	if cfg.turnOnDemand && cfg.maxConcurrent > 0 {
		t.loan = &loan{waiting: 1}
	}
}

// TakeTurn waits for the turn of the flight in ctx, where [WithTurnOnDemand] is given, and
// reports whether the flight goes on: if not, its turn did not come in time, or it is over.
// It does nothing for a flight that has had its turn, and without a limit.
func TakeTurn(ctx context.Context) bool {
	if f := callOf(ctx).flight; f != nil {
		f.takeLentTurn()
	}
	return ctx.Err() == nil
}

// takeLentTurn is TakeTurn for f.
func (f *flight[K, V]) takeLentTurn() {
	s := f.shard
	if s.courier.slots == nil || !s.courier.cfg.turnOnDemand {
		return
	}
	s.mu.Lock()
	first := !f.turn.taken
	f.turn.taken = true
	f.turn.awaited = first
	s.mu.Unlock()
	if !first {
		return
	}
	if f.batch != nil {
		f.batch.hasTurn.Store(false)
		defer f.batch.hasTurn.Store(true)
	}
	f.reclaim()
	s.mu.Lock()
	f.turn.awaited = false
	s.mu.Unlock()
}

// A loan notes that goroutines of a flight wait in a nested Do while others have its slot.
type loan struct {
	waiting int           // those goroutines
	queue   chan struct{} // not nil: one waits for a slot; closed when it has its answer
}

// lend gives the slot back while a goroutine of the flight waits in a nested
// Do: the flight it waits for may need it.
func (f *flight[K, V]) lend() {
	s := f.shard
	if s.courier.slots == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.turn.loan == nil {
		f.turn.loan = &loan{}
	}
	f.turn.loan.waiting++
	f.giveBack()
}

// reclaim waits for a slot again when the last such goroutine goes on. If none
// comes in time, the flight ends as one that never had its turn.
func (f *flight[K, V]) reclaim() {
	s := f.shard
	slots := s.courier.slots
	if slots == nil {
		return
	}
	s.mu.Lock()
	l := f.turn.loan
	l.waiting--
	if l.waiting > 0 || f.ended {
		s.mu.Unlock()
		return
	}
	if queue := l.queue; queue != nil {
		// Two of them in the queue would be one slot too many: with a limit
		// of 1 the second would wait for the first for ever.
		s.mu.Unlock()
		<-queue
		return
	}
	queue := make(chan struct{})
	l.queue = queue
	s.mu.Unlock()

	came := slots.acquire(&f.flightContext, &f.turn)

	s.mu.Lock()
	l.queue = nil
	close(queue)
	wanted := !f.ended && l.waiting == 0
	tooLong := false
	switch {
	case came && wanted:
		f.turn.holding = true
	case came:
		slots.release()
	case wanted:
		tooLong = true
		f.missTurn()
	}
	s.mu.Unlock()
	if tooLong {
		f.wake()
	}
}
