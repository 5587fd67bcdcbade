package cluster

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/snowfence/snowfence/internal/lab/proc"
)

// DefaultConfig is what runs if nothing is said: three nodes, by slot and without a cluster, with
// few keys and a short TTL: so that it goes evenly before the disturbance, which then shows.
func DefaultConfig() Config {
	return Config{
		Nodes: 3, Ownerships: []Ownership{BySlot, None}, Duration: 15 * time.Second,
		Rate: 300, Keys: 300, Zipf: 1.1, Size: 256,
		TTL: 3 * time.Second, Capacity: 10_000, Deadline: 2 * time.Second,
		OriginLatency: 20 * time.Millisecond,
		Disturb:       Calm, Start: 5 * time.Second, End: 9 * time.Second, Victims: 1, Seed: 1,
	}
}

var (
	ownerships = []Ownership{BySlot, ByKey, ByRing, None}
	disturbs   = []Disturb{Calm, Kill, Restart, Pause, Split, Rolling, OriginSlow, OriginFail, Poison}
)

var pausable = proc.Pausable // tests change it

// A FieldError says which field of a Config had which value, and what was wanted.
type FieldError struct {
	Field string // as the flag of cachebench is called
	Value any
	Want  string
}

// Error describes the FieldError in one line.
func (e *FieldError) Error() string {
	return fmt.Sprintf("%s: %v: want %s", e.Field, e.Value, e.Want)
}

// Validate returns everything that keeps c from being run, each as a *FieldError.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, field string, value any, want string) {
		if !ok {
			errs = append(errs, &FieldError{field, value, want})
		}
	}
	check(c.Nodes >= 1 && c.Nodes <= 64, "nodes", c.Nodes, "1 to 64")
	check(len(c.Ownerships) > 0, "ownership", c.Ownerships, "at least one")
	for _, o := range c.Ownerships {
		check(slices.Contains(ownerships, o), "ownership", o, "key, slot, ring or none")
	}
	check(c.Duration >= 2*time.Second, "duration", c.Duration, "at least 2s, to be measured")
	check(c.Rate > 0 && c.Rate <= 100_000, "rate", c.Rate, "above 0, at most 100000")
	check(c.Keys >= 1 && c.Keys <= 10_000_000, "keys", c.Keys, "1 to 10000000")
	check(c.Zipf == 0 || c.Zipf > 1 && c.Zipf <= 10, "zipf", c.Zipf,
		"0 (all keys alike) or above 1, at most 10")
	check(c.Size >= 0 && c.Size <= 1<<20, "size", c.Size, "0 to 1048576 bytes")
	check(c.TTL >= 0, "ttl", c.TTL, "0 (for ever) or more")
	check(c.Capacity >= 1, "capacity", c.Capacity, "at least 1")
	check(c.PeerTimeout == 0 || c.PeerTimeout >= time.Millisecond, "peer-timeout", c.PeerTimeout,
		"0 (the default) or at least 1ms")
	check(c.Deadline > 0, "deadline", c.Deadline, "above 0")
	check(c.OriginLatency >= 0, "origin-latency", c.OriginLatency, "0 or more")
	check(c.OriginErrors >= 0 && c.OriginErrors <= 1, "origin-errors", c.OriginErrors,
		"a share from 0 to 1")
	check(slices.Contains(disturbs, c.Disturb), "disturb", c.Disturb,
		"none, kill, restart, pause, split, rolling, origin-slow, origin-fail or poison")
	check(c.Disturb != Pause || pausable, "disturb", c.Disturb,
		"another one, since pausing a process needs SIGSTOP, which "+runtime.GOOS+" lacks")
	if c.Disturb != Calm {
		check(c.Start >= time.Second, "start", c.Start, "at least 1s, to know what it was like before")
		check(c.End > c.Start, "end", c.End, fmt.Sprintf("later than start (%v)", c.Start))
		check(c.End <= c.Duration, "end", c.End, fmt.Sprintf("at most duration (%v)", c.Duration))
	}
	switch c.Disturb {
	case Kill, Restart, Pause, Split:
		check(c.Nodes > 1, "nodes", c.Nodes, fmt.Sprintf("at least 2 for --disturb %s", c.Disturb))
		check(c.Victims >= 1 && c.Victims < max(2, c.Nodes), "victims", c.Victims,
			"at least 1, fewer than nodes")
	case Poison:
		check(c.Nodes > 2, "nodes", c.Nodes, "at least 3 for --disturb poison, since two may die")
		check(c.TTL > 0 && c.TTL < c.End-c.Start, "ttl", c.TTL,
			fmt.Sprintf("less than from start to end (%v), so that the key is loaded in between",
				c.End-c.Start))
	case Rolling:
		check(c.Nodes > 1, "nodes", c.Nodes, fmt.Sprintf("at least 2 for --disturb %s", c.Disturb))
	case Calm, OriginSlow, OriginFail:
	}
	return errors.Join(errs...)
}
