package courier

import (
	"sync"
	"sync/atomic"
	"time"
)

// A function is stuck if it runs on although its flight is over. Nothing can stop
// it, so the number of such functions is bounded, by key and in all
// (WithMaxAbandoned). A bound that nothing lowers would be the end of its key, or
// of all keys. So past a bound a flight may try now and then whether things work
// again; if it succeeds, what was stuck before no longer counts.

// The rest between two tries of a key past its bound, and of the first key that
// comes past the bound in all, doubles from probeRest up to probeRestMax. While
// more functions are stuck than half of the bound in all, all keys past theirs
// share one such rest, so that their tries can't pile up either.
const (
	probeRest    = time.Second
	probeRestMax = time.Minute
)

// probing says what a new flight is a try of.
type probing uint8

const (
	none       probing = iota
	ofKey              // past the bound of its key
	ofKeyAlone         // that, while many functions are stuck in all
	ofAll              // past the bound in all
	refused            // it may not start
)

// A probe paces tries past a bound.
type probe struct {
	at   time.Time // when the next one may start
	rest time.Duration
}

// restFrom begins a rest.
func (p *probe) restFrom(now time.Time, rest time.Duration) { p.at, p.rest = now.Add(rest), rest }

// due reports whether one may start now. If so the next has to wait longer.
func (p *probe) due(now time.Time) bool {
	if now.Before(p.at) {
		return false
	}
	p.restFrom(now, max(probeRest, min(2*p.rest, probeRestMax)))
	return true
}

// A stuckKey counts the stuck functions of a key. The shard's lock guards it.
type stuckKey struct {
	running int // such functions
	counted int // of these, the ones since the key last worked
	late    int // flights under way that were replaced
	era     uint32

	// Of those that are counted, the ones that are counted in all, if inAllEra
	// is that of stuckInAll.
	inAll    int
	inAllEra uint32

	probe probe // past the bound
}

// stuckInAll counts the stuck functions of all keys.
type stuckInAll struct {
	// counted is compared with the bound: it counts the functions that are stuck since
	// their key last worked, and since a try past the bound last did. It is written
	// with mu held.
	counted atomic.Int64

	mu      sync.Mutex // guards the following
	running int        // all of them
	era     uint32     // of counted
	reached time.Time  // when counted reached the bound last
	probe   probe      // past the bound
	keys    probe      // of keys past their bounds, while many are stuck
	longest time.Time  // since when the key among them has waited that has for longest
}

// mayStart reports whether a flight may start now, although there are so many
// stuck functions: none if there are not.
func (a *stuckInAll) mayStart(bound int) probing {
	if a.counted.Load() < int64(bound) {
		return none
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.probe.due(time.Now()) {
		return ofAll
	}
	return refused
}

// mayTry reports whether a key that has waited since then may try now, as one of all
// keys past their bounds. Those take turns: else the one that is asked for most would
// take all. A key that does not come for its turn is not waited for for long. a.mu is
// held.
func (a *stuckInAll) mayTry(now, since time.Time) bool {
	if a.longest.IsZero() || since.Before(a.longest) {
		a.longest = since
	}
	if since.After(a.longest) && now.Before(a.keys.at.Add(a.keys.rest/4)) || !a.keys.due(now) {
		return false
	}
	a.longest = time.Time{}
	return true
}

// mayProbe is the same for a key with stuck functions. Past the bound in all that
// is past its own bound too: the tries there are for keys that may well work. The
// shard's lock is held.
func (c *Courier[K, V]) mayProbe(a *stuckKey) probing {
	full := c.stuck.counted.Load() >= int64(c.cfg.abandonedInAll())
	if a.counted < c.cfg.abandonedPerKey() && (!full || a.counted == 0) {
		return none
	}
	now := time.Now()
	if now.Before(a.probe.at) {
		return refused
	}
	in := &c.stuck
	in.mu.Lock()
	defer in.mu.Unlock()
	how := ofKey
	if in.running >= c.cfg.abandonedInAll()/2 {
		how = ofKeyAlone
		if !in.mayTry(now, a.probe.at) {
			return refused
		}
	}
	a.probe.due(now)
	return how
}

// abandon counts an ended flight whose goroutines still run. s.mu is held.
func (s *shard[K, V]) abandon(f *flight[K, V]) {
	f.abandoned = true
	if f.rides() { // its carrier counts for the rest
		s.stickKey(f, time.Now())
		return
	}
	s.stats.Abandoned++
	s.stats.AbandonedTotal++
	s.keepTurn(f)
	s.stick(f)
}

// stick counts an abandoned flight's function as stuck: that of a carrier in all
// alone, since its passengers count it for their keys. s.mu is held.
func (s *shard[K, V]) stick(f *flight[K, V]) {
	c := s.courier
	now := time.Now()
	in := &c.stuck
	in.mu.Lock()
	defer in.mu.Unlock()
	in.running++
	f.allEra = in.era
	if f.probe == ofKey || f.probe == ofKeyAlone {
		// What the tries of stuck keys leave must not stop the other keys.
		f.allEra--
	} else if in.counted.Add(1) == int64(c.cfg.abandonedInAll()) {
		if now.Sub(in.reached) > time.Hour {
			in.probe.rest = probeRest
		}
		in.reached = now
		in.probe.restFrom(now, in.probe.rest)
	}
	a := s.stickKey(f, now)
	if a != nil && f.allEra == in.era {
		if a.inAllEra != in.era {
			a.inAllEra, a.inAll = in.era, 0
		}
		a.inAll++
	}
}

// stickKey counts an abandoned flight's function as stuck, for its key, and returns
// what is known of that; nil if there is no such thing. s.mu is held.
func (s *shard[K, V]) stickKey(f *flight[K, V], now time.Time) *stuckKey {
	if !f.hasKey() {
		return nil
	}
	a := s.stuckOf(f.key)
	f.keyEra = a.era
	a.running++
	a.counted++
	if a.counted == s.courier.cfg.abandonedPerKey() {
		a.probe.restFrom(now, probeRest)
	}
	return a
}

// hasKey is false for a carrier, and for a key that is never found again; that may not
// even be hashable: {NaN, a slice}.
func (f *flight[K, V]) hasKey() bool { return !f.carries() && equalsItself(f.key) }

// stuckOf returns what is known of key, made if need be. s.mu is held.
func (s *shard[K, V]) stuckOf(key K) *stuckKey {
	a := s.stuck[key]
	if a == nil {
		a = &stuckKey{}
		if s.stuck == nil {
			s.stuck = make(map[K]*stuckKey)
		}
		s.stuck[key] = a
	}
	return a
}

// tidyStuck forgets key if there is nothing to know of it. s.mu is held.
func (s *shard[K, V]) tidyStuck(key K) {
	if a := s.stuck[key]; a.running+a.late == 0 {
		delete(s.stuck, key)
	}
}

// unstick is called when all of an abandoned flight's goroutines have ended. s.mu is
// held.
func (s *shard[K, V]) unstick(f *flight[K, V]) {
	in := &s.courier.stuck
	in.mu.Lock()
	defer in.mu.Unlock()
	in.running--
	counted := f.allEra == in.era
	if f.hasKey() {
		a := s.stuck[f.key]
		counted = s.unstickKey(f) && counted
		if counted {
			a.inAll--
		}
	}
	if counted {
		in.counted.Add(-1)
	}
}

// unstickKey takes back what stickKey has counted, and reports whether that still
// counted. s.mu is held.
func (s *shard[K, V]) unstickKey(f *flight[K, V]) bool {
	a := s.stuck[f.key]
	a.running--
	counted := f.keyEra == a.era
	if counted {
		a.counted--
	}
	s.tidyStuck(f.key)
	return counted
}

// works is called when the function of f has returned and nothing of it runs any
// more: its key works, whatever is stuck from before, and if f was a try past
// the bound in all, so does the rest. s.mu is held.
func (s *shard[K, V]) works(f *flight[K, V]) {
	if f.replaced { // those that hang may be newer
		return
	}
	in := &s.courier.stuck
	if f.probe == ofAll || f.probe == ofKeyAlone {
		in.mu.Lock()
		if f.probe == ofAll {
			in.era++
			in.counted.Store(0)
		} else {
			in.keys = probe{}
		}
		in.mu.Unlock()
	}
	if len(s.stuck) == 0 || !f.hasKey() {
		return
	}
	a := s.stuck[f.key]
	if a == nil {
		return
	}
	in.mu.Lock()
	if a.inAllEra == in.era {
		in.counted.Add(-int64(a.inAll))
		a.inAll = 0
	}
	in.mu.Unlock()
	a.era++
	a.counted = 0
}
