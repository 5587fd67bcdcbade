package cache

import (
	"context"
	"errors"
	"time"
	"unsafe"

	"github.com/snowfence/snowfence/cache/internal/codec"
	"github.com/snowfence/snowfence/cache/internal/envelope"
	"github.com/snowfence/snowfence/cache/internal/hook"
)

// A grant holds what a load has got from the second level for its key.
type grant[K comparable, V any] struct {
	load   *load[K, V]
	batch  *batch[K, V] // set instead for the context of a batch, whose loads have their own
	always bool         // the load calls its function, whatever is stored

	name    string
	fence   string // empty: the result is not written
	version uint64
	clock   storageClock
	stored  bool // there was a record, whether it could be used or not

	taken    bool  // the result is that of a record
	storedAt int64 // when the record was stored, on the cache's clock
}

// grant returns the grant of l, or nil.
func (l *load[K, V]) grant() *grant[K, V] {
	g, _ := l.second.(*grant[K, V])
	return g
}

// callSecond calls fetch for l, as call does, unless the second level has a value. It is a function
// apart for the stack of call.
//
//go:noinline
func (c *Cache[K, V]) callSecond(
	l *load[K, V], fetch func(context.Context, K) (V, error), r *loaded[V],
) {
	g := l.grant()
	if g == nil {
		g = new(grant[K, V])
		l.second = g
	}
	g.load = l
	ctx := loadContext{unsafe.Pointer(&l.loadState)}
	if c.second.manual {
		c.counters.loads.Add(1)
		r.value, r.err = fetch(ctx, l.key)
		return
	}
	r.value, r.err = c.second.through(ctx, g, fetch)
}

// through returns what the second level has for the load of g, or calls fetch.
func (s *second[K, V]) through(
	ctx context.Context, g *grant[K, V], fetch func(context.Context, K) (V, error),
) (V, error) {
	l := g.load
	var named bool
	g.name, named = s.nameInLoad(l.key)
	var late *secondRead
	view, op := s.pending.view(), s.pending.of(g.name)
	switch {
	case !named:
	case op != nil:
		if s.takePending(g, op) {
			return op.entry.value, nil
		}
	case !view.all:
		r := s.startRead(ctx, []string{g.name}, view)
		if r == nil {
			break
		}
		if !r.call.wait(ctx, s.SoftTimeout) {
			late = r
			break
		}
		if !s.end(r) {
			break
		}
		s.grant(g, r, 0)
		if got := s.found(r, 0); s.take(g, got) {
			return got.result()
		}
	}
	s.cache.counters.secondMisses.Add(1)
	if !s.manual {
		s.cache.counters.loads.Add(1)
	}
	v, err := fetch(ctx, l.key)
	if s.failedBefore(late, err) {
		if got := s.found(late, 0); s.takeAfter(g, got, err) {
			return got.result()
		}
	}
	return v, err
}

// throughMany does for a batch what through does for one load: it sets the results of those keys
// that the second level has, and calls fetch with the others.
//
// If a record is stale, no key is loaded now: the callers come again, so that those with a stale
// value wait for the load as for that of any stale value.
func (s *second[K, V]) throughMany(
	ctx context.Context, b *batch[K, V], results []hook.Loaded[V],
	fetch func(context.Context, []K, []hook.Loaded[V]),
) {
	grants := make([]grant[K, V], len(b.keys))
	var names []string
	var asked []int // indexes of names in the batch
	var rest []int  // keys that the second level does not have
	view := s.pending.view()
	for i, l := range b.loads {
		g := &grants[i]
		g.load, l.second = l, g
		var named bool
		g.name, named = s.nameInLoad(l.key)
		switch op := s.pending.of(g.name); {
		case named && op == nil && !view.all:
			names, asked = append(names, g.name), append(asked, i)
		case named && op != nil && s.takePending(g, op):
			results[i] = hook.Loaded[V]{Value: op.entry.value, TTL: l.storeTTL(), HasTTL: true}
		default:
			rest = append(rest, i)
		}
	}
	var r, late *secondRead
	again := false
	if len(names) > 0 {
		if r = s.startRead(ctx, names, view); r != nil && !r.call.wait(ctx, s.SoftTimeout) {
			r, late = nil, r
		}
	}
	known := r != nil && s.end(r)
	for j, i := range asked {
		if known {
			s.grant(&grants[i], r, j)
			if got := s.found(r, j); s.take(&grants[i], got) {
				results[i] = got.loaded(b.loads[i])
				again = again || got.rest <= 0
				continue
			}
		}
		rest = append(rest, i)
	}
	if again {
		for _, i := range rest {
			results[i].Err = &storedStale[V]{}
		}
		return
	}
	s.fetchRest(ctx, b, results, rest, fetch)
	for j, i := range asked {
		if !grants[i].taken && s.failedBefore(late, results[i].Err) {
			if got := s.found(late, j); s.takeAfter(&grants[i], got, results[i].Err) {
				results[i] = got.loaded(b.loads[i])
			}
		}
	}
}

// fetchRest calls fetch for the keys at these indexes.
func (s *second[K, V]) fetchRest(
	ctx context.Context, b *batch[K, V], results []hook.Loaded[V], rest []int,
	fetch func(context.Context, []K, []hook.Loaded[V]),
) {
	s.cache.counters.secondMisses.Add(uint64(len(rest)))
	if !s.manual {
		s.cache.counters.loads.Add(uint64(len(rest)))
	}
	switch len(rest) {
	case 0:
		return
	case len(b.keys):
		fetch(ctx, b.keys, results)
		return
	}
	keys := make([]K, len(rest))
	for j, i := range rest {
		keys[j] = b.keys[i]
	}
	fetched := make([]hook.Loaded[V], len(rest))
	fetch(ctx, keys, fetched)
	for j, i := range rest {
		results[i] = fetched[j]
	}
}

// failedBefore reports whether err, of a fetch function, is a failure, and the late read r has
// ended meanwhile and can be used.
func (s *second[K, V]) failedBefore(r *secondRead, err error) bool {
	return r != nil && err != nil && s.cache.asNotFound(err) == nil &&
		!errors.Is(err, ErrNotModified) && !errors.As(err, new(*hook.Answer)) &&
		r.call.poll() && s.end(r)
}

// A secondRead is a call of Storage.Read.
type secondRead struct {
	names    []string
	view     pendingView
	position logPosition
	call     *storageCall

	// Set when the call has ended without an error.
	reading Reading
	came    time.Time // the reading
	version uint64    // of the log
}

// startRead begins to read names. It returns nil if the second level is down.
func (s *second[K, V]) startRead(
	ctx context.Context, names []string, view pendingView,
) *secondRead {
	r := &secondRead{names: names, view: view, position: s.log.position()}
	call, err := s.calls.start(ctx, func(ctx context.Context) error {
		reading, err := s.Storage.Read(ctx, names, r.position.since)
		if err == nil && (len(reading.Stored) != len(names) || reading.Now.UnixMicro() <= 0) {
			err = errBadReading
		}
		r.reading, r.came = reading, time.Now()
		return err
	})
	if err != nil {
		return nil
	}
	r.call = call
	return r
}

var errBadReading = errors.New("cache: the second level returned too few records, or no time")

// end takes the log of r, whose call has ended. It returns false if r has failed, or if the log is
// not known.
func (s *second[K, V]) end(r *secondRead) bool {
	if r.call.err != nil {
		return false
	}
	version, known, lost := s.log.merge(r.position, &r.reading, r.came)
	if lost {
		s.pending.invalidate("")
	}
	r.version = version
	return known
}

// grant sets what lets the result of g's load be written: what r has at i.
func (s *second[K, V]) grant(g *grant[K, V], r *secondRead, i int) {
	of := &r.reading.Stored[i]
	g.fence, g.version, g.stored = of.Fence, r.version, of.Data != nil
	g.clock = storageClock{r.reading.Now, r.came}
}

// A found is a record that may be used.
type found[V any] struct {
	kind  foundKind
	value V
	age   time.Duration
	rest  time.Duration // of its TTL; Forever: no end
	keep  time.Duration // past that it may be given
}

type foundKind uint8

const (
	foundNothing foundKind = iota
	foundValue
	foundMissing // the key has no record
)

// result returns what a load returns for a record that was taken.
func (f *found[V]) result() (v V, err error) {
	switch {
	case f.kind == foundMissing:
		return v, ErrNotFound
	case f.rest <= 0:
		return v, &storedStale[V]{value: f.value, age: f.age, has: true}
	}
	return f.value, nil
}

// loaded returns what a load of several keys returns for a record that was taken by l.
func (f *found[V]) loaded(l interface{ storeTTL() time.Duration }) (r hook.Loaded[V]) {
	r.Value, r.Err = f.result()
	r.TTL, r.HasTTL = l.storeTTL(), true
	return r
}

// found returns the record that r has at i.
func (s *second[K, V]) found(r *secondRead, i int) *found[V] {
	f := new(found[V])
	data := r.reading.Stored[i].Data
	if data == nil {
		return f
	}
	err := s.decode(f, r, r.names[i], data)
	if err != nil {
		s.cache.counters.secondRejected.Add(1)
		return new(found[V])
	}
	return f
}

var (
	errOtherCodec = errors.New("cache: the record has another codec")
	errOutdated   = errors.New("cache: a tag of the record was invalidated")
)

func (s *second[K, V]) decode(f *found[V], r *secondRead, name string, data []byte) error {
	if len(data) > s.MaxRecord {
		return errTooLarge
	}
	e, err := envelope.Decode(name, data)
	switch {
	case err != nil:
		return err
	case r.view.blocks(e.Tags) || !s.log.believes(e.Version, e.Tags):
		return errOutdated
	case e.NotFound:
		f.kind = foundMissing
	case e.Codec != s.codecName:
		return errOtherCodec
	default:
		f.kind = foundValue
		if f.value, err = codec.Decode(s.Codec, e.Value); err != nil {
			return err
		}
	}
	now := storageClock{r.reading.Now, r.came}.micros()
	age := min(max(0, now-e.StoredAt), int64(longest/time.Microsecond)) // a clock may show anything
	f.age = time.Duration(age) * time.Microsecond
	f.rest = Forever
	if e.TTL > 0 {
		f.rest = e.TTL - f.age
	}
	f.keep = min(e.StaleFor, s.cache.staleFor)
	return nil
}

// take makes the record f the result of g's load, if it is fresh, and makes it the stale value of
// the key, if it is stale. It returns false if neither can be done, or if there is a newer entry.
func (s *second[K, V]) take(g *grant[K, V], f *found[V]) bool {
	return s.takeFresh(g, f) || s.takeStale(g, f, nil)
}

// takeAfter does what take does, after the fetch function has failed with err.
func (s *second[K, V]) takeAfter(g *grant[K, V], f *found[V], err error) bool {
	taken := s.takeFresh(g, f) || s.takeStale(g, f, err)
	if taken {
		s.cache.counters.loadErrors.Add(1)
	}
	return taken
}

func (s *second[K, V]) takeFresh(g *grant[K, V], f *found[V]) bool {
	c := s.cache
	if f.kind == foundNothing || f.rest <= 0 || g.always ||
		f.kind == foundMissing && c.notFoundTTL == 0 {
		return false
	}
	now := c.clock.now()
	storedAt, expires := now-int64(f.age), int64(never)
	if f.rest != Forever {
		expires = addTime(now, f.rest)
	}
	if e := g.load.replacement().replaced(); e != nil && e.kind() >= lived {
		switch age := c.age(e); {
		case g.load.refreshes():
			if f.age+s.slack() >= age ||
				c.refreshAt > 0 && c.refreshTime(storedAt, expires, refreshJitter) <= now {
				return false
			}
		case f.age > age+s.slack():
			return false
		}
	}
	g.taken, g.storedAt = true, storedAt
	g.load.ttl.Store(int64(f.rest))
	c.counters.secondHits.Add(1)
	return true
}

// takeStale makes the record f the stale entry of the key of g's load, which is not registered any
// more then. If failure is not nil, it is that of the load.
func (s *second[K, V]) takeStale(g *grant[K, V], f *found[V], failure error) bool {
	c, l := s.cache, g.load
	if f.kind != foundValue || f.rest > 0 || f.rest <= -f.keep || g.always || l.refreshes() {
		return false
	}
	if e := l.replacement().replaced(); e != nil && c.age(e) <= f.age+s.slack() {
		return false
	}
	weight, tags := c.weigh(l.key, f.value), c.tagsFor(l.key, f.value)
	if c.maxWeight > 0 && int64(weight) > c.maxWeight {
		return false
	}
	now := c.clock.now()
	e := c.entryUntil(
		l.hash, l.key, f.value, weight, now-int64(f.age), now+int64(f.rest), len(tags) > 0,
	)
	if failure != nil {
		c.noteFailure(e, failure, c.staleRetry)
	}
	shard, _ := c.shardOf(l.key)
	var p placed[K, V]
	shard.mu.Lock()
	if !shard.loads.has(l) || c.closed.Load() || c.invalidatedSince(l.invalidations, tags) {
		shard.mu.Unlock()
		return false
	}
	shard.supersede(l.hash, l.key)
	c.put(shard, e, tags, false, &p)
	shard.mu.Unlock()
	c.settle(shard, e, &p)
	c.counters.secondStale.Add(1)
	g.taken = true
	return true
}

// slack bounds the error of the difference between two ages. The clock of the Storage was read at
// some moment of a Read, which took no longer than SoftTimeout, for each of them.
func (s *second[K, V]) slack() time.Duration { return 2 * s.SoftTimeout }

// takePending makes what the user has set, and waits to be written, the result of g's load. What is
// stored is older. The result of another load that waits is not taken: only the Storage knows
// whether another process has deleted the key since.
func (s *second[K, V]) takePending(g *grant[K, V], op *pendingOp[K, V]) bool {
	c := s.cache
	if op.kind != opWrite || op.fence != "" || g.always || g.load.refreshes() ||
		c.expired(op.entry) || c.invalidatedSince(op.invalidations, op.tags) {
		return false
	}
	now, rest := c.clock.now(), Forever
	if expires := op.entry.expiry(); expires != never {
		rest = max(1, time.Duration(expires-now))
	}
	g.taken, g.storedAt = true, now-int64(max(0, c.age(op.entry)))
	g.load.ttl.Store(int64(rest))
	c.counters.secondHits.Add(1)
	return true
}

// storeTTL returns the TTL of l's result.
func (l *load[K, V]) storeTTL() time.Duration { return time.Duration(l.ttl.Load()) }

// takenEntry makes the entry of l's result, which is a record of the second level. It is as old as
// the record.
func (c *Cache[K, V]) takenEntry(l *load[K, V], r *loaded[V]) *entry[K, V] {
	expires := int64(never)
	if r.ttl != Forever {
		expires = addTime(c.clock.now(), r.ttl)
	} else if !c.lives && len(r.tags) == 0 {
		return c.newEntry(l.hash, l.key, r.value, r.weight, Forever, nil)
	}
	storedAt := l.grant().storedAt
	e := c.entryUntil(l.hash, l.key, r.value, r.weight, storedAt, expires, len(r.tags) > 0)
	if c.refreshAt > 0 {
		e.lived().refreshAt.Store(c.firstRefresh(storedAt, expires))
	}
	return e
}

// A storedStale is the error of a load that has found a stale value in the second level. That is
// the stale entry of the key by then, so the callers come again, and wait for the next load no
// longer than for that of any stale value. has is false for the other keys of a batch.
type storedStale[V any] struct { //nolint:errname // it carries a value
	value V
	age   time.Duration
	has   bool
}

// Error returns why the value may be stale.
func (*storedStale[V]) Error() string { return "cache: the second level has only a stale value" }

func (*storedStale[V]) comeAgain() {}

// comesAgain reports whether err is a storedStale.
func comesAgain(err error) bool {
	return err != nil && errors.As(err, new(interface {
		error
		comeAgain()
	}))
}
