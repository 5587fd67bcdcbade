package memload

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Config says what to run.
type Config struct {
	Entries   int           // that the stores are filled with
	ValueSize int           // bytes of each value
	Keep      float64       // the share of the entries that is left after the shrink
	Phase     time.Duration // how long the churn takes, and the light traffic
	Rate      int           // operations per second
	Stores    []string      // some of Stores
	GOGC      []int         // without a limit, each of these
	Limits    []Limit       // GOMEMLIMIT, each with each of LimitGOGC
	LimitGOGC []int         // may have Off
	// of the cells in which entries expire, with a GOGC of 100; 0: none of these
	TTL  time.Duration
	Seed uint64

	Command  []string       // starts the process of a cell: it calls Serve
	Progress func(Progress) // called before each cell; may be nil
}

// Progress says which cell is about to run.
type Progress struct {
	Cell, Cells int
	What        string
}

// The stores.
const (
	Map         = "map"                  // a Go map behind a mutex
	GolangLRU   = "golang-lru"           // hashicorp/golang-lru's simple LRU cache
	Expirable   = "golang-lru-expirable" // and the one that has a TTL
	Uncompacted = "snowfence-uncompact"  // Options.NoCompaction
	Snowfence   = "snowfence"
	Shedding    = "snowfence-shed" // Options.ShedAbove
)

// Stores are all that there are.
func Stores() []string {
	return []string{Map, GolangLRU, Expirable, Uncompacted, Snowfence, Shedding}
}

// ShedAbove is what Shedding has.
const ShedAbove = 0.8

// DefaultConfig takes a minute and a half.
func DefaultConfig() Config {
	return Config{
		Entries: 400_000, ValueSize: 100, Keep: 0.01, Phase: 900 * time.Millisecond, Rate: 150_000,
		Stores: Stores(), GOGC: []int{50, 100, 200}, Limits: []Limit{{Times: 1.1}, {Times: 1.5}},
		LimitGOGC: []int{100, Off},
		TTL:       2 * time.Second, Seed: 1,
	}
}

// A FieldError says which flag of "cachebench memory" had which value, and what was wanted.
type FieldError struct {
	Flag  string // without dashes
	Value any
	Want  string
}

// Error describes the FieldError in one line.
func (e *FieldError) Error() string {
	return fmt.Sprintf("--%s: want %s, got %v", e.Flag, e.Want, e.Value)
}

// Validate returns the first thing that is wrong, as a *FieldError.
func (c *Config) Validate() error {
	bad := func(flag string, value any, want string) error { return &FieldError{flag, value, want} }
	switch {
	case c.Entries < 1000 || c.Entries > 20_000_000:
		return bad("entries", c.Entries, "1,000 to 20,000,000")
	case c.ValueSize < 0 || c.ValueSize > 1<<20:
		return bad("value-size", c.ValueSize, "0 to 1 MiB")
	case !(c.Keep >= 0 && c.Keep <= 1):
		return bad("keep", c.Keep, "a share from 0 to 1")
	case c.Phase < 100*time.Millisecond || c.Phase > time.Hour:
		return bad("phase", c.Phase, "100ms to 1h")
	case c.Rate < 100 || c.Rate > 100_000_000:
		return bad("rate", c.Rate, "100 to 100,000,000 operations per second")
	case len(c.Stores) == 0:
		return bad("stores", "none", "some of "+strings.Join(Stores(), ","))
	case c.TTL != 0 && (c.TTL < 100*time.Millisecond || c.TTL > time.Hour):
		return bad("ttl", c.TTL, "100ms to 1h, or 0 for no such runs")
	case len(c.GOGC) == 0 && len(c.Limits) == 0 && c.TTL == 0:
		return bad("gogc", "none", "values, since there is neither a limit nor a TTL")
	case len(c.Limits) > 0 && len(c.LimitGOGC) == 0:
		return bad("limit-gogc", "none", "values for the runs under a limit")
	}
	for _, l := range c.Limits {
		switch {
		case l.Times == 0 && (l.Bytes < leastLimit || l.Bytes > 1<<50):
			return bad("limit", l, "at least 16 MiB: a Go program needs some for itself")
		case l.Times != 0 && !(l.Times >= 1 && l.Times <= 100):
			return bad("limit", l, "1x to 100x")
		case l.Times != 0 && len(c.GOGC) == 0:
			return bad("limit", l, "bytes, or a run without a limit (--gogc) to know what that is a "+
				"multiple of")
		}
	}
	for i, s := range c.Stores {
		if !slices.Contains(Stores(), s) || slices.Contains(c.Stores[:i], s) {
			return bad("stores", s, "some of "+strings.Join(Stores(), ",")+", each once")
		}
	}
	for i, g := range c.GOGC {
		if g < 1 || g > 10_000 || slices.Contains(c.GOGC[:i], g) {
			return bad("gogc", g, "1 to 10,000, each once; off needs a limit")
		}
	}
	for i, g := range c.LimitGOGC {
		if g != Off && (g < 1 || g > 10_000) || slices.Contains(c.LimitGOGC[:i], g) {
			return bad("limit-gogc", g, "1 to 10,000, or off, each once")
		}
	}
	if c.cells() == 0 {
		return bad("stores", strings.Join(c.Stores, ","), "one that suits the runs: "+Expirable+
			" needs a --ttl, and others can't be without --gogc and --limit")
	}
	return nil
}
