package cache

import (
	"context"
	"sync/atomic"
)

// A load is one call of a fetch function.
type load[K comparable] struct {
	loadContext
	key  K
	hash uint32
	next *load[K] // of the same chain of loads
}

// A loadContext is the context of a load, and what its function has said about
// its result.
type loadContext struct {
	context.Context
	keep atomic.Int64 // a TTL; negative: do not store
}

type loadKey struct{}

// Value finds the loadContext itself in any context derived from its own.
func (l *loadContext) Value(key any) any {
	if key == (loadKey{}) {
		return l
	}
	return l.Context.Value(key)
}

// AfterFunc passes on what the flight's context has and embedding hides. See
// package context.
func (l *loadContext) AfterFunc(f func()) (stop func() bool) {
	return context.AfterFunc(l.Context, f)
}

// loads are the loads under way whose result may be stored, one per key at most.
// It is a hash table with chains through the loads, which costs no allocation
// and needs no hash of its own. The shard's lock guards it.
type loads[K comparable] struct {
	chains []*load[K] // a power of two, or none
	n      int
}

// chain is where a load of hash is, or would be.
func (t *loads[K]) chain(hash uint32) **load[K] {
	return &t.chains[int(hash>>hashSpare)&(len(t.chains)-1)]
}

// has reports whether l is in.
func (t *loads[K]) has(l *load[K]) bool {
	if t.n == 0 {
		return false
	}
	for at := *t.chain(l.hash); at != nil; at = at.next {
		if at == l {
			return true
		}
	}
	return false
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

// remove has key have no load. A table that was large once is given up when it
// is empty.
func (t *loads[K]) remove(hash uint32, key K) {
	if t.n == 0 {
		return
	}
	for at := t.chain(hash); *at != nil; at = &(*at).next {
		if l := *at; l.key == key {
			*at, l.next = l.next, nil
			t.n--
			if t.n == 0 && len(t.chains) >= tablesKept {
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

// clear has no key have a load.
func (t *loads[K]) clear() { *t = loads[K]{} }
