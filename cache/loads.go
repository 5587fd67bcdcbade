package cache

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"
)

// A load is one call of a fetch function, from when its result may be stored.
type load[K comparable] struct {
	loadState
	key  K
	hash uint32
	next *load[K] // of the same chain of loads
}

// A loadState is what a load and its context share.
type loadState struct {
	ctx context.Context // the flight's
	ttl atomic.Int64    // a time.Duration, by StoreFor; 0 or less: not stored
}

// A loadContext is the context that a fetch function gets. Whoever prints it, or
// compares it by reflection, while the load runs must not come upon what changes: so
// its one field, a *loadState, is of a type that fmt and package reflect do not
// follow. It is as large as a pointer, and so costs no allocation.
type loadContext struct{ state unsafe.Pointer }

type loadKey struct{}

func (c loadContext) load() *loadState { return (*loadState)(c.state) }

// Deadline is the flight's.
func (c loadContext) Deadline() (time.Time, bool) { return c.load().ctx.Deadline() }

// Done is the flight's.
func (c loadContext) Done() <-chan struct{} { return c.load().ctx.Done() }

// Err is the flight's.
func (c loadContext) Err() error { return c.load().ctx.Err() }

// Value finds the loadState in any context derived from c.
func (c loadContext) Value(key any) any {
	if key == (loadKey{}) {
		return c.load()
	}
	return c.load().ctx.Value(key)
}

// AfterFunc is what package context looks for in a context that is not its own: with
// it, a derived context costs no goroutine.
func (c loadContext) AfterFunc(f func()) (stop func() bool) {
	return context.AfterFunc(c.load().ctx, f)
}

// String is what a context derived from this one prints for it.
func (c loadContext) String() string { return fmt.Sprint(c.load().ctx) + ".Load" }

// GoString is what %#v prints.
func (c loadContext) GoString() string { return c.String() }

// loads are the loads under way whose result may be stored, one per key at most.
// It is a hash table with chains through the loads, which costs no allocation
// and needs no hash of its own. The shard's lock guards it.
type loads[K comparable] struct {
	chains []*load[K] // a power of two, or none
	n      int
}

// chain is where a load of hash is, or would be.
func (t *loads[K]) chain(hash uint32) **load[K] {
	return &t.chains[int(hash>>hashReserved)&(len(t.chains)-1)]
}

// has reports whether l is registered.
func (t *loads[K]) has(l *load[K]) bool { return t.get(l.hash, l.key) == l }

// get returns key's load, or nil.
func (t *loads[K]) get(hash uint32, key K) *load[K] {
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
func (t *loads[K]) put(l *load[K]) {
	t.remove(l.hash, l.key)
	if t.n >= len(t.chains) {
		t.resize(max(1, 2*len(t.chains)))
	}
	at := t.chain(l.hash)
	l.next = *at
	*at = l
	t.n++
}

// remove unregisters key's load, if any. A table that was large once is given up when it
// is empty.
func (t *loads[K]) remove(hash uint32, key K) {
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

// resize gives the table that many chains.
func (t *loads[K]) resize(chains int) {
	old := t.chains
	t.chains = make([]*load[K], chains)
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
func (t *loads[K]) clear() { *t = loads[K]{} }
