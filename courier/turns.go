package courier

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// turns bounds the functions that run at one time. Flights get their turns in the order in which
// their goroutines asked for them, those with low priority after the others.
type turns struct {
	wait     time.Duration // 0: as long as the flight lives
	mostKept int           // by stuck functions

	mu    sync.Mutex // guards the following, and turn.queued of all flights
	free  int
	kept  int
	queue list.List // of *ticket
	low   list.List // of *ticket: those with low priority
}

// A turn holds the state of a flight's turn. The flight's shard.mu guards it, except for queued.
// low is written with both locks held; that of a carrier, with turns.mu alone.
type turn struct {
	low     bool // all waiters of the flight have low priority
	quiet   bool // all had when it began: its failure starts no back-off
	holding bool // the flight has its turn
	kept    bool // the flight is over, and its stuck function keeps the turn
	taken   bool // TakeTurn was called
	waiting bool // TakeTurn waits
	loan    *loan
	queued  *list.Element // of *ticket; nil: it is in no queue
}

// A ticket holds a turn's position in a queue.
type ticket struct {
	turn  *turn
	ready chan struct{} // closed when the turn has come
}

// came reports whether the flight has had its turn, or has begun without one and does not wait
// for it so far.
func (t *turn) came() bool { return t.holding || t.kept || t.loan != nil && !t.waiting }

func newTurns(n int, wait time.Duration) *turns {
	return &turns{wait: wait, mostKept: n / 2, free: n}
}

// acquire waits for t's turn, and reports whether it has come. It blocks until then, until the
// flight is over, or until t has waited for too long.
func (s *turns) acquire(flight context.Context, t *turn) bool {
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return true
	}
	p := &ticket{t, make(chan struct{})}
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
		return true // the turn has come at the same moment
	}
	s.remove(t)
	return false
}

// remove takes t out of its queue. s.mu is held.
func (s *turns) remove(t *turn) {
	s.low.Remove(t.queued) // does nothing for an element of the other
	s.queue.Remove(t.queued)
	t.queued = nil
}

// promote ends the low priority of t, also if t is queued.
func (s *turns) promote(t *turn) {
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

// promote ends the low priority of f, which has an ordinary waiter from now on. shard.mu is held.
func (f *flight[K, V]) promote() {
	turns := f.shard.courier.turns
	switch {
	case f.isPassenger():
		f.turn.low = false
		if turns != nil {
			turns.promote(&f.batch.carrier.turn)
		}
	case turns != nil:
		turns.promote(&f.turn)
	default:
		f.turn.low = false
	}
}

// release gives a turn that has ended to the next ticket.
func (s *turns) release() {
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
	next := first.Value.(*ticket) //nolint:errcheck,forcetypeassert // there is nothing else
	s.remove(next.turn)
	close(next.ready)
}

// keep counts one more stuck function that keeps its turn. If there are too many it counts nothing
// and returns false.
func (s *turns) keep() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept >= s.mostKept {
		return false
	}
	s.kept++
	return true
}

// unkeep reverses keep.
func (s *turns) unkeep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept--
}

// giveBack ends the flight's turn, if it has one. shard.mu is held.
func (f *flight[K, V]) giveBack() {
	t := &f.turn
	if t.kept {
		t.kept, t.holding = false, true
		f.shard.courier.turns.unkeep()
	}
	if t.holding {
		t.holding = false
		f.shard.courier.turns.release()
	}
}

// keepTurn lets the function of a flight that is over, or was replaced, keep its turn, since the
// origin has to bear that function too. A few stuck functions must not stop all keys, so it ends
// the turn if a share of all turns is kept already. s.mu is held.
func (s *shard[K, V]) keepTurn(f *flight[K, V]) {
	t := &f.turn
	if !t.holding {
		return
	}
	if s.courier.turns.keep() {
		t.holding, t.kept = false, true
	} else {
		f.giveBack()
	}
}

// lendUntilTaken makes t, of a new flight, count as lent until TakeTurn, if turns are taken on
// demand.
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

// takeLentTurn implements TakeTurn.
func (f *flight[K, V]) takeLentTurn() {
	s := f.shard
	if s.courier.turns == nil || !s.courier.cfg.turnOnDemand {
		return
	}
	s.mu.Lock()
	first := !f.turn.taken
	f.turn.taken = true
	f.turn.waiting = first
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
	f.turn.waiting = false
	s.mu.Unlock()
}

// A loan records that other flights may have a flight's turn while it waits in nested calls.
type loan struct {
	waiting int           // goroutines of the flight in a nested Do
	queue   chan struct{} // not nil: one of them waits for the turn; closed when that wait is over
}

// lend gives the turn back while a goroutine of the flight waits in a nested Do, since the flight
// it waits for may need it.
func (f *flight[K, V]) lend() {
	s := f.shard
	if s.courier.turns == nil {
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

// reclaim waits for the turn again when the last goroutine of a loan goes on. If the turn does not
// come in time, the flight ends as one that never had its turn.
func (f *flight[K, V]) reclaim() {
	s := f.shard
	turns := s.courier.turns
	if turns == nil {
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
		// Two tickets would be one too many: with a limit of 1 the second would wait for the first
		// for ever.
		s.mu.Unlock()
		<-queue
		return
	}
	queue := make(chan struct{})
	l.queue = queue
	s.mu.Unlock()

	came := turns.acquire(&f.flightContext, &f.turn)

	s.mu.Lock()
	l.queue = nil
	close(queue)
	wanted := !f.ended && l.waiting == 0
	tooLong := false
	switch {
	case came && wanted:
		f.turn.holding = true
	case came:
		turns.release()
	case wanted:
		tooLong = true
		f.missTurn()
	}
	s.mu.Unlock()
	if tooLong {
		f.wake()
	}
}
