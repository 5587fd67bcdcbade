package courier

import (
	"context"
	"errors"
	"runtime/pprof"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/courier/internal/guard"
	"github.com/snowfence/snowfence/internal/stacks"
)

// A flight is one call of a fetch function and everyone who waits for it. This file is its life, in
// order:
//
//	start     newFlight, register
//	callers   enter, join, wait, removeWaiter
//	its key   detach, when Forget or a fresh flight (replace) takes the key
//	run       run, takeTurn
//	end       finish, timeOut, missTurn or cancel: whichever comes first
//	settle    settle, abandon
//	wake      wake
//	gone      retire, when the last goroutine has ended
//
// How a caller gets here is in courier.go, and how the flights of a batch differ, in batch.go.
type flight[K comparable, V any] struct {
	// The context that the function gets (see context.go); first, so that the flight is found from
	// it.
	flightContext[K, V]

	// done is a chan struct{} that is closed when the flight is over: it wakes the callers that
	// have joined the flight, the function and its children. It is made when one of them needs it;
	// most flights end before. It is stored with shard.mu held, and not any more when ended is set.
	done   atomic.Value
	wakeup chan struct{} // wakes the caller that has started the flight; see wakeups; nil: done does

	shard   *shard[K, V]
	key     K
	fetch   func(context.Context) (V, error)
	values  context.Context // the first caller's: only its values are used
	lateAge time.Duration   // see LateAge
	labels  *labelSet       // nil: a passenger; written once more by its goroutine, with shard.mu held

	// value, err, joins and the flags are final when the flight is over, and may be read without a
	// lock from then on. The last waiter clears value.
	value   V
	err     error
	endedAt instant
	final   atomic.Bool  // the flight is over; may be read without a lock
	unread  atomic.Int32 // waiters that have not read value yet, if there are several

	// Guarded by shard.mu. Small types: a flight is allocated per fetch.
	hash       uint32 // the high half of that of the key; it does not change
	waiters    int32  // all of them
	callers    int32  // the waiters that count towards the limits
	many       int32  // the callers from DoMany: see batch.go
	joins      int32
	running    int32 // goroutines: the function and its linked children
	owns       bool  // it is in shard.flights, where callers find it by its key
	ended      bool
	end        FlightEnd // if ended
	isLate     bool      // it has let a caller down
	probe      probing
	abandoned  bool // it is in Stats.Abandoned, shard.stuck and stuckInAll
	replaced   bool // it is late, and counted as such in shard.stuck
	goesOn     bool // even without a waiter: see late.go
	limited    bool // it is in shard.limited
	unlabelled bool // another flight may have its label
	keyEra     uint32
	allEra     uint32
	turn       turn // of WithMaxConcurrent

	// deadline is set by RestartTimeout: an instant, or 0 for the usual one. It is read without a
	// lock.
	deadline atomic.Int64

	next          *flight[K, V] // in shard.flights
	before, after *flight[K, V] // in shard.limited
	afterFuncs    *afterFunc    // the first of a list: see context.go
	batch         *batch[K, V]  // nil: it is neither a carrier nor a passenger

	waitsFor atomic.Pointer[edges] // nil: it has never waited for another
}

// newFlight makes a flight, without a waiter so far. s.mu is held.
func (s *shard[K, V]) newFlight(
	ctx context.Context, from call, m *manyCall[K, V], hash uint64, key K, owns bool,
	fetch func(context.Context) (V, error),
) *flight[K, V] {
	if m != nil {
		return m.newPassenger(s, hash, key, owns)
	}
	f := &flight[K, V]{
		flightContext: flightContext[K, V]{started: now()},
		shard:         s,
		hash:          uint32(hash >> 32),
		key:           key,
		fetch:         fetch,
		values:        ctx,
		labels:        s.labels.take(s.courier.Name),
		owns:          owns,
		running:       1,
	}
	f.wakeup = takeWakeup(f.started)
	if s.outside == nil && !f.started.inBubble() {
		s.outside = make(chan struct{})
	}
	f.turn.low, f.turn.quiet = from.low(), from.low()
	f.turn.lendUntilTaken(&s.courier.cfg)
	if d := s.courier.cfg.flightTimeout(); d > 0 {
		s.limit(f, d)
	}
	return f
}

// register makes f, which is new, the flight of its key, in place of late if that is not nil. s.mu
// is held.
func (s *shard[K, V]) register(f, late *flight[K, V]) {
	if late != nil {
		s.replace(late, f)
	}
	if f.owns {
		s.flights.put(f)
		s.track()
	} else {
		s.setDetached(f)
	}
	if f.batch == nil { // else its carrier is busy
		s.busy++
	}
	s.stats.Started++
	s.stats.InFlight++
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

// join counts in a caller of a flight that another caller has started. shard.mu is held.
func (f *flight[K, V]) join(from call, many bool) {
	f.enter(from, many)
	f.joins++
	f.shard.stats.Joined++
	f.makeDone()
	if !from.low() && f.turn.low {
		f.promote()
	}
}

// wait blocks until f has ended or ctx has.
func (f *flight[K, V]) wait(ctx context.Context, w waiter) (v V, shared bool, err error) {
	over := f.overFor(w)
	leaving := ctx.Done()
	if leaving == nil { // a plain receive is half the price of a select
		<-over
		return f.readWoken(w)
	}
	select {
	case <-over:
		return f.readWoken(w)
	case <-leaving:
		if f.leave(ctx, w.low) {
			f.shard.observeLeft(w)
			return v, f.wasJoined(), contextError(ctx)
		}
		// The flight had ended by then: its outcome is better than the context's error.
	}
	return f.readFor(w)
}

// read returns the outcome. Each waiter calls it once, and the last of them clears the value, so
// that a context which is kept does not keep the value.
func (f *flight[K, V]) read() (v V, shared bool, err error) {
	v, shared, err = f.value, f.joins > 0, f.err
	if f.waiters == 1 || f.unread.Add(-1) == 0 {
		f.value = *new(V)
	}
	return v, shared, err
}

// readFor does what read does, and records the wait of a caller that was not f's only one.
func (f *flight[K, V]) readFor(w waiter) (v V, shared bool, err error) {
	if f.joins > 0 && !w.low {
		f.shard.timings.observeWait(f.endedAt.since(w.since))
	}
	return f.read()
}

// readWoken does what readFor does, for a caller that overFor's channel has woken.
func (f *flight[K, V]) readWoken(w waiter) (v V, shared bool, err error) {
	if !w.joined {
		putWakeup(f.wakeup)
	}
	return f.readFor(w)
}

// waitPatiently does what wait does, for a caller with patience.
func (f *flight[K, V]) waitPatiently(ctx context.Context, w waiter) (v V, shared bool, err error) {
	var late <-chan time.Time
	if patience := callOf(ctx).terms.patience; patience > 0 {
		timer := time.NewTimer(patience - now().since(f.started))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-f.overFor(w):
		return f.readWoken(w)
	case <-ctx.Done():
		err = contextError(ctx)
	case <-late:
		err = ErrLate
	}
	letDown := errors.Is(err, ErrLate) || errors.Is(ctx.Err(), context.DeadlineExceeded)
	if f.removeWaiter(leaver{low: w.low, late: letDown, goesOn: letDown}) {
		f.shard.observeLeft(w)
		return v, f.wasJoined(), err
	}
	return f.readFor(w)
}

// leave removes a waiter whose context has ended, and reports whether f was still under way. A
// waiter whose deadline has passed makes f late; the last one to leave cancels it.
func (f *flight[K, V]) leave(ctx context.Context, low bool) bool {
	return f.removeWaiter(leaver{low: low, late: errors.Is(ctx.Err(), context.DeadlineExceeded)})
}

// wasJoined reports whether f has had more than one waiter.
func (f *flight[K, V]) wasJoined() bool {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	return f.joins > 0
}

// A leaver is a waiter that leaves before the flight has ended.
type leaver struct {
	low    bool // ContextWithLowPriority
	many   bool // from DoMany
	late   bool // the flight has let it down
	goesOn bool // the flight goes on, even if this was its last waiter
}

// removeWaiter removes a waiter, and reports whether f was still under way.
func (f *flight[K, V]) removeWaiter(w leaver) bool {
	s := f.shard
	cfg := &s.courier.cfg
	s.mu.Lock()
	if f.ended {
		s.mu.Unlock()
		return false
	}
	f.waiters--
	switch {
	case w.low:
	case w.many:
		f.callers--
		f.many--
	default:
		f.callers--
		s.stats.Waiting--
		s.courier.dismiss(false)
	}
	if w.late && !cfg.unlinked {
		s.markLate(f)
		f.goesOn = f.goesOn || w.goesOn
	}
	unwanted := !f.wanted() && !cfg.unlinked
	if unwanted {
		f.cancel()
	}
	s.mu.Unlock()
	if unwanted {
		f.wake()
	}
	return true
}

// wanted reports whether f is to go on: it has a waiter, or goes on without one and can still be of
// use. Late flights that were replaced must not pile up, so without a waiter they go on only if
// they have a time-out, and as many of a key as its functions may be stuck. shard.mu is held.
func (f *flight[K, V]) wanted() bool {
	cfg := &f.shard.courier.cfg
	return f.waiters > 0 || f.goesOn && (f.owns || f.replaced && cfg.flightTimeout() > 0 &&
		f.shard.stuck[f.key].late <= cfg.abandonedPerKey())
}

// replace takes the key from late, for fresh. s.mu is held.
func (s *shard[K, V]) replace(late, fresh *flight[K, V]) {
	fresh.lateAge = max(fresh.started.since(late.started), 1) // 0 is none
	late.replaced = true
	s.stuckOf(late.key).late++
	s.keepTurn(late)
	s.detach(late)
}

// detach takes the key from f, which goes on for its waiters if it has any. s.mu is held.
func (s *shard[K, V]) detach(f *flight[K, V]) {
	s.disown(f)
	s.setDetached(f)
	if !f.wanted() {
		f.cancel()
		go f.wake() // not with the lock
	}
}

// disown takes f out of the flights that callers find. s.mu is held.
func (s *shard[K, V]) disown(f *flight[K, V]) {
	f.owns = false
	s.flights.remove(f)
}

// setDetached adds a live flight that owns no key. s.mu is held.
func (s *shard[K, V]) setDetached(f *flight[K, V]) {
	if s.detached == nil {
		s.detached = make(map[*flight[K, V]]struct{})
	}
	s.detached[f] = struct{}{}
}

// run calls the fetch function, when the flight has its turn. It is the flight's goroutine, with a
// stack of 2 KiB, a part of it reserved. So that a function which needs little does not pay for a
// larger one, what comes before the call is in functions apart.
func (f *flight[K, V]) run() {
	if !f.isReady() {
		return
	}
	var o guard.Outcome[V]
	o.AssumeGoexit()
	defer func() {
		f.finish(o.Value, o.How, failure(&o),
			o.How <= guard.Answered || !f.shard.courier.cfg.unlinked)
	}()
	f.prepare()
	o.Run(&f.flightContext, f.fetch, f.shard.courier.cfg.isFailure)
}

// isReady prepares the goroutine for the call, and reports whether the function is to be called. If
// not, the flight is over and its goroutine accounted for.
//
//go:noinline
func (f *flight[K, V]) isReady() bool {
	if f.over() { // before it began
		f.finish(*new(V), guard.Returned, nil, true)
		return false
	}
	// Until here it has the labels of the goroutine that has started it, maybe another flight's.
	pprof.SetGoroutineLabels(f.labels.ctx)
	c := f.shard.courier
	return c.turns == nil || c.cfg.turnOnDemand || f.takeTurn()
}

// prepare makes f's span, and adds the labels of others to those of its goroutine.
//
//go:noinline
func (f *flight[K, V]) prepare() {
	cfg := &f.shard.courier.cfg
	if cfg.tracer != nil {
		f.startSpan()
	}
	if cfg.keyText != nil || hasLabels(f.values) {
		f.extendLabels()
		pprof.SetGoroutineLabels(f.labels.ctx)
	}
}

// takeTurn waits for the flight's turn, and reports whether it came. If not, the flight is over and
// its goroutine accounted for.
func (f *flight[K, V]) takeTurn() bool {
	s := f.shard
	turns := s.courier.turns
	came := turns.acquire(&f.flightContext, &f.turn)
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
		turns.release()
	}
	f.running--
	first := !f.ended
	switch {
	case !first:
	case s.closed:
		f.settle(*new(V), ErrClosed, EndClosed, now())
	default:
		f.missTurn()
	}
	last := f.running == 0
	if last {
		f.retire()
	}
	s.mu.Unlock()
	f.afterEnd(first, last)
	return false
}

// finish accounts for a goroutine of the flight that has ended, whatever ended it. If that decides
// the outcome, and nothing else came first, it ends the flight.
func (f *flight[K, V]) finish(v V, how guard.Ending, err error, decides bool) {
	s := f.shard
	s.mu.Lock()
	s.count(how)
	if how > guard.Answered {
		f.logDeath(how, err)
	}
	first := decides && !f.ended
	f.running--
	if first {
		s.remember(f, err, how == guard.Answered)
		works := how <= guard.Answered && f.running == 0
		if works {
			s.forgiveStuck(f)
		}
		if f.batch != nil {
			f.batch.result = result{counts: true, answered: how == guard.Answered, works: works}
		}
		f.settle(v, err, endOf(how, err), now())
	}
	last := f.running == 0
	if last {
		f.retire()
	}
	s.mu.Unlock()
	f.afterEnd(first, last)
}

// timeOut ends f, which times out at that instant, with a *TimeoutError. shown has the stacks of
// all flights. s.mu is held; the caller calls wake after it has unlocked.
func (s *shard[K, V]) timeOut(f *flight[K, V], at instant, shown *stacks.Snapshot) {
	err := s.timeoutError(f, at, shown)
	if f.batch == nil {
		s.stats.Timeouts++
	} else { // counted for each key
		f.batch.result.counts = true
	}
	f.logTimeout(err)
	s.remember(f, err.withoutStack(), false)
	f.settle(*new(V), err, EndTimeout, at)
}

// missTurn ends f, whose turn has not come in time. shard.mu is held; the caller calls wake after
// it has unlocked.
func (f *flight[K, V]) missTurn() {
	if f.batch != nil {
		f.batch.result.missed = true // an error for each key
	} else {
		f.shard.stats.Overloads++
		f.shard.courier.logRefusal(f.key, f.hash, QueueWait)
	}
	f.settle(*new(V), &OverloadedError{f.key, QueueWait}, EndOverloaded, now())
}

// cancel ends f, which is not wanted any more. shard.mu is held; the caller calls wake after it has
// unlocked.
func (f *flight[K, V]) cancel() {
	f.shard.stats.Deserted++
	f.settle(*new(V), context.Canceled, EndCancelled, now())
}

// remember updates the history of f's key with an outcome; fine reports that err is no failure. A
// flight without its key changes nothing. The failure of one that began with low priority starts no
// back-off: without that flight the key would have been free for the callers that came later. s.mu
// is held, and settle has not been called.
func (s *shard[K, V]) remember(f *flight[K, V], err error, fine bool) {
	fine = fine || err == nil
	switch {
	case !f.owns || s.history.byKey == nil && fine:
	case fine:
		s.logBackoffEnd(f)
		if f.isLate {
			s.history.endBackoff(f.key)
		} else {
			s.history.forget(f.key)
		}
	case s.courier.cfg.backoffMin > 0 && !f.turn.quiet:
		s.history.noteFailure(f.key, err)
		s.logBackoff(f, err)
	}
}

// settle fixes the outcome, frees the key and the turn, and counts the flight as abandoned if a
// goroutine of it still runs. at is the present instant. shard.mu is held; the caller calls wake
// after it has unlocked.
func (f *flight[K, V]) settle(v V, err error, end FlightEnd, at instant) {
	s := f.shard
	f.ended = true
	f.err, f.end, f.endedAt = err, end, at
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
	if !f.isCarrier() {
		s.stats.InFlight--
		took := at.since(f.started)
		s.timings.observeEnd(f.key, f.hash, took, end, at)
		if f.callers == 1 && f.many == 0 && f.joins == 0 {
			s.timings.observeSingle(took)
		}
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
	f.final.Store(true)
}

// abandon counts a flight that has ended while a goroutine of it still runs. s.mu is held.
func (s *shard[K, V]) abandon(f *flight[K, V]) {
	f.abandoned = true
	if f.isPassenger() { // its carrier counts for the rest
		s.countStuckKey(f, time.Now())
		return
	}
	s.stats.Abandoned++
	s.stats.AbandonedTotal++
	if s.abandoned == nil {
		s.abandoned = make(map[*flight[K, V]]struct{})
	}
	s.abandoned[f] = struct{}{}
	s.keepTurn(f)
	s.countStuck(f)
}

// afterEnd does what follows the end of a goroutine without a lock. over reports that this ended
// the flight, last that no other goroutine of it runs.
func (f *flight[K, V]) afterEnd(over, last bool) {
	if f.batch != nil {
		f.batch.afterEnd(over, last)
	} else if over {
		f.wake()
	}
}

// wake notifies all waiters, the function and its children that the flight is over. It is called
// once, after settle, and without a lock: to wake many waiters takes a while.
func (f *flight[K, V]) wake() {
	f.wakeWaiters()
	f.endSpan()
}

// wakeAll does what wake does, for flights that have ended together. Their spans end in goroutines
// of their own: one that hangs must not keep the callers of the other flights waiting.
func wakeAll[K comparable, V any](ended []*flight[K, V]) {
	for _, f := range ended {
		f.wakeWaiters()
		if f.shard.courier.cfg.tracer != nil {
			go f.endSpan()
		}
	}
}

// wakeWaiters does what wake does, but for the span.
func (f *flight[K, V]) wakeWaiters() {
	f.closeContext()
	switch {
	case f.batch == nil:
	case f.isCarrier():
		f.batch.unload(true, false)
	default:
		f.batch.passengerEnded()
	}
}

// closeContext ends f's context, and with it what waits for f.
func (f *flight[K, V]) closeContext() {
	if f.wakeup != nil {
		f.wakeup <- struct{}{} // it has room
	}
	if done := f.doneIfMade(); done != nil {
		close(done)
	}
	for a := f.afterFuncs; a != nil; a = a.after { // which nothing changes any more
		if a.quick {
			a.do()
		} else {
			go a.do()
		}
	}
}

// retire frees what f has held until its last goroutine ended. shard.mu is held.
func (f *flight[K, V]) retire() {
	s := f.shard
	if f.batch == nil { // else its passengers come first
		s.idle()
	}
	f.giveBack()
	if !f.unlabelled { // else a child was started later
		f.unlabelled = true
		if s.courier.cfg.tracer == nil { // else the span that is in there may be about to end
			s.labels.put(f.labels)
		}
	}
	if f.abandoned {
		f.abandoned = false
		s.stats.Abandoned--
		delete(s.abandoned, f)
		s.uncountStuck(f)
	}
}

// idle notes that no goroutine of one of the shard's flights runs any more. s.mu is held.
func (s *shard[K, V]) idle() {
	s.busy--
	if s.closed && s.busy == 0 {
		s.courier.drained.fire()
	}
}
