package courier

import (
	"context"
	"fmt"
	"sync/atomic"
)

// A batch is one call of the function of DoMany. It runs in a flight of its own, the
// carrier, which has the goroutine, the context, the turn, the time-out and the linked
// children, and no key. Each key has a passenger: a flight that callers find and wait
// for as for any other, but that has no goroutine and waits for the carrier.
//
// When the carrier is over, whatever ended it, it unloads: each passenger gets its
// outcome. A passenger that nobody wants ends by itself, and the carrier with the last
// of them. Passengers live in the shards of their keys and the carrier in that of its
// first one. No two of these locks are held together: what passes from one flight to
// another is done after the lock of the first was given back, in wake and afterEnd.
//
// The stuck function of a batch counts once in all, for the carrier, and once for each
// of its keys, for the passengers. Stats counts keys where it counts flights, and
// functions where it counts functions.
type batch[K comparable, V any] struct {
	carrier    flight[K, V]
	passengers []flight[K, V]
	keys       []K // theirs, for the function
	fetch      func(context.Context, []K) ([]Outcome[V], error)
	unloaded   chan struct{} // closed when each passenger has its outcome

	asked bool    // whether the function may start, and then
	inAll probing // as a try of what, if no passenger is one of its key

	left    atomic.Int64 // passengers that are under way; not more than 0 while they board
	hasTurn atomic.Bool  // the carrier has had its turn

	// What the function has returned. They belong to its goroutine, which unloads them
	// if it was what ended the carrier.
	outcomes []Outcome[V]
	answers  []bool // outcomes whose error is no failure; nil: none

	result  result // of the carrier, which is final when that is over; guarded by its shard.mu
	started bool   // guarded by the carrier's shard.mu
}

// A result says what the passengers' keys remember of how the carrier ended.
type result struct {
	counts   bool // for their back-off
	answered bool // the one error for all is no failure
	works    bool // the function has returned and nothing of it runs any more
	missed   bool // its turn
}

// carries reports whether f is a carrier.
func (f *flight[K, V]) carries() bool { return f.batch != nil && f == &f.batch.carrier }

// rides reports whether f is a passenger.
func (f *flight[K, V]) rides() bool { return f.batch != nil && f != &f.batch.carrier }

// hasBegun reports whether f has had its turn, or that of its carrier. shard.mu is held.
func (f *flight[K, V]) hasBegun() bool {
	if f.rides() {
		return f.batch.hasTurn.Load()
	}
	return f.turn.came()
}

// newBatch makes a batch with room for that many passengers.
func newBatch[K comparable, V any](m *manyCall[K, V], room int) *batch[K, V] {
	b := &batch[K, V]{
		passengers: make([]flight[K, V], 0, room),
		keys:       make([]K, 0, room),
		fetch:      m.fetch,
		unloaded:   make(chan struct{}),
	}
	f := &b.carrier
	f.done = make(chan struct{})
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

// newPassenger makes the flight of a key that has boarded. s.mu is held.
func (b *batch[K, V]) newPassenger(
	s *shard[K, V], hash uint64, key K, owns, low bool,
) *flight[K, V] {
	n := len(b.passengers)
	b.passengers = b.passengers[:n+1]
	b.keys = append(b.keys, key)
	f := &b.passengers[n]
	f.shard, f.hash, f.key, f.owns = s, hash, key, owns
	f.batch = b
	f.started = b.carrier.started
	f.running = 1
	f.turn.low, f.turn.quiet = low, low
	return f
}

// start sets the carrier off when all have boarded.
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
	// From here on a passenger that nobody waits for may be forgotten, and with the last of
	// them the carrier: what wake needs of it comes before.
	b.left.Add(int64(len(b.passengers)))
	s.mu.Lock()
	if s.closed {
		f.ended, f.err, f.running = true, ErrClosed, 0
		s.mu.Unlock()
		f.announce()
		b.unload(true, true)
		return
	}
	b.started = true
	f.started = now()
	if d := s.courier.cfg.flightTimeout(); d > 0 {
		s.limit(f, d)
	}
	s.setDetached(f)
	s.busy++
	s.mu.Unlock()
	go f.run()
	if b.left.Load() == 0 {
		b.desert()
	}
}

// call is the carrier's function.
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

// wake is called without a lock when f, a flight of the batch, is over.
func (b *batch[K, V]) wake(f *flight[K, V]) {
	switch {
	case f == &b.carrier:
		b.unload(true, false)
	case b.left.Add(-1) == 0:
		b.desert()
	}
}

// desert cancels the carrier, whose passengers are all over.
func (b *batch[K, V]) desert() {
	f := &b.carrier
	s := f.shard
	s.mu.Lock()
	first := b.started && !f.ended
	if first {
		f.settle(*new(V), context.Canceled)
	}
	s.mu.Unlock()
	if first {
		f.wake()
	}
}

// afterEnd is called when a goroutine of the carrier has ended: see flight.afterEnd.
func (b *batch[K, V]) afterEnd(over, last bool) {
	if over {
		b.carrier.announce()
	}
	if over || last {
		b.unload(over, last)
	}
	if last {
		s := b.carrier.shard
		s.mu.Lock()
		s.idle()
		s.mu.Unlock()
	}
}

// unload gives the passengers their outcomes if the carrier is over, and notes that
// their function has ended if it is gone. It is called once with over, and again if the
// function ends later.
func (b *batch[K, V]) unload(over, gone bool) {
	if over {
		defer close(b.unloaded)
	}
	if !gone && b.left.Load() == 0 {
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
					s.unstickKey(p)
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
		b.outcomes = nil // a context that is kept does not keep the values
	}
}

// deliver ends the passenger with that index, as the carrier has. p.shard.mu is held.
func (b *batch[K, V]) deliver(p *flight[K, V], i int) {
	var v V
	s, err, fine := p.shard, b.carrier.err, b.result.answered
	switch {
	case err == nil:
		o := &b.outcomes[i]
		//nolint:gocritic // as long as outcomes
		v, err, fine = o.Value, o.Err, b.answers != nil && b.answers[i]
	case b.result.missed:
		s.stats.Overloads++
		err = &OverloadedError{p.key, QueueWait}
	case b.carrier.timedOut:
		s.stats.Timeouts++
	}
	if b.result.counts {
		s.remember(p, err, fine)
	}
	if b.result.works {
		s.works(p)
	}
	p.settle(v, err)
}
