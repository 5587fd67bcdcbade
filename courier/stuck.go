package courier

import (
	"sync"
	"sync/atomic"
	"time"
)

// A function is stuck if it runs on although its flight is over. Nothing can stop
// it, so the number of such functions is bounded, by key and in all
// (WithMaxAbandoned). A function that hangs for ever would keep its key, or all keys,
// refused for ever. So past a bound a flight may start now and then, as a probe: if it
// succeeds, the functions that were stuck before no longer count.

// The rest between two probes of a key past its bound, and between two past the bound in
// all, doubles from probeRest up to probeRestMax. While the stuck functions are half of
// the bound in all, or more, all keys past their bounds share one such rest, so that
// their probes can't pile up either.
const (
	probeRest    = time.Second
	probeRestMax = time.Minute
)

// probing is the bound past which a new flight is a probe.
type probing uint8

const (
	none       probing = iota // it is no probe
	ofKey                     // the bound of its key
	ofKeyAlone                // that, while many functions are stuck in all
	ofAll                     // the bound in all
	refused                   // it may not start
)

// A probe paces the probes past a bound.
type probe struct {
	at   time.Time // when the next one may start
	rest time.Duration
}

// restFrom begins a rest.
func (p *probe) restFrom(now time.Time, rest time.Duration) { p.at, p.rest = now.Add(rest), rest }

// due reports whether a probe may start now. If so it begins the next rest, which is longer.
func (p *probe) due(now time.Time) bool {
	if now.Before(p.at) {
		return false
	}
	p.restFrom(now, max(probeRest, min(2*p.rest, probeRestMax)))
	return true
}

// A stuckKey counts the stuck functions of a key. The shard's lock guards it.
type stuckKey struct {
	running int // all of them
	counted int // those that are stuck since the key last worked
	late    int // flights under way that were replaced
	era     uint32

	// inAll is the number of counted functions that count in all too, if inAllEra is the
	// era of stuckInAll.
	inAll    int
	inAllEra uint32

	probe probe // past the bound
}

// stuckInAll counts the stuck functions of all keys.
type stuckInAll struct {
	// counted is compared with the bound. It counts the functions that are stuck since their
	// key last worked, and since a probe past the bound last succeeded. It is written with mu
	// held.
	counted atomic.Int64

	mu      sync.Mutex // guards the following
	running int        // all of them
	era     uint32     // of counted
	reached time.Time  // when counted reached the bound last
	probe   probe      // past the bound
	keys    probe      // of keys past their bounds, while many are stuck
	longest time.Time  // when the one of these keys that has waited for longest began to wait
}

// mayStart reports whether a flight may start now, and whether it is a probe then.
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

// keyMayProbe reports whether a key that has waited since then may be probed now. The keys
// past their bounds take turns: otherwise the one that is asked for most would use all
// probes. If the key whose turn it is is not asked for, another may be probed after a
// quarter of the rest. a.mu is held.
func (a *stuckInAll) keyMayProbe(now, since time.Time) bool {
	if a.longest.IsZero() || since.Before(a.longest) {
		a.longest = since
	}
	if since.After(a.longest) && now.Before(a.keys.at.Add(a.keys.rest/4)) || !a.keys.due(now) {
		return false
	}
	a.longest = time.Time{}
	return true
}

// mayProbe does what stuckInAll.mayStart does, for a key with stuck functions. Such a key
// counts as past its own bound while the bound in all is reached, since the probes past
// that are for keys that may well work. The shard's lock is held.
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
		if !in.keyMayProbe(now, a.probe.at) {
			return refused
		}
	}
	a.probe.due(now)
	return how
}

// countStuck counts an abandoned flight's function as stuck: in all and for its key, but that of a
// carrier only in all, since its passengers count it for their keys. s.mu is held.
func (s *shard[K, V]) countStuck(f *flight[K, V]) {
	c := s.courier
	now := time.Now()
	in := &c.stuck
	in.mu.Lock()
	defer in.mu.Unlock()
	in.running++
	f.allEra = in.era
	if f.probe == ofKey || f.probe == ofKeyAlone {
		// Functions that probes of stuck keys leave behind must not stop the other keys.
		f.allEra--
	} else if in.counted.Add(1) == int64(c.cfg.abandonedInAll()) {
		if now.Sub(in.reached) > time.Hour {
			in.probe.rest = probeRest
		}
		in.reached = now
		in.probe.restFrom(now, in.probe.rest)
	}
	a := s.countStuckKey(f, now)
	if a != nil && f.allEra == in.era {
		if a.inAllEra != in.era {
			a.inAllEra, a.inAll = in.era, 0
		}
		a.inAll++
	}
}

// countStuckKey counts an abandoned flight's function as stuck, for its key, and returns the key's
// counts; nil if the flight has no key to count for. s.mu is held.
func (s *shard[K, V]) countStuckKey(f *flight[K, V], now time.Time) *stuckKey {
	if !f.hasKey() {
		return nil
	}
	a := s.stuckOf(f.key)
	f.keyEra = a.era
	a.running++
	a.counted++
	if a.counted == s.courier.cfg.abandonedPerKey() {
		a.probe.restFrom(now, probeRest)
		f.logGivenUp(a.counted)
	}
	return a
}

// hasKey reports whether f has a key that can be found again. It is false for a carrier, and for a
// key that does not equal itself, which may not even be hashable: {NaN, a slice}.
func (f *flight[K, V]) hasKey() bool { return !f.isCarrier() && equalsItself(f.key) }

// stuckOf returns the counts of key, made if need be. s.mu is held.
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

// tidyStuck removes the counts of key if nothing of it is stuck or late. s.mu is held.
func (s *shard[K, V]) tidyStuck(key K) {
	if a := s.stuck[key]; a.running+a.late == 0 {
		delete(s.stuck, key)
	}
}

// uncountStuck reverses countStuck, when the last goroutine of the flight has ended. s.mu is held.
func (s *shard[K, V]) uncountStuck(f *flight[K, V]) {
	in := &s.courier.stuck
	in.mu.Lock()
	defer in.mu.Unlock()
	in.running--
	counted := f.allEra == in.era
	if f.hasKey() {
		a := s.stuck[f.key]
		counted = s.uncountStuckKey(f) && counted
		if counted {
			a.inAll--
		}
	}
	if counted {
		in.counted.Add(-1)
	}
}

// uncountStuckKey reverses countStuckKey, and reports whether the function still counted. s.mu is
// held.
func (s *shard[K, V]) uncountStuckKey(f *flight[K, V]) bool {
	a := s.stuck[f.key]
	a.running--
	counted := f.keyEra == a.era
	if counted {
		a.counted--
		if a.counted == s.courier.cfg.abandonedPerKey()-1 {
			f.logWorks()
		}
	}
	s.tidyStuck(f.key)
	return counted
}

// forgiveStuck makes functions that are stuck no longer count, since the function of f has returned
// and no goroutine of f runs any more: those of its key and, if f was a probe past the bound in
// all, those of all keys. s.mu is held.
func (s *shard[K, V]) forgiveStuck(f *flight[K, V]) {
	if f.replaced { // the functions that hang may be newer
		return
	}
	in := &s.courier.stuck
	if f.probe == ofAll || f.probe == ofKeyAlone {
		in.mu.Lock()
		if f.probe == ofAll {
			if in.counted.Load() >= int64(s.courier.cfg.abandonedInAll()) {
				f.logAllWork()
			}
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
	if a.counted >= s.courier.cfg.abandonedPerKey() {
		f.logWorks()
	}
	a.era++
	a.counted = 0
}
