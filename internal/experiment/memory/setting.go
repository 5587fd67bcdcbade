package memory

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// A Setting is what a store is measured under.
type Setting struct {
	GOGC  int   `json:"gogc"`
	Limit int64 `json:"limit_bytes,omitempty"` // GOMEMLIMIT; 0: none
	// the shrink is that entries expire; 0: that they are deleted
	TTL time.Duration `json:"ttl_ns,omitempty"`
}

// String returns the environment variables that would have the same effect.
func (s Setting) String() string {
	gogc := fmt.Sprintf("GOGC=%d", s.GOGC)
	if s.GOGC == Off {
		gogc = "GOGC=off"
	}
	parts := []string{gogc}
	if s.Limit > 0 {
		parts = append(parts, fmt.Sprintf("GOMEMLIMIT=%dMiB", s.Limit>>20))
	}
	if s.TTL > 0 {
		parts = append(parts, "TTL "+s.TTL.String())
	}
	return strings.Join(parts, " ")
}

// suits reports whether a store can be measured under s: not all can expire
// entries, and one is there for that alone.
func (s Setting) suits(store string) bool {
	switch store {
	case Map, GolangLRU, Shedding:
		return s.TTL == 0
	case Expirable:
		return s.TTL > 0
	default:
		return true
	}
}

// apply sets up the collector of this process.
func (s Setting) apply() {
	debug.SetGCPercent(s.GOGC)
	if s.Limit > 0 {
		debug.SetMemoryLimit(s.Limit)
	}
}

// unlimited returns the settings in which neither is memory limited nor do entries
// expire.
func (p *Params) unlimited() (all []Setting) {
	for _, gogc := range p.GOGC {
		all = append(all, Setting{GOGC: gogc})
	}
	return all
}

// limited returns those with a limit, given what the leanest store has live.
func (p *Params) limited(live float64) (all []Setting) {
	for _, l := range p.Limits {
		for _, gogc := range p.LimitGOGC {
			s := Setting{GOGC: gogc, Limit: l.of(live)}
			if !slices.Contains(all, s) { // small multiples come to the same
				all = append(all, s)
			}
		}
	}
	return all
}

// expiring returns that in which entries expire, if there is to be one.
func (p *Params) expiring() []Setting {
	if p.TTL == 0 {
		return nil
	}
	return []Setting{{GOGC: 100, TTL: p.TTL}}
}

// cells returns how many runs there are at most.
func (p *Params) cells() (n int) {
	const plenty = 1 << 40 // so that all multiples differ
	for _, s := range slices.Concat(p.unlimited(), p.limited(plenty), p.expiring()) {
		for _, store := range p.Stores {
			if s.suits(store) {
				n++
			}
		}
	}
	return n
}
