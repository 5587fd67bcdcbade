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
	many      int32 // of these, the ones from DoMany: see batch.go
	joins     int32
	running   int32 // goroutines: the function and its linked children
	owns      bool  // it is shard.flights[key]
	ended     bool
	timedOut  bool
	isLate    bool // it has let a caller down
	probe     probing
	abandoned bool // it is in Stats.Abandoned, shard.stuck and stuckInAll
	replaced  bool // it is late, and counted as such in shard.stuck
	goesOn    bool // even if nobody waits: see late.go
	limited   bool // it is in shard.limited
	keyEra    uint32
	allEra    uint32
	turn      turn // of WithMaxConcurrent

	// deadline is set by RestartTimeout: an instant, or 0 for the usual one. It is read
	// without a lock.
	deadline atomic.Int64

	next          *flight[K, V] // in shard.flights
	before, after *flight[K, V] // in shard.limited
	afterFuncs    map[*afterFunc]struct{}
	batch         *batch[K, V] // nil: it is neither a carrier nor a passenger

	waitsFor edges
}

// newFlight makes a flight that nobody waits for so far. s.mu is held.
func (s *shard[K, V]) newFlight(
	ctx context.Context, from call, m *manyCall[K, V], hash uint64, key K, owns bool,
	fetch func(context.Context) (V, error),
) *flight[K, V] {
	if m != nil {
		return m.newPassenger(s, hash, key, owns)
	}
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
	f.turn.low, f.turn.quiet = from.low(), from.low()
	f.turn.lendUntilTaken(&s.courier.cfg)
	if d := s.courier.cfg.flightTimeout(); d > 0 {
		s.limit(f, d)
	}
	return f
}

// enter counts a caller in, from DoMany or not. shard.mu is held.
func (f *flight[K, V]) enter(from call, many bool) {
	f.waiters++
	switch {
	case from.low():
	case many:
		f.callers++
		f.many++
	default:
		f.callers++
		f.shard.stats.Waiting++
	}
}

// join counts in a caller of a flight that somebody else has started. shard.mu
// is held.
func (f *flight[K, V]) join(from call, many bool) {
	f.enter(from, many)
	f.joins++
	f.shard.stats.Joined++
	if f.done == nil { // a passenger for which only the caller of its batch has waited
		f.done = make(chan struct{})
	}
	if !from.low() && f.turn.low {
		f.promote()
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

// waitPatiently is wait for a caller with patience.
func (f *flight[K, V]) waitPatiently(
	ctx context.Context, from boarding,
) (v V, shared bool, err error) {
	var late <-chan time.Time
	if patience := callOf(ctx).terms.patience; patience > 0 {
		timer := time.NewTimer(patience - now().since(f.started))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-f.done:
		return f.read()
	case <-ctx.Done():
		err = contextError(ctx)
	case <-late:
		err = ErrLate
	}
	letDown := errors.Is(err, ErrLate) || errors.Is(ctx.Err(), context.DeadlineExceeded)
	if f.takeOff(leaver{low: from.low, late: letDown, goesOn: letDown}) {
		return v, from.joined, err
	}
	return f.read()
}

// leave takes off f a caller whose context has ended, and reports whether f was
// still under way. A caller whose deadline has passed makes it late; the last
// one to leave cancels it.
func (f *flight[K, V]) leave(ctx context.Context, low bool) bool {
	return f.takeOff(leaver{low: low, late: errors.Is(ctx.Err(), context.DeadlineExceeded)})
}

// A leaver is a caller who waits no longer.
type leaver struct {
	low    bool // ContextWithLowPriority
	many   bool // from DoMany
	late   bool // the flight has let it down
	goesOn bool // and shall go on, even if this was the last one
}

// takeOff takes off f a caller, and reports whether f was still under way.
func (f *flight[K, V]) takeOff(who leaver) bool {
	s := f.shard
	cfg := &s.courier.cfg
	s.mu.Lock()
	if f.ended {
		s.mu.Unlock()
		return false
	}
	f.waiters--
	switch {
	case who.low:
	case who.many:
		f.callers--
		f.many--
	default:
		f.callers--
		s.stats.Waiting--
		s.courier.dismiss(false)
	}
	if who.late && !cfg.unlinked {
		s.cameLate(f)
		f.goesOn = f.goesOn || who.goesOn
	}
	unwanted := !f.wanted() && !cfg.unlinked
	if unwanted {
		f.desert()
	}
	s.mu.Unlock()
	if unwanted {
		f.wake()
	}
	return true
}

// desert cancels f, which nobody wants any more. shard.mu is held; wake follows.
func (f *flight[K, V]) desert() {
	f.shard.stats.Deserted++
	f.settle(*new(V), context.Canceled)
}

// run is the flight's goroutine.
func (f *flight[K, V]) run() {
	if f.over() { // before it began: nobody wants the result
		f.exit(*new(V), returned, nil)
		return
	}
	if s := f.shard.courier; s.slots != nil && !s.cfg.turnOnDemand && !f.takeTurn() {
		return
	}
	o := assumeGoexit[V]()
	defer func() { f.exit(o.value, o.how, o.err) }()
	o.run(&f.flightContext, f.fetch, f.shard.courier.cfg.isFailure)
}

// exit is called when the function has ended, whatever ended it: that ends the
// flight, unless the courier is unlinked and the function died.
func (f *flight[K, V]) exit(v V, how ending, err error) {
	f.finish(v, how, err, how <= answered || !f.shard.courier.cfg.unlinked)
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
		s.remember(f, err, how == answered)
		works := how <= answered && f.running == 0
		if works {
			s.works(f)
		}
		if f.batch != nil {
			f.batch.result = result{counts: true, answered: how == answered, works: works}
		}
		f.settle(v, err)
	}
	last := f.running == 0
	f.retire()
	s.mu.Unlock()
	f.afterEnd(first, last)
}

// afterEnd is called when a goroutine of the flight has ended, without a lock. over says
// that it has ended the flight, last that nothing of it runs any more.
func (f *flight[K, V]) afterEnd(over, last bool) {
	if f.batch != nil {
		f.batch.afterEnd(over, last)
	} else if over {
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
	if !f.carries() {
		s.stats.InFlight--
	}
	single := f.callers - f.many
	s.stats.Waiting -= int(single)
	if s.courier.cfg.maxWaiting > 0 {
		s.courier.waiting.Add(-int64(single))
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
	f.announce()
	if f.batch != nil {
		f.batch.wake(f)
	}
}

// announce closes f's context.
func (f *flight[K, V]) announce() {
	if f.done != nil {
		close(f.done)
	}
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
	if f.batch == nil { // else its passengers come first
		s.idle()
	}
	f.giveBack()
	if f.abandoned {
		f.abandoned = false
		s.stats.Abandoned--
		s.unstick(f)
	}
}

// idle is called when nothing of a flight runs any more. s.mu is held.
func (s *shard[K, V]) idle() {
	s.busy--
	if s.closed && s.busy == 0 {
		s.courier.drained.fire()
	}
}
