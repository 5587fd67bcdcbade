package cache

import (
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/snowfence/snowfence/courier"
)

// DefaultCapacity is the capacity where neither Capacity nor MaxWeight is set.
const DefaultCapacity = 10_000

// Options configure a Cache. The zero value is a cache of DefaultCapacity
// entries that do not expire.
type Options[K comparable, V any] struct {
	// Capacity is the most entries that the cache holds. 0 means
	// DefaultCapacity or, if MaxWeight is set, no bound on their number.
	Capacity int

	// MaxWeight bounds the sum of what Weigher returns for the entries: with
	// sizes in bytes, a byte budget for values. A value heavier than MaxWeight
	// is not stored (but given to those who fetched it). 0 means no bound.
	MaxWeight uint64

	// Weigher returns the weight of a value that is to be stored. It is called once
	// for each, without locks: in the caller's goroutine by Set, and as a part of the
	// load by Fetch, so that its time counts for the load's time-out and its panic is
	// an error of the load. It should be quick and must not change value. Needed with,
	// and only with, MaxWeight. A value of weight 0 is never evicted to keep within
	// MaxWeight: where there may be many, set Capacity, too.
	Weigher func(key K, value V) uint32

	// TTL is how long an entry lives unless SetTTL or StoreFor says otherwise.
	// 0 means until it is evicted. It is measured by Go's monotonic clock, which
	// on many systems stands still while the machine sleeps: an entry then lives
	// longer by the wall clock.
	TTL time.Duration

	// TTLJitter, from 0 to 1, is the part of each TTL of which a random share
	// is taken off, so that entries made together do not expire together: with
	// 0.1 an entry lives for 90 to 100 % of its TTL.
	TTLJitter float64

	// RefreshAfter makes a Fetch that finds an entry older than this, less up to a
	// fifth of it at random, return it at once and load the key anew in the background.
	// One such load runs per key, as any other does: under the courier's time-out. It
	// yields to loads that callers wait for, and its failure does not make the key back
	// off. If it fails the entry stays, and another is tried no sooner than after
	// RefreshAfter. 128 run at a time and 1,024 wait for their turn; what is due beyond
	// that is left for a later Fetch. 0 means never. Must be below TTL where both are
	// set.
	RefreshAfter time.Duration

	// Policy decides which entry goes first when the cache is full: LRU, the
	// zero value, or TinyLFU.
	Policy Policy

	// ShedAbove, from 0 to 1, is the share of the process's memory limit
	// (GOMEMLIMIT or debug.SetMemoryLimit) that may be in use. While there is
	// more that is not garbage, the cache gives up entries, those that go first
	// when it is full, so that the garbage collector is not left to fight for
	// the last bytes: 0.8 is a good value. 0 means never. Without a limit
	// nothing is given up. Looked at every 50 ms.
	ShedAbove float64

	// NoCompaction leaves tables as large as they were at their peak. It is
	// there so that cachebench and tests can show what compaction is for.
	NoCompaction bool

	// ClockError is how much longer than its TTL an entry may be returned, so
	// that not every hit has to ask the system for the time: while hits are many
	// a goroutine does that for all. Since it comes late where the cores are
	// busy, hits of an entry in the last 200 ms of its TTL ask the system. So the
	// bound holds while the goroutine is late by less, or the cache is hit often.
	// 0 means DefaultClockError, a negative value that each hit asks the system.
	ClockError time.Duration

	// OnEviction is called for each entry that left the cache, with the reason. It
	// runs apart from whatever caused it, in a goroutine of the cache, one call at a
	// time, in the order in which the entries of a key left. So it may be slow, hang
	// or use the cache, and delays nobody but the calls after it. Panics and
	// runtime.Goexit are survived and counted in Stats.
	//
	// As many entries may wait for their call as the cache may hold, or 16,384 if that
	// is more, and with MaxWeight as much weight as that; there is no call for what
	// leaves beyond that, but Stats.CallbacksDropped counts it. So a callback must keep
	// up: one that hangs keeps alive as much as the cache holds at most.
	//
	// A value that left with ReasonReplaced may be the very one that took its place:
	// the values of two calls of Set are not compared. A callback that puts back what
	// was evicted makes the cache evict something else, and so is called again and
	// again until Close.
	OnEviction func(key K, value V, reason Reason)

	// Courier configures how fetch functions run: time-outs, limits, back-off
	// of failing keys. See the options of package courier.
	Courier []courier.Option
}

// An OptionError says which field of Options had which value, and what was
// wanted.
type OptionError struct {
	Field string
	Value any
	Want  string
}

// Error describes the OptionError in one line.
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

// A shard of fewer entries differs too much from the others in what it is asked
// for: with 730 each, a trace with scans lost up to 0.9 points of its hit ratio.
const (
	minShardEntries = 1024
	minShardWeight  = 1 << 20
)

// shards is how many shards the cache gets: a few per core so that writers
// seldom meet, but not so many that the eviction order of each says little.
func (o Options[K, V]) shardCount() int {
	n := 1
	for n < 4*runtime.GOMAXPROCS(0) &&
		(o.Capacity == 0 || o.Capacity/(2*n) >= minShardEntries) &&
		(o.MaxWeight == 0 || o.MaxWeight/uint64(2*n) >= minShardWeight) { //nolint:gosec // n is small
		n *= 2
	}
	return n
}
