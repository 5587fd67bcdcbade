package cache

import (
	"context"
	"time"
)

// A Storage is a second level: it keeps what was loaded outside the process, so that a restart
// or a deploy does not begin with an empty cache. Package cachevalkey has one for Valkey and Redis.
// The cache reads it inside a flight, before it calls the fetch function, and writes it behind; see
// [SecondLevel]. So a Storage never delays a hit, and its errors are no caller's errors.
//
// A Storage keeps bytes, which the cache wraps in an envelope with a version, a checksum and the
// times. It need not look into them. Several processes may use one Storage at a time. The methods
// must be safe for concurrent use, and should return when ctx ends.
//
// Two mechanisms keep what was loaded before a delete from being stored after it. None of them
// compares the clocks of processes.
//
//   - A fence for each key. Read returns one, and Write states it. A Write whose fence is not the
//     one that Read would return now stores nothing. Delete and each Write change the fence, and so
//     does the loss of what is stored. Memcached calls this a lease (Nishtala et al., Scaling
//     Memcache at Facebook, NSDI 2013).
//   - A log of the invalidated tags, each with a version that only rises. A record holds the
//     version that Read returned before the record was loaded. The cache does not use a record
//     whose tags were invalidated at a later version. Where there is no log, at first or since it
//     was lost, Read and Invalidate begin one with an invalidation of "", the tag that every record
//     bears. So no record is used that was loaded before the loss.
type Storage interface {
	// Read returns the records of keys, which differ, and what the log has at version since or
	// later. It grants a fence for each key, also for one that has no record. All of it takes one
	// round trip. A record that can't be read is left out, and is no error.
	Read(ctx context.Context, keys []string, since uint64) (Reading, error)

	// Write stores records. It skips those whose fence is outdated. An error means that some may
	// not have been stored.
	Write(ctx context.Context, records []Record) error

	// Delete removes the records of keys, and makes their fences outdated. An error means that
	// some may still be there.
	Delete(ctx context.Context, keys []string) error

	// Invalidate appends tags to the log.
	Invalidate(ctx context.Context, tags []string) error
}

// A Reading is the result of Storage.Read.
type Reading struct {
	// Stored holds what is stored for each key, in the order of the keys.
	Stored []Stored

	// Log holds each tag whose last invalidation has a version of since or more, in any
	// order.
	Log []Invalidation

	// Forgotten is at least the version of the newest invalidation that the log has dropped to stay
	// within its bounds, or 0 if there is none. A Storage need not set it if it is less than since.
	Forgotten uint64

	// Now is the time by the clock of the Storage. All times in records are by that clock.
	Now time.Time
}

// Stored is what a Storage has for a key.
type Stored struct {
	Data  []byte // nil: there is no record
	Fence string // of the key, never empty
}

// An Invalidation is an entry of the log of a Storage.
type Invalidation struct {
	Tag     string
	Version uint64 // above those of all invalidations before, also after the loss of the log
}

// A Record is what Storage.Write stores for a key.
type Record struct {
	Key   string
	Data  []byte
	Fence string        // as returned by Read; empty: the record is stored in any case
	Keep  time.Duration // after that the Storage may remove the record; 0: it has no end
}

// A Notifier is a Storage that reports what other processes delete, so that a cache can remove
// its own copies.
type Notifier interface {
	Storage

	// Watch calls notify for what others have deleted or invalidated, one call at a time, until stop
	// is called, which waits for a call that is under way. Nothing that this Storage was itself
	// asked for is reported. After a time in which notices may have been lost, it reports what was
	// missed or, if that is not known, All.
	Watch(notify func(Notice)) (stop func())
}

// A Notice reports what other processes have deleted.
type Notice struct {
	Keys []string
	Tags []string
	All  bool // everything may have been deleted
}
