package courier

import "time"

// A flight that has let a caller down, one whose deadline passed while it waited,
// is late: it may hang. The next caller starts a fresh flight in its place,
// which may well succeed at once, and the late one goes on for those who still
// wait for it. But it may also be that the origin takes longer than callers
// wait. So each fresh flight that comes late as well doubles the rest until the
// next one: none after the first, then lateRest, up to lateRestMax. While two
// functions of the key run, or more, the rest is lateCrowded times as long. A
// flight that succeeds before it has let anybody down ends all that.
const (
	lateRest    = time.Second
	lateRestMax = time.Minute
	lateCrowded = 4
)

// cameLate notes that f has let a caller down. s.mu is held.
func (s *shard[K, V]) cameLate(f *flight[K, V]) {
	// A flight that waits for its turn would be replaced by one that waits longer.
	if f.isLate || s.courier.slots != nil && !f.turn.came() {
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
	if s.courier.cfg.unlinked || from.low {
		return false
	}
	if from.lateAge > 0 && !f.isLate && now().since(f.started) >= from.lateAge/2 {
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
	fresh.lateAge = fresh.started.since(late.started)
	s.disown(late)
	s.setDetached(late)
	late.replaced = true
	s.stuckOf(late.key).late++
	s.keepTurn(late)
}

// endLate is called when a flight that was replaced is over. s.mu is held.
func (s *shard[K, V]) endLate(f *flight[K, V]) {
	f.replaced = false
	s.stuck[f.key].late--
	s.tidyStuck(f.key)
}
