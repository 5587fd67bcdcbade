package cache

import (
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/snowfence/snowfence/courier"
)

// DefaultCapacity is used if neither Options.Capacity nor Options.MaxWeight is set.
const DefaultCapacity = 10_000

// Options configures a Cache. The zero value is valid: a cache of DefaultCapacity entries
// that do not expire.
type Options[K comparable, V any] struct {
	// Capacity bounds the number of entries. 0 means DefaultCapacity or, if MaxWeight is
	// set, no bound.
	Capacity int

	// MaxWeight bounds the sum of the entries' weights, as returned by Weigher. If these
	// are sizes in bytes, MaxWeight is a number of bytes. A value heavier than
	// MaxWeight is returned to its callers, but not stored. 0 means no bound.
	MaxWeight uint64

	// Weigher returns the weight of a value that is to be stored. It is called once
	// per value, without locks: by Set in the caller's goroutine, and by Fetch as a part
	// of the load, so that its time counts towards the load's time-out and its panic is
	// an error of the load. It should be quick and must not change value. It is required
	// if MaxWeight is set, and not allowed otherwise. A value of weight 0 never has to go
	// for weight: where there may be many, set Capacity, too.
	Weigher func(key K, value V) uint32

	// TTL is the time to live of an entry, unless SetTTL or StoreFor sets another. 0 means
	// that entries do not expire. It is measured by Go's monotonic clock, which stops on
	// many systems while the machine sleeps: an entry then lives longer by the wall clock.
	TTL time.Duration

	// TTLJitter, from 0 to 1, bounds the random share that is taken off each TTL, so that
	// entries made together do not expire together: with 0.1 an entry lives for 90 to
	// 100 % of its TTL.
	TTLJitter float64

	// RefreshAfter is the age from which a Fetch returns an entry and loads its key anew
	// in the background. Up to a fifth of it is taken off at random. One refresh runs per
	// key, under the courier's time-out. Loads that callers wait for take precedence over
	// it. If it fails, the entry stays, the key does not back off, and the next refresh is
	// due after RefreshAfter again. 128 refreshes run at a time and 1,024 wait for their
	// turn; beyond that, an entry is left for a later Fetch. 0 means never.
	// RefreshAfter must be less than TTL if both are set.
	RefreshAfter time.Duration

	// Policy chooses the entry to evict when the cache is full: LRU, the zero value, or
	// TinyLFU.
	Policy Policy

	// ShedAbove, from 0 to 1, is the share of the process's memory limit (GOMEMLIMIT or
	// debug.SetMemoryLimit) above which the cache gives up entries. What is garbage does
	// not count. The policy chooses the entries. Near the limit, the garbage collector
	// would otherwise take ever more processor time; 0.8 is a good value. 0 means never.
	// Without a limit nothing is given up. Memory is checked every 50 ms.
	ShedAbove float64

	// NoCompaction keeps tables as large as they were at their peak. It is for
	// measurements: cachebench and tests show with it what compaction saves.
	NoCompaction bool

	// ClockError bounds how long after its TTL an entry may still be returned. While hits
	// are many, one goroutine reads the time for all of them. It may be late where the
	// cores are busy, so a hit of an entry in the last 200 ms of its TTL reads the
	// system's clock itself. So the bound holds unless the goroutine is late by more than
	// that and hits are few. 0 means DefaultClockError. If ClockError is negative, each
	// hit reads the system's clock. It can be at most a second.
	ClockError time.Duration

	// OnEviction is called for each entry that left the cache, with the reason. It runs in
	// a goroutine of the cache, without locks, one call at a time. The entries of a key
	// come in the order in which they left. So OnEviction may block, hang or use the
	// cache, and delays only the calls after it. A panic or runtime.Goexit ends only the
	// one call, and Stats counts it.
	//
	// The number of entries that wait for their call is bounded by Capacity, or by 16,384
	// if that is more, and their weight by MaxWeight. OnEviction is not called for entries
	// beyond that; Stats.CallbacksDropped counts them. So a callback that hangs keeps a
	// bounded number of entries alive.
	//
	// A value that left with ReasonReplaced may be the same one that replaced it: Set does
	// not compare values. A callback that stores an evicted entry again makes the cache
	// evict another one, and so is called again and again until Close.
	OnEviction func(key K, value V, reason Reason)

	// Courier configures how fetch functions run: time-outs, limits, back-off of failing
	// keys. See the options of package courier.
	Courier []courier.Option
}

// An OptionError is returned by [New] for an invalid option.
type OptionError struct {
	Field string // of Options
	Value any    // its value
	Want  string // the values that it may have
}

// Error returns a description in one line, with the field, its value and what was wanted.
func (e *OptionError) Error() string {
	return fmt.Sprintf("cache: Options.%s: %v: want %s", e.Field, e.Value, e.Want)
}

func (o *Options[K, V]) validate() error {
	bad := func(field string, value any, want string) error { return &OptionError{field, value, want} }
	switch {
	case o.Capacity < 0:
		return bad("Capacity", o.Capacity, "0 (the default) or more")
	case o.MaxWeight > math.MaxInt64:
		return bad("MaxWeight", o.MaxWeight, "less than 2^63")
	case o.MaxWeight > 0 && o.Weigher == nil:
		return bad("Weigher", "nil", "a function, since MaxWeight is set")
	case o.MaxWeight == 0 && o.Weigher != nil:
		return bad("MaxWeight", 0, "a bound above 0, since Weigher is set")
	case o.TTL < 0:
		return bad("TTL", o.TTL, "0 (no expiry) or more")
	case !(o.TTLJitter >= 0 && o.TTLJitter <= 1): // so that NaN is refused
		return bad("TTLJitter", o.TTLJitter, "a share from 0 to 1")
	case o.Policy > TinyLFU:
		return bad("Policy", uint8(o.Policy), "cache.LRU or cache.TinyLFU")
	case !(o.ShedAbove >= 0 && o.ShedAbove <= 1):
		return bad("ShedAbove", o.ShedAbove, "a share from 0 to 1")
	case o.ClockError > time.Second:
		return bad("ClockError", o.ClockError, "at most a second")
	case o.RefreshAfter < 0:
		return bad("RefreshAfter", o.RefreshAfter, "0 (never) or more")
	case o.RefreshAfter > 0 && o.TTL > 0 && o.RefreshAfter >= o.TTL:
		return bad("RefreshAfter", o.RefreshAfter, fmt.Sprintf("less than TTL (%v)", o.TTL))
	}
	return courier.Validate(o.Courier...)
}

func (o Options[K, V]) withDefaults() Options[K, V] {
	if o.Capacity == 0 && o.MaxWeight == 0 {
		o.Capacity = DefaultCapacity
	}
	if o.ClockError == 0 {
		o.ClockError = DefaultClockError
	}
	return o
}

// With smaller shards, the popularity of their keys differs too much: with 730 entries
// each, the hit ratio on a trace with scans was up to 0.9 percentage points lower.
const (
	minShardEntries = 1024
	minShardWeight  = 1 << 20
)

// shardCount returns the number of shards: about four per core, so that writers seldom
// contend, but not so many that each is too small for its policy.
func (o Options[K, V]) shardCount() int {
	n := 1
	for n < 4*runtime.GOMAXPROCS(0) &&
		(o.Capacity == 0 || o.Capacity/(2*n) >= minShardEntries) &&
		(o.MaxWeight == 0 || o.MaxWeight/uint64(2*n) >= minShardWeight) { //nolint:gosec // n is small
		n *= 2
	}
	return n
}
