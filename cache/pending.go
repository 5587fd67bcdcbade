package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	// storageBatch bounds the records of a call of Write, and the keys of one of Delete.
	storageBatch = 256

	// The pause after a call that has failed, which doubles up to the longest.
	shortestRetry = 50 * time.Millisecond
	longestRetry  = time.Second

	// deletesPerWrite is the number of deletes that may be pending for each value that may be. A
	// delete takes less memory, and too many end in one of everything.
	deletesPerWrite = 16
)

// A pendingOp is what the second level is to be asked for a key: to store a value, or that the key
// has no record, or to delete it.
type pendingOp[K comparable, V any] struct {
	key           string
	id            K // the key of the cache, for confirmed
	kind          opKind
	seq           uint64 // by age
	first         uint64 // the seq of the oldest change of the key that was not confirmed
	sent          bool   // a call is under way
	late          bool   // confirmed is to be called
	entry         *entry[K, V]
	tags          []string      // of entry
	invalidations uint32        // of tags by this cache, so far, when entry was set
	fence         string        // empty: to be stored in any case
	version       uint64        // of the log, before the load began
	stored        int64         // when, in µs by the clock of the Storage
	ttl           time.Duration // of a missing record
}

type opKind uint8

const (
	opDelete opKind = iota
	opWrite
	opMissing
)

// pending holds what the second level is to be asked for, the newest for each key. A goroutine
// that starts on demand asks it. Until the second level has confirmed a delete, what it has stored
// is not believed here.
type pending[K comparable, V any] struct {
	most    int // keys with values, and as many tags
	send    func(context.Context, *pendingBatch[K, V]) error
	dropped func(n int) // counts records that are not written
	life    context.Context

	// confirmed, if not nil, is called when a delete was confirmed for which await has not waited
	// until then. Tag "" stands for everything.
	confirmed func(keys []K, tags []string)

	// mu guards the following. It is held for short times only, and taken with the lock of a shard
	// held, so that the operations of a key have the order in which the cache has changed.
	mu      sync.Mutex
	seq     uint64
	byKey   map[string]*pendingOp[K, V]
	queue   []string              // keys that are to be sent, each once; some may be gone from byKey
	deletes int                   // in byKey
	tags    map[string]pendingTag // that are to be invalidated
	late    map[string]bool       // of tags: confirmed is to be called
	running bool
	closed  bool
	lastErr error
	changed chan struct{} // made by flush, and closed after the next round of the goroutine
	hurry   chan struct{} // made on demand, and closed by hasten
}

// A pendingTag is the invalidation of a tag. The fields are as those of pendingOp.
type pendingTag struct{ seq, first uint64 }

// put adds op, in place of an older one of its key. s.mu of its shard is held.
func (p *pending[K, V]) put(op *pendingOp[K, V]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.putLocked(op)
	p.start()
}

func (p *pending[K, V]) putLocked(op *pendingOp[K, V]) {
	p.seq++
	op.seq, op.first = p.seq, p.seq
	old := p.byKey[op.key]
	if old != nil {
		op.first = old.first
		if op.fence != "" && old.fence == "" { // the user has changed the key since the load began
			p.dropped(1)
			return
		}
	}
	if op.kind != opDelete && (old == nil || old.kind == opDelete) &&
		len(p.byKey)-p.deletes >= p.most {
		p.dropped(1)
		if op.fence != "" { // what is stored is not older than it was
			return
		}
		*op = pendingOp[K, V]{key: op.key, id: op.id, seq: op.seq, first: op.first}
	}
	if op.kind == opDelete && (old == nil || old.kind != opDelete) &&
		p.deletes >= deletesPerWrite*p.most {
		p.invalidateLocked("")
		return
	}
	if p.byKey == nil {
		p.byKey = make(map[string]*pendingOp[K, V])
	}
	p.set(op, old)
	if old == nil || old.sent {
		p.queue = append(p.queue, op.key)
	}
}

// set makes op that of its key, in place of old. mu is held.
func (p *pending[K, V]) set(op, old *pendingOp[K, V]) {
	p.unset(old)
	p.byKey[op.key] = op
	if op.kind == opDelete {
		p.deletes++
	}
}

// unset removes op, if it is not nil. mu is held.
func (p *pending[K, V]) unset(op *pendingOp[K, V]) {
	if op == nil {
		return
	}
	delete(p.byKey, op.key)
	if op.kind == opDelete {
		p.deletes--
	}
}

// invalidate adds a tag that is to be invalidated; "" stands for everything.
func (p *pending[K, V]) invalidate(tag string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.invalidateLocked(tag)
	p.start()
}

func (p *pending[K, V]) invalidateLocked(tag string) {
	if _, ok := p.tags[tag]; !ok && len(p.tags) >= p.most {
		tag = ""
	}
	p.seq++
	first := p.seq
	if old, ok := p.tags[tag]; ok {
		first = old.first
	}
	if tag == "" { // nothing that was asked for before matters any more
		late := len(p.late) > 0
		for _, t := range p.tags {
			first = min(first, t.first)
		}
		for _, op := range p.byKey {
			if op.kind != opDelete {
				p.dropped(1)
			}
			late = late || op.late
			first = min(first, op.first)
		}
		clear(p.byKey)
		clear(p.tags)
		clear(p.late)
		if late {
			p.setLate("")
		}
		p.queue, p.deletes = nil, 0
	}
	if p.tags == nil {
		p.tags = make(map[string]pendingTag)
	}
	p.tags[tag] = pendingTag{p.seq, first}
}

// setLate makes confirmed be called for tag. mu is held.
func (p *pending[K, V]) setLate(tag string) {
	if p.late == nil {
		p.late = make(map[string]bool)
	}
	p.late[tag] = true
}

// await waits until all that is pending now was confirmed, or until ctx ends. Then confirmed will
// be called for those of keys and tags that were not.
func (p *pending[K, V]) await(ctx context.Context, names []string, keys []K, tags []string) bool {
	if p.flush(ctx) == nil {
		return true
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return false
	}
	_, all := p.tags[""]
	var confirmed []K
	var invalidated []string
	for i, name := range names {
		switch op := p.byKey[name]; {
		case op != nil:
			op.late = true
		case all:
			p.setLate("")
		default:
			confirmed = append(confirmed, keys[i])
		}
	}
	for _, tag := range tags {
		switch _, ok := p.tags[tag]; {
		case ok:
			p.setLate(tag)
		case all:
			p.setLate("")
		default:
			invalidated = append(invalidated, tag)
		}
	}
	p.mu.Unlock()
	if len(confirmed)+len(invalidated) > 0 { // meanwhile
		p.confirmed(confirmed, invalidated)
	}
	return false
}

// forgetKey drops the result of a load that waits to be written, since it is outdated.
func (p *pending[K, V]) forgetKey(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if op := p.byKey[name]; op != nil && op.fence != "" {
		p.unset(op)
	}
}

// forget drops the results of loads that wait to be written and for which is returns true.
func (p *pending[K, V]) forget(is func(*pendingOp[K, V]) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, op := range p.byKey {
		if op.fence != "" && is(op) {
			p.unset(op)
		}
	}
}

// A pendingView holds what a load has to know before it reads: what is stored for these tags must
// not be believed.
type pendingView struct {
	all  bool
	tags []string
}

// blocks reports whether a record that bears tags must not be believed.
func (v pendingView) blocks(tags []string) bool {
	return v.all || slices.ContainsFunc(tags, func(tag string) bool {
		return slices.Contains(v.tags, tag)
	})
}

// view returns the tags whose invalidation was not confirmed.
func (p *pending[K, V]) view() (v pendingView) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for tag := range p.tags {
		if tag == "" {
			v.all = true
		}
		v.tags = append(v.tags, tag)
	}
	return v
}

// of returns what is pending for key, or nil.
func (p *pending[K, V]) of(key string) *pendingOp[K, V] {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byKey[key]
}

// len returns the number of keys and tags.
func (p *pending[K, V]) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.byKey) + len(p.tags)
}

// A pendingBatch is sent at once.
type pendingBatch[K comparable, V any] struct {
	tags    map[string]pendingTag
	deletes []*pendingOp[K, V]
	writes  []*pendingOp[K, V]

	// Set by send: what the Storage has confirmed, and those of writes that it was not asked for.
	invalidated, deleted, written bool
	unwritable                    map[*pendingOp[K, V]]bool
}

// start starts the goroutine, unless it runs. mu is held.
func (p *pending[K, V]) start() {
	if p.running || len(p.byKey)+len(p.tags) == 0 {
		return
	}
	p.running = true
	go p.run()
}

// run sends what is pending until there is nothing left, or close was called.
func (p *pending[K, V]) run() {
	retry := time.Duration(0)
	for {
		b, ok := p.take()
		if !ok {
			return
		}
		err := p.send(p.life, &b)
		p.end(&b, err)
		if err == nil {
			retry = 0
			continue
		}
		retry = min(longestRetry, cmp.Or(2*retry, shortestRetry))
		p.pause(retry/2 + rand.N(retry/2)) //nolint:gosec // no secret
	}
}

// pause blocks for d, but while the cache closes no longer than shortestRetry.
func (p *pending[K, V]) pause(d time.Duration) {
	p.mu.Lock()
	if p.hurry == nil {
		p.hurry = make(chan struct{})
	}
	hurry := p.hurry
	p.mu.Unlock()
	long := time.NewTimer(d)
	defer long.Stop()
	short := time.NewTimer(min(d, shortestRetry))
	defer short.Stop()
	select {
	case <-p.life.Done():
		return
	case <-short.C:
	}
	select {
	case <-long.C:
	case <-hurry:
	case <-p.life.Done():
	}
}

// hasten makes pauses short: the cache closes.
func (p *pending[K, V]) hasten() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hurry == nil {
		p.hurry = make(chan struct{})
	}
	close(p.hurry)
}

// take returns what is to be sent next. ok is false if the goroutine is to end.
func (p *pending[K, V]) take() (b pendingBatch[K, V], ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.byKey)+len(p.tags) == 0 || p.life.Err() != nil {
		p.running = false
		p.queue = nil
		p.signal()
		return b, false
	}
	if len(p.tags) > 0 {
		b.tags = maps.Clone(p.tags)
	}
	for len(p.queue) > 0 && len(b.deletes)+len(b.writes) < storageBatch {
		op := p.byKey[p.queue[0]]
		p.queue = p.queue[1:]
		switch {
		case op == nil || op.sent:
			continue
		case op.kind == opDelete:
			b.deletes = append(b.deletes, op)
		default:
			b.writes = append(b.writes, op)
		}
		op.sent = true
	}
	return b, true
}

// end removes what was confirmed. It gives up the writes that have failed, and queues the rest
// again.
func (p *pending[K, V]) end(b *pendingBatch[K, V], err error) {
	var keys []K
	var tags []string
	p.mu.Lock()
	if p.lastErr == nil || !errors.Is(err, errStorageDown) { // which does not say why
		p.lastErr = err
	}
	if b.invalidated {
		for tag, sent := range b.tags {
			if now, ok := p.tags[tag]; !ok || now.seq != sent.seq {
				if ok && tag != "" {
					now.first = max(now.first, sent.seq+1)
					p.tags[tag] = now
				}
				continue
			}
			delete(p.tags, tag)
			if p.late[tag] {
				delete(p.late, tag)
				tags = append(tags, tag)
			}
		}
	}
	for _, op := range b.deletes {
		if b.deleted && op.late {
			keys = append(keys, op.id)
		}
		p.settle(op, b.deleted, true)
	}
	for _, op := range b.writes {
		written := b.written && !b.unwritable[op]
		if !written {
			p.dropped(1)
		}
		p.settle(op, written, op.fence == "")
	}
	p.signal()
	p.mu.Unlock()
	if len(keys)+len(tags) > 0 {
		p.confirmed(keys, tags)
	}
}

// settle removes op, which was sent. If it has failed and deletes is true, a delete takes its
// place: what is stored for the key is older. mu is held.
func (p *pending[K, V]) settle(op *pendingOp[K, V], confirmed, deletes bool) {
	if now := p.byKey[op.key]; now != op { // there is a newer one, if any
		if now != nil && confirmed {
			now.first = max(now.first, op.seq+1)
		}
		return
	}
	p.unset(op)
	if !confirmed && deletes {
		p.set(&pendingOp[K, V]{
			key: op.key, id: op.id, seq: op.seq, first: op.first, late: op.late,
		}, nil)
		p.queue = append(p.queue, op.key)
	}
}

// signal wakes those who flush. mu is held.
func (p *pending[K, V]) signal() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// flush waits until all that is pending now was confirmed or given up, or until ctx ends or close
// is called. A change that was replaced by a newer one is confirmed with that.
func (p *pending[K, V]) flush(ctx context.Context) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return ErrClosed
	}
	target := p.seq
	for {
		left := p.olderThan(target)
		if left == 0 {
			p.mu.Unlock()
			return nil
		}
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed, last := p.changed, p.lastErr
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return &flushError{left, context.Cause(ctx), last}
		}
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return &flushError{left, ErrClosed, last}
		}
	}
}

// olderThan returns the number of keys and tags that were pending when seq was target. mu is held.
func (p *pending[K, V]) olderThan(target uint64) (n int) {
	for _, op := range p.byKey {
		if op.first <= target {
			n++
		}
	}
	for _, tag := range p.tags {
		if tag.first <= target {
			n++
		}
	}
	return n
}

// close drops what is pending, and prevents more. The goroutine ends with life.
func (p *pending[K, V]) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.byKey, p.tags, p.late, p.queue, p.deletes = nil, nil, nil, nil, 0
	p.signal()
}

// A flushError is returned by Flush.
type flushError struct {
	left int   // keys and tags
	end  error // that of the context, or ErrClosed
	last error // of a call of the Storage, or nil
}

func (e *flushError) Error() string {
	text := fmt.Sprintf("cache: %d pending for the second level: %v", e.left, e.end)
	if e.last != nil {
		text += "; its last error: " + e.last.Error()
	}
	return text
}

func (e *flushError) Unwrap() []error {
	if e.last == nil {
		return []error{e.end}
	}
	return []error{e.end, e.last}
}
