package courier

import (
	"context"
	"time"
)

// A flight that has let a caller down, one whose deadline passed while it waited,
// is late: it may hang. The next caller starts a fresh flight in its place,
// which may well succeed at once, and the late one goes on for those who still
// wait for it. But it may also be that the origin takes longer than callers
// wait. So each fresh flight that comes late as well doubles the rest until the
// next one: none after the first, then lateRest, up to lateRestMax. While two
// functions of the key run, or more, the rest is lateCrowded times as long. A
// flight that succeeds before it has let anybody down ends all that.
//
// A caller with patience (ContextWithPatience) leaves a flight that is late but wants
// it to go on, even without a waiter. Those who come later with patience do not wait
// for it either; they start the fresh flights as others would.
const (
	lateRest    = time.Second
	lateRestMax = time.Minute
	lateCrowded = 4
)

// cameLate notes that f has let a caller down. s.mu is held.
func (s *shard[K, V]) cameLate(f *flight[K, V]) {
	// A flight that waits for its turn would be replaced by one that waits longer.
	if f.isLate || s.courier.slots != nil && !f.hasBegun() {
		return
	}
	f.isLate = true
	s.stats.Late++
	if !f.owns {
		return
	}
	at := now()
	r := s.history.of(f.key)
	if at.since(r.lateAt) > 2*lateCrowded*lateRestMax {
		r.lates = 0
	}
	r.lates++
	r.lateAt = at
	s.track()
}

// replaceable reports whether a caller who finds f may start a fresh flight in
// its place. s.mu is held.
func (s *shard[K, V]) replaceable(f *flight[K, V], from call) bool {
	if s.courier.cfg.unlinked || from.low() {
		return false
	}
	if age := from.lateAge(); age > 0 && !f.isLate && now().since(f.started) >= age/2 {
		s.cameLate(f)
	}
	if !f.isLate {
		return false
	}
	r := s.history.find(f.key)
	if r == nil || r.lates <= 1 {
		return true
	}
	rest := lateRestMax
	if shift := r.lates - 2; lateRest <= lateRestMax>>shift {
		rest = lateRest << shift
	}
	if a := s.stuck[f.key]; a != nil && a.counted+a.late > 0 {
		rest *= lateCrowded
	}
	return now().since(r.lateAt) >= rest
}

// replace takes the key from late, for fresh. s.mu is held.
func (s *shard[K, V]) replace(late, fresh *flight[K, V]) {
	fresh.lateAge = max(fresh.started.since(late.started), 1) // 0 is none
	s.disown(late)
	s.setDetached(late)
	late.replaced = true
	s.stuckOf(late.key).late++
	s.keepTurn(late)
	if !late.wanted() {
		late.desert()
		go late.wake() // not with the lock
	}
}

// wanted reports whether f is to go on: somebody waits for it, or it was told to go
// on and can still be of use. Late flights that were replaced must not pile up, so
// without a waiter they go on only if their time will be up, and as many as functions
// of a key may be stuck. s.mu is held.
func (f *flight[K, V]) wanted() bool {
	cfg := &f.shard.courier.cfg
	return f.waiters > 0 || f.goesOn && (f.owns || f.replaced && cfg.flightTimeout() > 0 &&
		f.shard.stuck[f.key].late <= cfg.abandonedPerKey())
}

// pass reports whether a caller with patience is not to wait, since the flight of its
// key is late or older than that. It has that flight go on or, where it may, starts a
// fresh one in its place, which it returns: the caller starts its goroutine. s.mu is
// held.
func (s *shard[K, V]) pass(
	ctx context.Context, from call, m *manyCall[K, V], hash uint64, key K,
	fetch func(context.Context) (V, error),
) (fresh *flight[K, V], late bool) {
	f := s.flights.find(hash, key)
	if f == nil {
		return nil, false
	}
	patience := from.terms.patience
	old := patience > 0 && now().since(f.started) >= patience
	if old {
		s.cameLate(f)
	}
	if replaceable := s.replaceable(f, from); !old && !f.isLate && f.lateAge == 0 {
		return nil, false
	} else if replaceable {
		if m.lacksBatch() {
			return nil, true
		}
		if probe, why, err := s.mayStart(key, true, m); why == 0 && err == nil {
			fresh = s.newFlight(ctx, from, m, hash, key, true, fetch)
			fresh.probe, fresh.goesOn = probe, true
			s.file(fresh, f)
			return fresh, true
		}
	}
	f.goesOn = true
	if !from.low() && f.turn.low {
		f.promote()
	}
	return nil, true
}

// endLate is called when a flight that was replaced is over. s.mu is held.
func (s *shard[K, V]) endLate(f *flight[K, V]) {
	f.replaced = false
	s.stuck[f.key].late--
	s.tidyStuck(f.key)
}
