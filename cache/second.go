package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/snowfence/snowfence/cache/internal/codec"
	"github.com/snowfence/snowfence/cache/internal/envelope"
)

// The values that zero values of SecondLevel stand for.
const (
	DefaultStorageSoftTimeout = 50 * time.Millisecond
	DefaultStorageTimeout     = time.Second
	DefaultMaxRecord          = 1 << 20
	DefaultMaxPending         = 4096
)

// A SecondLevel configures a level behind the cache, in which values outlive the process. The zero
// value stands for none; with a Storage, the zero values of the other fields are defaults.
type SecondLevel[K comparable, V any] struct {
	// Storage keeps the records, for TTL and StaleFor: without a TTL they have no end. The cache does
	// not close it; close the cache first.
	Storage Storage

	// Key returns the key of a record, which must differ for different keys of the cache. nil means
	// the key itself if its kind is string, and decimal digits for the kinds of integers. It is
	// required for other kinds. ParseKey is its inverse; it is needed with Key if Storage is a
	// Notifier.
	Key      func(K) string
	ParseKey func(string) (K, bool)

	// Codec turns values into bytes and back. By default []byte and string are stored as they are,
	// and all other types as JSON: then a value must have all that it needs in exported fields, and
	// an interface needs a Codec. A record of a codec with another name is not used.
	Codec Codec[V]

	// SoftTimeout bounds how long a load waits for the second level before it calls its fetch
	// function. 0 means DefaultStorageSoftTimeout. If reads are late or fail five times in a row,
	// where those that overlap count once, loads do not wait at all, but for one each half second to
	// second that tries again.
	SoftTimeout time.Duration

	// Timeout bounds each call of the Storage, and how long Close waits for what is pending. 0 means
	// DefaultStorageTimeout. A SoftTimeout above it has no effect.
	Timeout time.Duration

	// MaxRecord bounds the size of a record in bytes, with its tags. A larger one is neither written
	// nor used. 0 means DefaultMaxRecord.
	MaxRecord int

	// MaxPending bounds the keys whose values wait to be written. Values beyond that are not written.
	// 16 times as many deletes may wait; beyond that they are replaced by one of everything. 0 means
	// DefaultMaxPending.
	MaxPending int
}

func (l SecondLevel[K, V]) withDefaults() SecondLevel[K, V] {
	if l.Key == nil {
		l.Key, l.ParseKey = keysOf[K]()
	}
	l.Codec = codec.Or[V](l.Codec)
	l.SoftTimeout = cmp.Or(l.SoftTimeout, DefaultStorageSoftTimeout)
	l.Timeout = cmp.Or(l.Timeout, DefaultStorageTimeout)
	l.MaxRecord = cmp.Or(l.MaxRecord, DefaultMaxRecord)
	l.MaxPending = cmp.Or(l.MaxPending, DefaultMaxPending)
	return l
}

// second is the part of a cache that uses its second level.
type second[K comparable, V any] struct {
	SecondLevel[K, V] // with defaults
	codecName         string
	cache             *Cache[K, V]
	manual            bool   // package cluster decides what is read and deleted; see package hook
	unwatch           func() // nil: there are no notices

	calls   *storageCalls
	closing sync.Once
	log     tagLog
	pending pending[K, V]
}

// newSecond returns the second of c, or nil if l has no Storage.
func newSecond[K comparable, V any](c *Cache[K, V], l SecondLevel[K, V]) *second[K, V] {
	if l.Storage == nil {
		return nil
	}
	s := &second[K, V]{SecondLevel: l.withDefaults(), cache: c}
	s.codecName = s.Codec.Name()
	s.calls = newStorageCalls(s.Timeout, s.failed, s.works)
	s.pending = pending[K, V]{
		most: s.MaxPending, send: s.send, life: s.calls.life,
		dropped: func(n int) { c.counters.secondDropped.Add(uint64(n)) }, //nolint:gosec // not negative
	}
	return s
}

// failed counts and logs the failure of a call of the Storage.
func (s *second[K, V]) failed(err error) {
	c := s.cache
	c.counters.secondErrors.Add(1)
	if ok, suppressed := c.log.Allow(eventSecondLevel); ok {
		c.log.Add(eventSecondLevel, suppressed, slog.LevelWarn, "the second level has failed",
			func(*slog.Logger) []slog.Attr {
				return []slog.Attr{slog.String("courier", c.courier.Name()), slog.Any("error", err)}
			})
	}
}

// works logs that the Storage works again.
func (s *second[K, V]) works() {
	c := s.cache
	if ok, suppressed := c.log.Allow(eventSecondLevelBack); ok {
		c.log.Add(eventSecondLevelBack, suppressed, slog.LevelInfo, "the second level works again",
			func(*slog.Logger) []slog.Attr {
				return []slog.Attr{slog.String("courier", c.courier.Name())}
			})
	}
}

// Flush waits until the changes of this cache up to now have reached the second level. It returns
// nil if all were written, deleted, or given up: a value is given up when a call that was to write
// it has failed, a delete never. It returns an error if ctx ends first, and ErrClosed after Close.
// Without a second level it returns nil at once.
func (c *Cache[K, V]) Flush(ctx context.Context) error {
	if c.second == nil {
		return nil
	}
	return c.second.pending.flush(ctx)
}

// close writes what is pending, for Timeout at most, and ends all calls. It waits for them until
// ctx ends.
func (s *second[K, V]) close(ctx context.Context) error {
	watch := s.endWatch(ctx)
	var behind error
	s.closing.Do(func() {
		flushing, cancel := context.WithTimeout(context.Background(), s.Timeout)
		defer cancel()
		s.pending.hasten()
		behind = s.pending.flush(flushing)
		s.pending.close()
	})
	s.calls.close(ctx)
	return errors.Join(watch, behind)
}

// set adds e, which the user has set, to what is to be written. Its shard is locked.
func (s *second[K, V]) set(name string, e *entry[K, V], tags []string) {
	if s.manual {
		return
	}
	version, clock, ok := s.log.present()
	if !ok { // a tag might be invalidated before the version is known
		s.delete(name, e.key)
		return
	}
	s.write(&pendingOp[K, V]{
		key: name, id: e.key, entry: e, tags: tags, version: version, stored: clock.micros(),
		invalidations: s.cache.invalidated.seq.Load(),
	})
}

// write adds op, which stores op.entry.
func (s *second[K, V]) write(op *pendingOp[K, V]) {
	op.kind = opWrite
	op.ttl = Forever
	if expires := op.entry.expiry(); expires != never {
		op.ttl = max(1, time.Duration(expires-s.cache.clock.now())) // 0 would stand for no end
	}
	s.pending.put(op)
}

// delete adds a delete. The shard of the key is locked.
func (s *second[K, V]) delete(name string, key K) {
	if s.manual {
		s.pending.forgetKey(name)
	} else {
		s.pending.put(&pendingOp[K, V]{key: name, id: key})
	}
}

// invalidate adds the invalidation of a tag; "" stands for everything.
func (s *second[K, V]) invalidate(tag string) {
	if s.manual {
		s.forgetTag(tag)
	} else {
		s.pending.invalidate(tag)
	}
}

// nameOf returns the key of the record of key. It calls a function of the user, so no lock is held,
// and a panic of that is the caller's.
func (c *Cache[K, V]) nameOf(key K) string {
	if c.second == nil {
		return ""
	}
	return c.second.Key(key)
}

// writeBehind adds the result of l, which was stored as e, to what is to be written. The shard is
// locked.
func (c *Cache[K, V]) writeBehind(l *load[K, V], e *entry[K, V], tags []string) {
	if g := l.grant(); g != nil && g.fence != "" && !g.taken {
		c.second.write(&pendingOp[K, V]{
			key: g.name, id: l.key, entry: e, tags: tags,
			fence: g.fence, version: g.version, stored: g.clock.micros(),
		})
	}
}

// absenceBehind adds the result of l, which has no value that is kept, to what is to be written. If
// ttl is above 0, it is that of a missing record. The shard is locked.
func (c *Cache[K, V]) absenceBehind(l *load[K, V], ttl time.Duration) {
	switch g := l.grant(); {
	case g == nil || g.taken || g.fence == "":
	case ttl > 0:
		c.second.pending.put(&pendingOp[K, V]{
			key: g.name, id: l.key, kind: opMissing, ttl: ttl,
			fence: g.fence, version: g.version, stored: g.clock.micros(),
		})
	case g.stored:
		c.second.pending.put(&pendingOp[K, V]{key: g.name, id: l.key})
	}
}

// nameInLoad returns the key of the record of a key that is loaded. If Key panics, it returns
// false: the load does without the second level.
func (s *second[K, V]) nameInLoad(key K) (name string, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			s.failed(fmt.Errorf("cache: SecondLevel.Key panicked: %v", p))
		}
	}()
	return s.Key(key), true
}

// send asks the Storage for what b holds.
func (s *second[K, V]) send(ctx context.Context, b *pendingBatch[K, V]) error {
	if len(b.tags) > 0 {
		tags := make([]string, 0, len(b.tags))
		for tag := range b.tags {
			tags = append(tags, tag)
		}
		err := s.calls.do(ctx, func(ctx context.Context) error {
			return s.Storage.Invalidate(ctx, tags)
		})
		if err != nil {
			return err
		}
		b.invalidated = true
	}
	if len(b.deletes) > 0 {
		names := make([]string, len(b.deletes))
		for i, op := range b.deletes {
			names[i] = op.key
		}
		err := s.calls.do(ctx, func(ctx context.Context) error {
			return s.Storage.Delete(ctx, names)
		})
		if err != nil {
			return err
		}
		b.deleted = true
		s.learn(ctx, names[:1])
	}
	if len(b.writes) == 0 {
		return nil
	}
	// The codec, a function of the user, runs within the call: if it hangs, deletes go on.
	var n int
	var unwritable map[*pendingOp[K, V]]bool
	err := s.calls.do(ctx, func(ctx context.Context) error {
		var records []Record
		records, unwritable = s.records(b.writes)
		if n = len(records); n == 0 {
			return nil
		}
		return s.Storage.Write(ctx, records)
	})
	if err != nil {
		return err
	}
	s.cache.counters.secondWrites.Add(uint64(n)) //nolint:gosec // not negative
	b.written, b.unwritable = true, unwritable
	return nil
}

// learn reads the log if it is not known, so that the values which the user sets can be written.
func (s *second[K, V]) learn(ctx context.Context, names []string) {
	if _, _, ok := s.log.present(); ok {
		return
	}
	if r := s.startRead(ctx, names, pendingView{}); r != nil {
		<-r.call.done
		s.end(r)
	}
}

// records returns the records of ops, without those that can't be encoded or are too large.
func (s *second[K, V]) records(
	ops []*pendingOp[K, V],
) (records []Record, unwritable map[*pendingOp[K, V]]bool) {
	records = make([]Record, 0, len(ops))
	for _, op := range ops {
		r, err := s.record(op)
		if err == nil {
			records = append(records, r)
			continue
		}
		if unwritable == nil {
			unwritable = make(map[*pendingOp[K, V]]bool)
		}
		unwritable[op] = true
		c := s.cache
		if ok, suppressed := c.log.Allow(eventUnwritable); ok {
			c.log.Add(eventUnwritable, suppressed, slog.LevelWarn,
				"a value can't be written to the second level",
				func(*slog.Logger) []slog.Attr {
					return []slog.Attr{slog.String("courier", c.courier.Name()),
						slog.String("key", c.courier.KeyText(op.id)), slog.Any("error", err)}
				})
		}
	}
	return records, unwritable
}

var errTooLarge = errors.New("cache: the record is larger than SecondLevel.MaxRecord")

func (s *second[K, V]) record(op *pendingOp[K, V]) (r Record, err error) {
	e := envelope.Record{
		NotFound: op.kind == opMissing, StoredAt: op.stored, Version: op.version, Tags: op.tags,
	}
	r = Record{Key: op.key, Fence: op.fence}
	if op.ttl < longest {
		e.TTL = op.ttl
		r.Keep = op.ttl
	}
	if e.NotFound {
		e.Tags = nil
	} else {
		e.Codec = s.codecName
		e.StaleFor = min(s.cache.staleFor, longest)
		if e.Value, err = codec.Encode(s.Codec, op.entry.value); err != nil {
			return r, err
		}
	}
	if r.Keep > 0 {
		r.Keep += e.StaleFor
	}
	if len(e.Value) > s.MaxRecord {
		return r, errTooLarge
	}
	if r.Data, err = envelope.Append(nil, op.key, &e); err != nil {
		return r, err
	}
	if len(r.Data) > s.MaxRecord {
		return r, errTooLarge
	}
	return r, nil
}

// longest is the longest time that an envelope holds: a TTL above it stands for none.
const longest = 100 * 365 * 24 * time.Hour
