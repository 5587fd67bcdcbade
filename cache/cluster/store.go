package cluster

import (
	"container/list"
	"sync"
	"sync/atomic"
)

// Get returns the fresh value of key if this node has one, own or copy. It does not block.
func (c *Cache[V]) Get(key string) (V, bool) {
	if c.closed.Load() {
		return *new(V), false
	}
	return c.store.Get(key)
}

// drop removes key, and forgets loads of it that are under way, so that they store nothing.
func (c *Cache[V]) drop(key string) { c.store.Delete(key) }

// dropTag removes all values that bear tag, and forgets loads under way as drop does. Without
// Options.Cache.Tags nobody knows which values bear it, so dropTag removes all.
func (c *Cache[V]) dropTag(tag string) {
	c.tagDrops.Add(1) // first: see interpret
	if c.o.Cache.Tags == nil {
		c.store.Clear()
	} else {
		c.store.InvalidateTag(tag)
	}
}

// dropAll removes everything.
func (c *Cache[V]) dropAll() { c.store.Clear() }

// hasEntry reports whether there is an entry of key, fresh or stale.
func (c *Cache[V]) hasEntry(key string) bool {
	_, ok := c.entries.Weight(key)
	return ok
}

// ownershipLost is called when this node has lost the ownership of key. An entry becomes a copy.
func (c *Cache[V]) ownershipLost(key string) { c.entries.Shorten(key, c.o.CopyTTL) }

// entryChanged is called after an entry was stored or removed.
func (c *Cache[V]) entryChanged(key string) {
	c.owners.Changed(key)
	weight, kept := c.entries.Weight(key)
	switch {
	case !kept:
		c.copies.remove(key, c.hasEntry) // it may be back
	case c.owners.Owner(key) == c.self:
		c.copies.remove(key, nil)
	default:
		c.copies.add(key, weight, c.hasEntry)
		for oldest, ok := c.copies.excess(); ok; oldest, ok = c.copies.excess() {
			if c.owners.Owner(oldest) != c.self {
				c.entries.Evict(oldest)
			}
		}
	}
}

// copies holds the entries of keys that other nodes own, in the order in which they came. They are
// bounded, so that they leave room for own entries.
type copies struct {
	capacity  int // 0: no bound
	maxWeight uint64

	n      atomic.Int64 // len(byKey), read without a lock
	mu     sync.Mutex   // guards what follows; no other lock is taken under it
	byKey  map[string]*list.Element
	order  list.List // of copyOf; the oldest is first
	weight uint64
}

type copyOf struct {
	key    string
	weight uint32
}

// add notes a copy as the newest one, if it is still in the store.
func (c *copies) add(key string, weight uint32, kept func(string) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removeLocked(key)
	if !kept(key) {
		return // its removal came before and had nothing to take out
	}
	if c.byKey == nil {
		c.byKey = make(map[string]*list.Element)
	}
	c.byKey[key] = c.order.PushBack(copyOf{key, weight})
	c.weight += uint64(weight)
	c.n.Add(1)
}

// remove takes key out, unless keep returns true for it. keep may be nil.
func (c *copies) remove(key string, keep func(string) bool) {
	if c.n.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if keep == nil || !keep(key) {
		c.removeLocked(key)
	}
}

// removeLocked takes key out. mu is held.
func (c *copies) removeLocked(key string) {
	if at, ok := c.byKey[key]; ok {
		//nolint:errcheck,forcetypeassert // there is nothing else
		c.weight -= uint64(c.order.Remove(at).(copyOf).weight)
		delete(c.byKey, key)
		c.n.Add(-1)
	}
}

// excess takes out the oldest copy if there are too many, and returns its key.
func (c *copies) excess() (key string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if (c.capacity == 0 || len(c.byKey) <= c.capacity) &&
		(c.maxWeight == 0 || c.weight <= c.maxWeight) {
		return "", false
	}
	oldest := c.order.Front()
	if oldest == nil {
		return "", false
	}
	key = oldest.Value.(copyOf).key //nolint:errcheck,forcetypeassert // as above
	c.removeLocked(key)
	return key, true
}

// asking holds the keys that this node asks peers for at the moment.
//
// A node that serves another one must not wait for such a request: if ownership changes at that
// moment, the two nodes could wait for each other for ever. So serve refuses a key that is in
// asking. This suffices, since a key is in asking before its request is sent, and serve looks
// before it waits for a flight. Suppose there were a circle, in which each node's request waits for
// a flight of the next node, which waits for a request itself. Each node looked before its own
// request was in asking, and after the request of the node that it serves was. So each request
// would be older than the next one, and one of them older than itself.
type asking struct {
	mu      sync.Mutex     // guards what follows
	keys    map[string]int // in requests for one key: how many requests
	batches map[*askedKeys]struct{}
}

// askedKeys holds the keys of a batch. The set is made on the first look, since few batches meet
// one.
type askedKeys struct {
	keys []string
	set  map[string]struct{} // nil before the first call of has
}

func (a *asking) begin(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.keys == nil {
		a.keys = make(map[string]int)
	}
	a.keys[key]++
}

func (a *asking) end(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := a.keys[key]; n > 1 {
		a.keys[key] = n - 1
	} else {
		delete(a.keys, key)
	}
}

// beginMany does for the keys of a batch what begin does for one. They must not change until end is
// called.
func (a *asking) beginMany(keys []string) (end func()) {
	b := &askedKeys{keys: keys}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.batches == nil {
		a.batches = make(map[*askedKeys]struct{})
	}
	a.batches[b] = struct{}{}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.batches, b)
	}
}

func (a *asking) has(key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.keys[key] > 0 {
		return true
	}
	for b := range a.batches {
		if b.set == nil {
			b.set = make(map[string]struct{}, len(b.keys))
			for _, key := range b.keys {
				b.set[key] = struct{}{}
			}
		}
		if _, ok := b.set[key]; ok {
			return true
		}
	}
	return false
}
