package courier

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// A flight is one call of a fetch function and everyone who waits for it. This
// file is its life, in order: it starts, callers join and leave, its function
// runs, it settles on an outcome, its waiters wake, and its goroutines end.
type flight[K comparable, V any] struct {
	// The context that the function gets (see context.go); first, so that the
	// flight is found from it. Its done channel is closed when the flight is
	// over: one channel tells the waiters, the function and its children.
	flightContext[K, V]

	shard   *shard[K, V]
	hash    uint64
	key     K
	fetch   func(context.Context) (V, error)
	values  context.Context // the first caller's: only its values are used
	started instant
	lateAge time.Duration // see LateAge

	// value, err, joins and the flags are final when done is closed, and may be
	// read without a lock from then on. The last waiter clears value.
	value  V
	err    error
	unread atomic.Int32 // waiters who have not read value yet, if there are several

	// Guarded by shard.mu. Small types: a flight is allocated per fetch.
	waiters   int32 // who wait
	callers   int32 // of these, the ones that count for the limits
	joins     int32
	running   int32 // goroutines: the function and its linked children
	owns      bool  // it is shard.flights[key]
	ended     bool
	timedOut  bool
	isLate    bool // it has let a caller down
	probe     probing
	abandoned bool // it is in Stats.Abandoned, shard.stuck and stuckInAll
	replaced  bool // it is late, and counted as such in shard.stuck
	keyEra    uint32
	allEra    uint32
	turn      turn // of WithMaxConcurrent

	next          *flight[K, V] // in shard.flights
	before, after *flight[K, V] // in shard.limited
	afterFuncs    map[*afterFunc]struct{}

	waitsFor edges
}

// newFlight makes a flight with one waiter. s.mu is held.
func (s *shard[K, V]) newFlight(
	ctx context.Context, from call, hash uint64, key K, owns bool, fetch func(context.Context) (V, error),
) *flight[K, V] {
	f := &flight[K, V]{
		flightContext: flightContext[K, V]{done: make(chan struct{})},
		shard:         s,
		hash:          hash,
		key:           key,
		fetch:         fetch,
		values:        ctx,
		started:       now(),
		owns:          owns,
		running:       1,
	}
	f.turn.low = from.low
	f.enter(from)
	if d := s.courier.cfg.flightTimeout(); d > 0 {
		s.limit(f, d)
	}
	return f
}

// enter counts a caller in. shard.mu is held.
func (f *flight[K, V]) enter(from call) {
	f.waiters++
	if !from.low {
		f.callers++
		f.shard.stats.Waiting++
	}
}

// join counts in a caller of a flight that somebody else has started. shard.mu
// is held.
func (f *flight[K, V]) join(from call) {
	f.enter(from)
	f.joins++
	f.shard.stats.Joined++
	if !from.low && f.turn.low { // from now on somebody waits for it
		f.shard.courier.slots.promote(&f.turn)
	}
}

// wait blocks until f has ended or ctx has.
func (f *flight[K, V]) wait(ctx context.Context, from boarding) (v V, shared bool, err error) {
	leaving := ctx.Done()
	if leaving == nil { // a plain receive is half the price of a select
		<-f.done
		return f.read()
	}
	select {
	case <-f.done:
	case <-leaving:
		if f.leave(ctx, from.low) {
			return v, from.joined, contextError(ctx)
		}
		// The flight had ended by then: its outcome is better than an excuse.
	}
	return f.read()
}

// read returns the outcome. Each waiter calls it once, and the last of them
// clears the value, so that a context which is kept does not keep the value.
func (f *flight[K, V]) read() (v V, shared bool, err error) {
	v, shared, err = f.value, f.joins > 0, f.err
	if f.waiters == 1 || f.unread.Add(-1) == 0 {
		f.value = *new(V)
	}
	return v, shared, err
}

// leave takes off f a caller whose context has ended, and reports whether f was
// still under way. A caller whose deadline has passed makes it late; the last
// one to leave cancels it.
func (f *flight[K, V]) leave(ctx context.Context, low bool) bool {
	s := f.shard
	cfg := &s.courier.cfg
	late := errors.Is(ctx.Err(), context.DeadlineExceeded) // foreign code: without the lock
	s.mu.Lock()
	if f.ended {
		s.mu.Unlock()
		return false
	}
	f.waiters--
	if !low {
		f.callers--
		s.stats.Waiting--
		s.courier.dismiss(low)
	}
	if late && !cfg.unlinked {
		s.cameLate(f)
	}
	last := f.waiters == 0 && !cfg.unlinked
	if last {
		s.stats.Deserted++
		f.settle(*new(V), context.Canceled)
	}
	s.mu.Unlock()
	if last {
		f.wake()
	}
	return true
}

// run is the flight's goroutine.
func (f *flight[K, V]) run() {
	if f.over() { // before it began: nobody wants the result
		f.exit(*new(V), returned, nil)
		return
	}
	if f.shard.courier.slots != nil && !f.takeTurn() {
		return
	}
	o := assumeGoexit[V]()
	defer func() { f.exit(o.value, o.how, o.err) }()
	o.run(&f.flightContext, f.fetch)
}

// exit is called when the function has ended, whatever ended it: that ends the
// flight, unless the courier is unlinked and the function died.
func (f *flight[K, V]) exit(v V, how ending, err error) {
	f.finish(v, how, err, how == returned || !f.shard.courier.cfg.unlinked)
}

// finish accounts for a goroutine of the flight that has ended, and ends the
// flight with its outcome if that decides it and nothing else came first.
func (f *flight[K, V]) finish(v V, how ending, err error, decides bool) {
	s := f.shard
	s.mu.Lock()
	s.count(how)
	first := decides && !f.ended
	f.running--
	if first {
		s.remember(f, err)
		if how == returned && f.running == 0 {
			s.works(f)
		}
		f.settle(v, err)
	}
	f.retire()
	s.mu.Unlock()
	if first {
		f.wake()
	}
}

// settle fixes the outcome, frees the key and the turn, and counts the flight
// as abandoned if a goroutine of it still runs. The caller calls wake after it
// has unlocked. shard.mu is held.
func (f *flight[K, V]) settle(v V, err error) {
	s := f.shard
	f.ended = true
	f.err = err
	if f.waiters > 0 {
		f.value = v
	}
	if f.waiters > 1 { // an atomic store is dear, and most flights have one
		f.unread.Store(f.waiters)
	}
	if f.owns {
		s.disown(f)
		s.track()
	} else {
		delete(s.detached, f)
		if len(s.detached) == 0 {
			s.detached = nil
		}
	}
	s.limited.remove(f)
	s.stats.InFlight--
	s.stats.Waiting -= int(f.callers)
	if s.courier.cfg.maxWaiting > 0 {
		s.courier.waiting.Add(-int64(f.callers))
	}
	if f.replaced {
		s.endLate(f)
	}
	if f.running > 0 {
		s.abandon(f)
	} else {
		f.giveBack()
	}
}

// wake tells everyone that the flight is over. It is called once, after
// settle, without a lock: waking many waiters takes a while.
func (f *flight[K, V]) wake() {
	close(f.done)
	for a := range f.afterFuncs {
		go a.do()
	}
}

// retire is called when a goroutine of the flight has ended, after running
// was lowered. shard.mu is held.
func (f *flight[K, V]) retire() {
	if f.running > 0 {
		return
	}
	s := f.shard
	s.busy--
	if s.closed && s.busy == 0 {
		s.courier.drained.fire()
	}
	f.giveBack()
	if f.abandoned {
		f.abandoned = false
		s.stats.Abandoned--
		s.unstick(f)
	}
}
