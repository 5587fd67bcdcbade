package courier

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/snowfence/snowfence/courier/internal/guard"
)

// A batch is one call of the function of DoMany. The function runs in a flight of its own, the
// carrier, which has the goroutine, the context, the turn, the time-out and the linked children,
// and no key. Each key has a passenger: a flight that callers find and wait for like any other, but
// that has no goroutine and waits for the carrier.
//
// When the carrier is over, whatever ended it, it unloads: each passenger gets its outcome. A
// passenger that is not wanted ends by itself, and the carrier with the last of them. Passengers
// belong to the shards of their keys, and the carrier to that of its first one. No two of their
// locks are held together: what one flight does to another follows, in wake and afterEnd, when the
// lock of the first has been released.
//
// The stuck function of a batch counts once in all, for the carrier, and once for each of its keys,
// for the passengers. Stats counts each key as a flight, and the function once.
type batch[K comparable, V any] struct {
	carrier    flight[K, V]
	passengers []flight[K, V]
	keys       []K // of the passengers, for the function
	fetch      func(context.Context, []K) ([]Outcome[V], error)
	unloaded   chan struct{} // closed when each passenger has its outcome

	asked bool    // stuckInAll.mayStart was called for the function
	inAll probing // what it returned: for the carrier, if no passenger is a probe of its key

	live    atomic.Int64 // passengers that are under way; 0 or less before start
	hasTurn atomic.Bool  // the carrier has had its turn

	// joined has the callers that have joined its passengers, if there is a tracer.
	joined struct {
		mu       sync.Mutex
		contexts joined
	}

	labels atomic.Pointer[labelSet] // of the carrier when it was started; nil before

	// outcomes is what the function has returned. It belongs to the function's goroutine, which
	// unloads it if the function's end was the carrier's.
	outcomes []Outcome[V]
	answers  []bool // outcomes whose error is no failure; nil: none

	result  result // of the carrier; final when the carrier is over; guarded by its shard.mu
	started bool   // guarded by the carrier's shard.mu
}

// A result holds what the carrier's end means for the history of its passengers' keys.
type result struct {
	counts   bool // for their back-off
	answered bool // the error that all of them get is no failure
	works    bool // the function has returned, and no goroutine of the carrier runs any more
	missed   bool // the carrier's turn has not come in time
}

// isCarrier reports whether f is a carrier.
func (f *flight[K, V]) isCarrier() bool { return f.batch != nil && f == &f.batch.carrier }

// isPassenger reports whether f is a passenger.
func (f *flight[K, V]) isPassenger() bool { return f.batch != nil && f != &f.batch.carrier }

// hasBegun reports whether f, or the carrier of f, has had its turn. shard.mu is held.
func (f *flight[K, V]) hasBegun() bool {
	if f.isPassenger() {
		return f.batch.hasTurn.Load()
	}
	return f.turn.came()
}

// newBatch makes a batch with room for room passengers.
func newBatch[K comparable, V any](m *manyCall[K, V], room int) *batch[K, V] {
	b := &batch[K, V]{
		passengers: make([]flight[K, V], 0, room),
		keys:       make([]K, 0, room),
		fetch:      m.fetch,
		unloaded:   make(chan struct{}),
	}
	f := &b.carrier
	f.batch = b
	f.fetch = b.call
	f.values = m.ctx
	f.started = now()
	f.running = 1
	f.turn.low = m.from.low()
	f.turn.lendUntilTaken(&m.courier.cfg)
	b.hasTurn.Store(f.turn.loan != nil)
	return b
}

// newPassenger makes the flight of a key. s.mu is held.
func (b *batch[K, V]) newPassenger(
	s *shard[K, V], hash uint64, key K, owns, low bool,
) *flight[K, V] {
	n := len(b.passengers)
	b.passengers = b.passengers[:n+1]
	b.keys = append(b.keys, key)
	f := &b.passengers[n]
	f.shard, f.hash, f.key, f.owns = s, uint32(hash>>32), key, owns
	f.batch = b
	f.started = b.carrier.started
	f.running = 1
	f.turn.low, f.turn.quiet = low, low
	return f
}

// start starts the carrier. All passengers have been made.
func (b *batch[K, V]) start() {
	f := &b.carrier
	for i := range b.passengers {
		p := &b.passengers[i]
		f.lateAge = max(f.lateAge, p.lateAge)
		if p.probe == none {
			f.probe = max(f.probe, ofAll)
		}
		f.probe = max(f.probe, p.probe)
	}
	if f.probe == ofAll {
		f.probe = b.inAll
	}
	s := b.passengers[0].shard
	f.shard = s
	// From here on a passenger without a waiter may end, if its key is forgotten, and the carrier
	// with the last of them: passengerEnded needs what is set above.
	b.live.Add(int64(len(b.passengers)))
	s.mu.Lock()
	if s.closed {
		f.ended, f.err, f.end, f.endedAt, f.running = true, ErrClosed, EndClosed, now(), 0
		f.final.Store(true)
		s.mu.Unlock()
		f.closeContext()
		b.unload(true, true)
		return
	}
	b.started = true
	f.started = now()
	if d := s.courier.cfg.flightTimeout(); d > 0 {
		s.limit(f, d)
	}
	f.labels = s.labels.take(s.courier.Name)
	b.labels.Store(f.labels)
	s.setDetached(f)
	s.busy++
	s.mu.Unlock()
	go f.run()
	if b.live.Load() == 0 {
		b.cancel()
	}
}

// call calls the function of the batch. It is the fetch function of the carrier.
//
//nolint:unparam // as any fetch function
func (b *batch[K, V]) call(ctx context.Context) (none V, err error) {
	outcomes, err := b.fetch(ctx, b.keys)
	if err != nil {
		return none, err
	}
	if len(outcomes) != len(b.passengers) {
		return none, fmt.Errorf("courier: DoMany: fetch returned %d outcomes for %d keys",
			len(outcomes), len(b.passengers))
	}
	if isFailure := b.carrier.shard.courier.cfg.isFailure; isFailure != nil {
		for i := range outcomes {
			if err := outcomes[i].Err; err != nil && !isFailure(err) {
				if b.answers == nil {
					b.answers = make([]bool, len(outcomes))
				}
				b.answers[i] = true
			}
		}
	}
	b.outcomes = outcomes
	return none, nil
}

// passengerEnded counts a passenger that has ended, and cancels the carrier with the last of them.
// No lock is held.
func (b *batch[K, V]) passengerEnded() {
	if b.live.Add(-1) == 0 {
		b.cancel()
	}
}

// cancel cancels the carrier, whose passengers are all over.
func (b *batch[K, V]) cancel() {
	f := &b.carrier
	s := f.shard
	s.mu.Lock()
	first := b.started && !f.ended
	if first {
		f.settle(*new(V), context.Canceled, EndCancelled, now())
	}
	s.mu.Unlock()
	if first {
		f.wake()
	}
}

// afterEnd does for the carrier what flight.afterEnd does for other flights.
func (b *batch[K, V]) afterEnd(over, last bool) {
	if over {
		b.carrier.closeContext()
	}
	if over || last {
		b.unload(over, last)
	}
	if over {
		b.carrier.endSpan()
	}
	if last {
		s := b.carrier.shard
		s.mu.Lock()
		s.idle()
		s.mu.Unlock()
	}
}

// unload gives the passengers their outcomes if the carrier is over, and stops counting their
// function as running if that is gone. It is called once with over, and again if the function ends
// later.
func (b *batch[K, V]) unload(over, gone bool) {
	if over {
		defer close(b.unloaded)
	}
	if !gone && b.live.Load() == 0 {
		return
	}
	for i := range b.passengers {
		p := &b.passengers[i]
		s := p.shard
		s.mu.Lock()
		if gone && p.running > 0 {
			p.running = 0
			if p.abandoned {
				p.abandoned = false
				if p.hasKey() {
					s.uncountStuckKey(p)
				}
			}
		}
		first := over && !p.ended
		if first {
			b.deliver(p, i)
		}
		s.mu.Unlock()
		if first {
			p.wake()
		}
	}
	if over && b.carrier.err == nil {
		b.outcomes = nil // so that a context which is kept does not keep the values
	}
}

// deliver ends the passenger with index i as the carrier has ended. p.shard.mu is held.
func (b *batch[K, V]) deliver(p *flight[K, V], i int) {
	var v V
	s, err, fine := p.shard, b.carrier.err, b.result.answered
	remembered, end := err, b.carrier.end
	switch {
	case err == nil:
		o := &b.outcomes[i]
		//nolint:gocritic // as long as outcomes
		v, err, fine = o.Value, o.Err, b.answers != nil && b.answers[i]
		remembered, end = err, endOfOutcome(err, fine)
	case b.result.missed:
		s.stats.Overloads++
		s.courier.logRefusal(p.key, p.hash, QueueWait)
		err = &OverloadedError{p.key, QueueWait}
	case end == EndTimeout:
		s.stats.Timeouts++
		err, remembered = p.timeoutErrors(err)
	}
	if b.result.counts {
		s.remember(p, remembered, fine)
	}
	if b.result.works {
		s.forgiveStuck(p)
	}
	p.settle(v, err, end, b.carrier.endedAt)
}

// endOfOutcome returns how a passenger ends whose function has returned that error for it; fine
// reports that it is no failure.
func endOfOutcome(err error, fine bool) FlightEnd {
	if fine {
		return EndAnswer
	}
	return endOf(guard.Returned, err)
}
