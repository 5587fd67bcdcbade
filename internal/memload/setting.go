package memload

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Off is the GOGC with which only the limit makes the collector run.
const Off = -1

// A Setting is what a store is measured under.
type Setting struct {
	GOGC  int   `json:"gogc"`
	Limit int64 `json:"limit_bytes,omitempty"` // GOMEMLIMIT; 0: none
	// the shrink is that entries expire; 0: that they are deleted
	TTL time.Duration `json:"ttl_ns,omitempty"`
}

// String has the environment variables that would have the same effect.
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

// apply sets the collector of this process up.
func (s Setting) apply() {
	debug.SetGCPercent(s.GOGC)
	if s.Limit > 0 {
		debug.SetMemoryLimit(s.Limit)
	}
}

// leastLimit is what a Go program needs for itself, generously.
const leastLimit = 16 << 20

// A Limit is a GOMEMLIMIT, in bytes or as a multiple of what the leanest store has
// live when it is full.
type Limit struct {
	Bytes int64
	Times float64 // 0: Bytes is meant
}

// String is as it is written on the command line.
func (l Limit) String() string {
	if l.Times != 0 {
		return fmt.Sprintf("%gx", l.Times)
	}
	return strconv.FormatInt(l.Bytes, 10)
}

// of is the limit in bytes, where the leanest store has that much live.
func (l Limit) of(live float64) int64 {
	if l.Times != 0 {
		return max(int64(l.Times*live), leastLimit)
	}
	return l.Bytes
}

// unlimited are the settings in which neither is memory limited nor do entries
// expire.
func (c *Config) unlimited() (all []Setting) {
	for _, gogc := range c.GOGC {
		all = append(all, Setting{GOGC: gogc})
	}
	return all
}

// limited are those with a limit, given what the leanest store has live.
func (c *Config) limited(live float64) (all []Setting) {
	for _, l := range c.Limits {
		for _, gogc := range c.LimitGOGC {
			s := Setting{GOGC: gogc, Limit: l.of(live)}
			if !slices.Contains(all, s) { // small multiples come to the same
				all = append(all, s)
			}
		}
	}
	return all
}

// expiring is that in which entries expire, if there is to be one.
func (c *Config) expiring() []Setting {
	if c.TTL == 0 {
		return nil
	}
	return []Setting{{GOGC: 100, TTL: c.TTL}}
}

// cells is how many runs there are at most.
func (c *Config) cells() (n int) {
	const plenty = 1 << 40 // so that all multiples differ
	for _, s := range slices.Concat(c.unlimited(), c.limited(plenty), c.expiring()) {
		for _, store := range c.Stores {
			if s.suits(store) {
				n++
			}
		}
	}
	return n
}
