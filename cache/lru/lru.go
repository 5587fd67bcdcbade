package lru

import (
	"fmt"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/internal/hook"
)

// A Cache is an LRU of a fixed size. Make one with [New] or [NewWithEvict]. All methods are safe
// for concurrent use. It has the methods of golang-lru and, besides, those of the cache.Cache in
// it, such as Fetch, FetchMany, Update and Stats. It has no goroutine while no load is under way,
// unless SetTTL or Touch gave an entry a TTL, so it need not be closed.
type Cache[K comparable, V any] struct {
	*cache.Cache[K, V]
	order hook.Order[K, V]
}

// New makes a Cache of that many entries. It returns an error if size is less than 1.
func New[K comparable, V any](size int) (*Cache[K, V], error) {
	return NewWithEvict[K, V](size, nil)
}

// NewWithEvict makes a Cache that calls onEvicted, unless it is nil, for each entry that left it:
// that was evicted or removed, but not for a value that was replaced. The calls are made by the
// goroutine that removed the entry, without locks, before the method that did so returns; those of
// several goroutines at the same time. So onEvicted may use the cache. It returns an error if size
// is less than 1.
func NewWithEvict[K comparable, V any](
	size int, onEvicted func(key K, value V),
) (*Cache[K, V], error) {
	if size < 1 {
		return nil, fmt.Errorf("lru: size: %d: want 1 or more", size)
	}
	c, err := cache.New(cache.Options[K, V]{Capacity: size, Policy: cache.StrictLRU})
	if err != nil {
		return nil, err
	}
	order := hook.OrderOf[K, V](c)
	if onEvicted != nil {
		order.OnRemoval(onEvicted)
	}
	return &Cache[K, V]{c, order}, nil
}

// Add stores value for key and makes it the newest. It reports whether another entry was evicted
// for it. A load of key that is under way does not overwrite value.
func (c *Cache[K, V]) Add(key K, value V) (evicted bool) { return c.order.Add(key, value) }

// ContainsOrAdd does what Add does if there is no value for key. It reports whether there was one,
// which does not count as used, and whether another entry was evicted.
func (c *Cache[K, V]) ContainsOrAdd(key K, value V) (ok, evicted bool) {
	_, ok, evicted = c.order.AddIfAbsent(key, value)
	return ok, evicted
}

// PeekOrAdd does what ContainsOrAdd does, and also returns the value that was there.
func (c *Cache[K, V]) PeekOrAdd(key K, value V) (previous V, ok, evicted bool) {
	return c.order.AddIfAbsent(key, value)
}

// Peek returns the value of key, if there is one, which does not count as used. It does not block.
func (c *Cache[K, V]) Peek(key K) (value V, ok bool) {
	value, _, ok = c.Cache.Peek(key)
	return value, ok
}

// Remove removes key, and reports whether it was there. A load of key that is under way does not
// store its result.
func (c *Cache[K, V]) Remove(key K) (present bool) { return c.Delete(key) }

// RemoveOldest removes and returns the oldest entry, if there is any: the one that was not used for
// the longest time.
func (c *Cache[K, V]) RemoveOldest() (key K, value V, ok bool) { return c.order.RemoveOldest() }

// GetOldest returns the oldest entry, if there is any. It does not count as used.
func (c *Cache[K, V]) GetOldest() (key K, value V, ok bool) { return c.order.Oldest() }

// Keys returns the keys, from the oldest to the newest.
func (c *Cache[K, V]) Keys() []K {
	keys := make([]K, 0, c.Len())
	c.order.Each(func(key K, _ V) { keys = append(keys, key) })
	return keys
}

// Values returns the values, from the oldest to the newest.
func (c *Cache[K, V]) Values() []V {
	values := make([]V, 0, c.Len())
	c.order.Each(func(_ K, value V) { values = append(values, value) })
	return values
}

// Cap returns the size.
func (c *Cache[K, V]) Cap() int { return c.order.Capacity() }

// Resize changes the size and returns the number of entries that were evicted, the oldest first. A
// size of less than 1 evicts all entries, and the size is 1 then.
func (c *Cache[K, V]) Resize(size int) (evicted int) {
	return c.order.Resize(size)
}

// Purge removes all entries. Loads that are under way do not store their results.
func (c *Cache[K, V]) Purge() { c.Clear() }
