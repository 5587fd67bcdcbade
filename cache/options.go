package cache

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"runtime"
	"time"

	"github.com/snowfence/snowfence/cache/internal/codec"
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

	// Timeout bounds each load, even of a function that ignores its context: the callers
	// then get courier.ErrTimeout, or the stale value. 0 means the time-out of Courier, by
	// default courier.DefaultTimeout; [NoTimeout] means none. A refresh and a batch have
	// the same time-out.
	Timeout time.Duration

	// StaleFor is the time past its TTL for which Fetch may still give a value, if a load of
	// the key fails, is refused, or is late. 0 means never. Stale entries count towards
	// Capacity and MaxWeight, and are evicted before all others of their shard. Delete,
	// Clear, InvalidateTag and ErrNotFound end them; Expire makes an entry stale. HTTP calls
	// this stale-if-error (RFC 5861), and FusionCache fail-safe.
	StaleFor time.Duration

	// SoftTimeout bounds how long a Fetch that has a stale value waits for the load, which goes on in
	// the background. Once a load has taken that long, further callers do not wait for it. 0 means
	// until the load ends. A caller whose deadline is sooner gets the stale value then. SoftTimeout
	// needs StaleFor.
	SoftTimeout time.Duration

	// StaleRetry is the time for which a stale value is given at once after a load has failed, before
	// the next Fetch tries again. 0 means DefaultStaleRetry. It needs StaleFor.
	StaleRetry time.Duration

	// RefreshAt, from 0 to less than 1, is the share of an entry's own TTL after which a
	// Fetch returns the entry and loads its key anew in the background. It is jittered, so
	// that entries which were loaded together are not refreshed together: an entry is due
	// at 40 to 100 % of that share, and after a refresh at 60 to 100 %. With 0.8 and a TTL
	// of 10 minutes, that is 3.2 to 8 and 4.8 to 8 minutes. One refresh runs per key, under
	// the time-out of a load. Loads that callers wait for take precedence over it. If it
	// fails, the entry stays, the key does not back off, and the next refresh is due after
	// that share again, or half of the rest of the TTL if that is less. 128 refreshes run at
	// a time and 1,024 wait for their turn; beyond that, an entry is left for a later Fetch.
	// 0 means never.
	RefreshAt float64

	// NotFoundTTL is the time for which the cache remembers that a key has no record: that its fetch
	// function has returned [ErrNotFound]. Fetch returns the error until then, unless a value is set.
	// 0 means that it is not remembered.
	NotFoundTTL time.Duration

	// MaxNotFound bounds the number of keys that are remembered for NotFoundTTL. They are
	// no entries: they never evict one. Each of the cache's shards, whose number grows with that
	// of the processors and with Capacity, keeps its share, at least one. 0 means a tenth of
	// Capacity, or 1,000 without a Capacity. It needs NotFoundTTL.
	MaxNotFound int

	// IsNotFound reports whether an error of a fetch function means that there is no record, in
	// addition to ErrNotFound: for example errors.Is(err, sql.ErrNoRows). Callers get the error
	// so that it matches ErrNotFound, too. It runs as a part of the load.
	IsNotFound func(error) bool

	// Tags returns the tags of a value that is to be stored, for InvalidateTag. It is called
	// like Weigher, and may return a tag more than once. The first tag of an entry takes
	// about 40 bytes, each further one 26, and one that no other entry bears 150. nil means
	// that no entry bears tags.
	Tags func(key K, value V) []string

	// MaxBatch bounds the number of keys that FetchMany gives to one call of its function: a
	// longer list is split, and the parts are loaded at the same time. 0 means no bound.
	MaxBatch int

	// LoadMany loads many keys at once for Loading.FetchMany. It is the fetch function that
	// Cache.FetchMany describes. If it is nil, the load function of NewLoading is called for each
	// key. A Cache made with New does not use it.
	LoadMany func(ctx context.Context, missing []K) (map[K]V, error)

	// SecondLevel configures a level behind the cache that outlives the process. Without a Storage
	// there is none.
	SecondLevel SecondLevel[K, V]

	// Policy chooses the entry to evict when the cache is full. The zero value is Adaptive; the
	// others are LRU, TinyLFU and StrictLRU.
	Policy Policy

	// ShedAbove, from 0 to 1, is the share of the process's memory limit (GOMEMLIMIT or
	// debug.SetMemoryLimit) above which the cache gives up entries. Garbage does not count.
	// The policy chooses the entries. Near the limit, the garbage collector would otherwise
	// take ever more processor time; 0.8 is a good value. 0 means never. Without a limit no
	// entry is given up. Memory is checked every 50 ms.
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

	// Logger gets what somebody should look into: that stale values are given, and why, and what
	// courier.WithLogger describes. Of each kind one line in ten seconds is logged. No caller waits
	// for its handler. nil, the default, means that nothing is logged.
	Logger *slog.Logger

	// Courier configures how fetch functions run: limits, back-off of failing keys. See the
	// options of package courier. Timeout and Logger, if set, override courier.WithTimeout and
	// courier.WithLogger. The cache sets courier.WithIsFailure itself: a missing record is no failure.
	Courier []courier.Option
}

// An OptionError is returned by [New] for an invalid option.
type OptionError struct {
	Field string // of Options, or an argument of NewLoading
	Value any    // its value
	Want  string // the values that it may have
}

// Error returns a description in one line, with the field, its value and the allowed values.
func (e *OptionError) Error() string {
	of := "Options."
	if e.Field == loadArgument {
		of = "NewLoading: "
	}
	return fmt.Sprintf("cache: %s%s: %v: want %s", of, e.Field, e.Value, e.Want)
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
	case o.Policy > StrictLRU:
		return bad("Policy", uint8(o.Policy),
			"cache.Adaptive, cache.LRU, cache.TinyLFU or cache.StrictLRU")
	case !(o.ShedAbove >= 0 && o.ShedAbove <= 1):
		return bad("ShedAbove", o.ShedAbove, "a share from 0 to 1")
	case o.ClockError > time.Second:
		return bad("ClockError", o.ClockError, "at most a second")
	case o.StaleFor < 0:
		return bad("StaleFor", o.StaleFor, "0 (never) or more")
	case o.SoftTimeout < 0:
		return bad("SoftTimeout", o.SoftTimeout, "0 (until the load ends) or more")
	case o.SoftTimeout > 0 && o.StaleFor == 0:
		return bad("SoftTimeout", o.SoftTimeout, "0, since StaleFor is not set")
	case o.StaleRetry < 0:
		return bad("StaleRetry", o.StaleRetry, "0 (the default) or more")
	case o.StaleRetry > 0 && o.StaleFor == 0:
		return bad("StaleRetry", o.StaleRetry, "0, since StaleFor is not set")
	case !(o.RefreshAt >= 0 && o.RefreshAt < 1):
		return bad("RefreshAt", o.RefreshAt, "a share from 0 (never) to less than 1")
	case o.NotFoundTTL < 0:
		return bad("NotFoundTTL", o.NotFoundTTL, "0 (not remembered) or more")
	case o.MaxNotFound < 0:
		return bad("MaxNotFound", o.MaxNotFound, "0 (the default) or more")
	case o.MaxNotFound > 0 && o.NotFoundTTL == 0:
		return bad("MaxNotFound", o.MaxNotFound, "0, since NotFoundTTL is not set")
	case o.MaxBatch < 0:
		return bad("MaxBatch", o.MaxBatch, "0 (no bound) or more")
	}
	if err := o.SecondLevel.validate(); err != nil {
		return err
	}
	return courier.Validate(o.Courier...)
}

func (l *SecondLevel[K, V]) validate() error {
	bad := func(field string, value any, want string) error {
		return &OptionError{"SecondLevel." + field, value, want}
	}
	_, notifies := l.Storage.(Notifier)
	name, _ := keysOf[K]()
	unfit := codec.Unfit(codec.Or[V](l.Codec))
	switch {
	case l.Storage == nil && (l.Key != nil || l.ParseKey != nil || l.Codec != nil ||
		l.SoftTimeout != 0 || l.Timeout != 0 || l.MaxRecord != 0 || l.MaxPending != 0):
		return bad("Storage", "nil", "a Storage, since other fields are set")
	case l.Storage == nil:
		return nil
	case isNilPointer(l.Storage):
		return bad("Storage", fmt.Sprintf("a nil %T", l.Storage), "a Storage, or nil for none")
	case l.Key == nil && name == nil:
		return bad("Key", "nil", "a function, since K is neither a string nor an integer")
	case l.Key == nil && l.ParseKey != nil:
		return bad("ParseKey", "a function", "nil, since Key is not set")
	case l.Key != nil && l.ParseKey == nil && notifies:
		return bad("ParseKey", "nil", "the inverse of Key, since Storage is a Notifier")
	case unfit != "":
		return bad("Codec", "json", "another one: "+unfit)
	case l.SoftTimeout < 0:
		return bad("SoftTimeout", l.SoftTimeout, "0 (the default) or more")
	case l.Timeout < 0:
		return bad("Timeout", l.Timeout, "0 (the default) or more")
	case l.MaxRecord < 0:
		return bad("MaxRecord", l.MaxRecord, "0 (the default) or more bytes")
	case l.MaxPending < 0:
		return bad("MaxPending", l.MaxPending, "0 (the default) or more")
	}
	return nil
}

// isNilPointer reports whether s holds a nil pointer, as after an error of a constructor that the
// caller has ignored.
func isNilPointer(s Storage) bool {
	v := reflect.ValueOf(s)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

func (o Options[K, V]) withDefaults() Options[K, V] {
	if o.Capacity == 0 && o.MaxWeight == 0 {
		o.Capacity = DefaultCapacity
	}
	if o.ClockError == 0 {
		o.ClockError = DefaultClockError
	}
	o.StaleRetry = cmp.Or(o.StaleRetry, DefaultStaleRetry)
	if o.MaxNotFound == 0 {
		o.MaxNotFound = 1000
		if o.Capacity > 0 {
			o.MaxNotFound = o.Capacity / 10
		}
	}
	return o
}

// NoTimeout is the Options.Timeout of loads without a time-out: they may take as long as a caller
// waits for them.
const NoTimeout time.Duration = -1

// courierOptions returns Courier, and the options of the courier that follow from the others.
func (o Options[K, V]) courierOptions() []courier.Option {
	//nolint:gocritic // a copy
	opts := append(o.Courier[:len(o.Courier):len(o.Courier)], courier.WithIsFailure(isFailure))
	if o.MaxBatch > 0 {
		opts = append(opts, courier.WithMaxBatch(o.MaxBatch))
	}
	if o.Timeout != 0 {
		opts = append(opts, courier.WithTimeout(max(0, o.Timeout)))
	}
	if o.Logger != nil {
		opts = append(opts, courier.WithLogger(o.Logger))
	}
	return opts
}

// With smaller shards, the popularity of their keys differs too much: with 730 entries
// each, the hit ratio on a trace with scans was up to 0.9 percentage points lower.
const (
	minShardEntries = 1024
	minShardWeight  = 1 << 20
)

// shardCount returns the number of shards: sixteen per core, so that writers seldom
// contend, but fewer if each would be too small for its policy, and one if its order is exact.
func (o Options[K, V]) shardCount() int {
	n := 1
	for o.Policy != StrictLRU && n < 16*runtime.GOMAXPROCS(0) &&
		(o.Capacity == 0 || o.Capacity/(2*n) >= minShardEntries) &&
		(o.MaxWeight == 0 || o.MaxWeight/uint64(2*n) >= minShardWeight) { //nolint:gosec // n is small
		n *= 2
	}
	return n
}
