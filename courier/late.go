package courier

import (
	"context"
	"time"
)

// A flight is late when it has let a caller down: one whose deadline passed while it
// waited. Such a flight may hang. The next caller starts a fresh flight in its place,
// which may well succeed at once, and the late one goes on for its waiters. But the
// origin may also just take longer than callers wait. So each fresh flight that is
// late as well doubles the rest until the next one: none after the first, then
// lateRest, up to lateRestMax. While two functions of the key run, or more, the rest
// is lateCrowded times as long. A flight that succeeds before it is late ends all
// that.
//
// A caller with patience (ContextWithPatience) leaves a late flight too, but lets it
// go on, even without a waiter. Later callers with patience do not wait for it
// either; they start the fresh flights as other callers would.
const (
	lateRest    = time.Second
	lateRestMax = time.Minute
	lateCrowded = 4
)

// markLate makes f late, unless it is already. s.mu is held.
func (s *shard[K, V]) markLate(f *flight[K, V]) {
	// A flight that waits for its turn would be replaced by one that waits longer.
	if f.isLate || s.courier.turns != nil && !f.hasBegun() {
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

// replaceable reports whether a caller that finds f may start a fresh flight in its place. s.mu is
// held.
func (s *shard[K, V]) replaceable(f *flight[K, V], from call) bool {
	if s.courier.cfg.unlinked || from.low() {
		return false
	}
	if age := from.lateAge(); age > 0 && !f.isLate && now().since(f.started) >= age/2 {
		s.markLate(f)
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

// skipsLate reports whether a caller with patience does not wait, since the flight of its key is
// late or older than that patience. If so it makes that flight go on or, where it may, a fresh one
// in its place, which it returns: the caller starts its goroutine. s.mu is held.
func (s *shard[K, V]) skipsLate(
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
		s.markLate(f)
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
			s.register(fresh, f)
			return fresh, true
		}
	}
	f.goesOn = true
	if !from.low() && f.turn.low {
		f.promote()
	}
	return nil, true
}

// endLate stops counting f, which is over, as a flight that was replaced. s.mu is held.
func (s *shard[K, V]) endLate(f *flight[K, V]) {
	f.replaced = false
	s.stuck[f.key].late--
	s.tidyStuck(f.key)
}
