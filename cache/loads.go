package cache

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"
)

// A load is one call of a fetch function. While it is registered in its shard's loads,
// its result may be stored.
type load[K comparable, V any] struct {
	loadState
	key           K
	hash          uint32
	invalidations uint32      // of tags, so far, when the load began
	next          *load[K, V] // in the chain
}

// A loadState holds the state that a load and its context share.
type loadState struct {
	ctx      context.Context // the flight's
	ttl      atomic.Int64    // a time.Duration, set by StoreFor; 0 or less: not stored
	replaces any             // a *replacement, or nil; does not change
	second   any             // a *grant, if there is a second level; only the load's function sets it
}

// A replacement holds the entry that a load is to replace.
type replacement[K comparable, V any] struct {
	// entry is cleared at the end of the load, so that a context which is kept does not
	// keep it.
	entry      atomic.Pointer[entry[K, V]]
	fresh      bool        // the entry was fresh when the load began: the load is a refresh
	supersedes bool        // the load has superseded another one, whose callers may still wait
	unwatch    func() bool // see watch
}

// replacement returns l's replacement, or nil.
func (l *load[K, V]) replacement() *replacement[K, V] {
	r, _ := l.replaces.(*replacement[K, V])
	return r
}

// replaced returns the entry that is to be replaced, or nil if there is none or the load has
// ended.
func (r *replacement[K, V]) replaced() *entry[K, V] {
	if r == nil {
		return nil
	}
	return r.entry.Load()
}

// refreshes reports whether l replaces a fresh entry.
func (l *load[K, V]) refreshes() bool {
	r := l.replacement()
	return r != nil && r.fresh
}

// A loadContext is the context that a fetch function gets. It may be printed, or
// compared by reflection, while the load changes its state, which would be a data
// race. So its one field, a *loadState, has a type that packages fmt and reflect do not
// follow. It is as large as a pointer, so converting it to an interface allocates nothing.
type loadContext struct{ state unsafe.Pointer }

type loadKey struct{}

func (c loadContext) load() *loadState { return (*loadState)(c.state) }

func (c *Cache[K, V]) newLoad(hash uint32, key K) *load[K, V] {
	l := new(load[K, V])
	c.initLoad(l, hash, key)
	return l
}

// initLoad does what newLoad does, for a load that was allocated with others.
func (c *Cache[K, V]) initLoad(l *load[K, V], hash uint32, key K) {
	l.key, l.hash = key, hash
	l.ttl.Store(int64(c.ttl))
}

// Deadline returns that of the flight's context.
func (c loadContext) Deadline() (time.Time, bool) { return c.load().ctx.Deadline() }

// Done returns that of the flight's context.
func (c loadContext) Done() <-chan struct{} { return c.load().ctx.Done() }

// Err returns that of the flight's context.
func (c loadContext) Err() error { return c.load().ctx.Err() }

// Value returns the loadState for a loadKey, in any context derived from c, and the
// flight's values otherwise.
func (c loadContext) Value(key any) any {
	if key == (loadKey{}) {
		return c.load()
	}
	return c.load().ctx.Value(key)
}

// AfterFunc calls that of the flight's context. Package context uses it instead of a goroutine
// when a context is derived from c.
func (c loadContext) AfterFunc(f func()) (stop func() bool) {
	return context.AfterFunc(c.load().ctx, f)
}

// String returns the text for c in the String of a derived context.
func (c loadContext) String() string { return fmt.Sprint(c.load().ctx) + ".Load" }

// GoString makes %#v print the same as String, instead of the pointer.
func (c loadContext) GoString() string { return c.String() }

// loads holds the loads under way whose result may be stored, at most one per key. It is
// a hash table whose chains go through the loads, so that registering one allocates
// nothing, and that reuses the hash of the shard. The shard's lock guards it.
type loads[K comparable, V any] struct {
	chains []*load[K, V] // a power of two, or none
	n      int
}

// chain returns the head of the chain for hash.
func (t *loads[K, V]) chain(hash uint32) **load[K, V] {
	return &t.chains[int(hash>>hashReserved)&(len(t.chains)-1)]
}

// has reports whether l is registered.
func (t *loads[K, V]) has(l *load[K, V]) bool { return t.get(l.hash, l.key) == l }

// get returns key's load, or nil.
func (t *loads[K, V]) get(hash uint32, key K) *load[K, V] {
	if t.n == 0 {
		return nil
	}
	for at := *t.chain(hash); at != nil; at = at.next {
		if at.key == key {
			return at
		}
	}
	return nil
}

// put makes l the load of its key.
func (t *loads[K, V]) put(l *load[K, V]) {
	t.remove(l.hash, l.key)
	if t.n >= len(t.chains) {
		t.resize(max(1, 2*len(t.chains)))
	}
	at := t.chain(l.hash)
	l.next = *at
	*at = l
	t.n++
}

// remove unregisters key's load, if any. It releases a large table once that is empty.
func (t *loads[K, V]) remove(hash uint32, key K) {
	if t.n == 0 {
		return
	}
	for at := t.chain(hash); *at != nil; at = &(*at).next {
		if l := *at; l.key == key {
			*at, l.next = l.next, nil
			t.n--
			if t.n == 0 && len(t.chains) >= minShrinkSize {
				t.chains = nil
			}
			return
		}
	}
}

// resize changes the number of chains.
func (t *loads[K, V]) resize(chains int) {
	old := t.chains
	t.chains = make([]*load[K, V], chains)
	for _, l := range old {
		for l != nil {
			next := l.next
			at := t.chain(l.hash)
			l.next, *at = *at, l
			l = next
		}
	}
}

// clear unregisters all loads.
func (t *loads[K, V]) clear() { *t = loads[K, V]{} }
