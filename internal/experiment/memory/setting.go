package memory

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// A Setting is a setting of the collector, and of the shrink, under which stores are measured.
type Setting struct {
	GOGC  int   `json:"gogc"`
	Limit int64 `json:"limit_bytes,omitempty"` // GOMEMLIMIT; 0: none
	// the shrink is the expiry of entries; 0: entries are deleted
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

// suits reports whether to measure a store under s: not all can expire entries, and one is only for
// that.
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

// apply configures the collector of this process.
func (s Setting) apply() {
	debug.SetGCPercent(s.GOGC)
	if s.Limit > 0 {
		debug.SetMemoryLimit(s.Limit)
	}
}

// unlimited returns the settings without a memory limit and without expiry.
func (p *Params) unlimited() (all []Setting) {
	for _, gogc := range p.GOGC {
		all = append(all, Setting{GOGC: gogc})
	}
	return all
}

// limited returns the settings with a memory limit, given the live bytes of the leanest store.
func (p *Params) limited(live float64) (all []Setting) {
	for _, l := range p.Limits {
		for _, gogc := range p.LimitGOGC {
			s := Setting{GOGC: gogc, Limit: l.of(live)}
			if !slices.Contains(all, s) { // small multiples give the same limit
				all = append(all, s)
			}
		}
	}
	return all
}

// expiring returns the setting with expiry, if there is one.
func (p *Params) expiring() []Setting {
	if p.TTL == 0 {
		return nil
	}
	return []Setting{{GOGC: 100, TTL: p.TTL}}
}

// cells returns the maximum number of cells.
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
