package main

import (
	"strings"

	"github.com/Yiling-J/theine-go"
	"github.com/dgraph-io/ristretto/v2"
	"github.com/hashicorp/golang-lru/arc/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"
	"github.com/snowfence/snowfence/cache"
)

// A policy is a library with an eviction policy.
type policy struct {
	name   string
	replay func(ids []uint32, capacity int) (hits int, err error)
}

var policies = []policy{
	{"belady", func(ids []uint32, capacity int) (int, error) { return belady(ids, capacity), nil }},
	{"snowfence", snowfence(cache.Adaptive)},
	{"snowfence LRU", snowfence(cache.LRU)},
	{"snowfence TinyLFU", snowfence(cache.TinyLFU)},
	{"otter", func(ids []uint32, capacity int) (int, error) { return otterWith(nil, ids, capacity) }},
	{"otter at once", func(ids []uint32, capacity int) (int,
		error) {
		return otterWith(func(f func()) { f() }, ids, capacity)
	}},
	{"theine", replayTheine},
	{"ristretto", replayRistretto},
	{"golang-lru", replayLRU},
	{"golang-lru 2Q", replay2Q},
	{"golang-lru ARC", replayARC},
}

func policyNames() string {
	names := make([]string, len(policies))
	for i, p := range policies {
		names[i] = p.name
	}
	return strings.Join(names, ",")
}

// A cacher is a cache under test.
type cacher interface {
	Get(id uint32) (struct{}, bool)
}

// count replays ids against a cache, and returns the number of hits.
func count(ids []uint32, c cacher, set func(uint32)) (hits int) {
	for _, id := range ids {
		if _, ok := c.Get(id); ok {
			hits++
		} else {
			set(id)
		}
	}
	return hits
}

func snowfence(p cache.Policy) func(ids []uint32, capacity int) (int, error) {
	return func(ids []uint32, capacity int) (int, error) {
		c, err := cache.New(cache.Options[uint32, struct{}]{Capacity: capacity, Policy: p})
		if err != nil {
			return 0, err
		}
		return count(ids, c, func(id uint32) { c.Set(id, struct{}{}) }), c.Close()
	}
}

// otterCache adapts the name of otter's lookup.
type otterCache struct {
	*otter.Cache[uint32, struct{}]
}

func (c otterCache) Get(id uint32) (struct{}, bool) { return c.GetIfPresent(id) }

func otterWith(executor func(func()), ids []uint32, capacity int) (int, error) {
	c, err := otter.New(&otter.Options[uint32, struct{}]{MaximumSize: capacity, Executor: executor})
	if err != nil {
		return 0, err
	}
	defer c.StopAllGoroutines()
	return count(ids, otterCache{c}, func(id uint32) { c.Set(id, struct{}{}) }), nil
}

// A waiting cache inserts in the background, and has a method that waits for that.
type waiting interface {
	cacher
	Set(id uint32, value struct{}, cost int64) bool
	Wait()
}

// countWaiting waits after each insertion.
func countWaiting(ids []uint32, c waiting) int {
	return count(ids, c, func(id uint32) {
		c.Set(id, struct{}{}, 1)
		c.Wait()
	})
}

func replayTheine(ids []uint32, capacity int) (int, error) {
	c, err := theine.NewBuilder[uint32, struct{}](int64(capacity)).Build()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return countWaiting(ids, c), nil
}

func replayRistretto(ids []uint32, capacity int) (int, error) {
	c, err := ristretto.NewCache(&ristretto.Config[uint32, struct{}]{
		NumCounters: 10 * int64(capacity), MaxCost: int64(capacity), BufferItems: 64,
		IgnoreInternalCost: true,
	})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return countWaiting(ids, c), nil
}

func replayLRU(ids []uint32, capacity int) (int, error) {
	c, err := lru.New[uint32, struct{}](capacity)
	if err != nil {
		return 0, err
	}
	return count(ids, c, func(id uint32) { c.Add(id, struct{}{}) }), nil
}

func replay2Q(ids []uint32, capacity int) (int, error) {
	c, err := lru.New2Q[uint32, struct{}](max(capacity, 4)) // the least capacity
	if err != nil {
		return 0, err
	}
	return count(ids, c, func(id uint32) { c.Add(id, struct{}{}) }), nil
}

func replayARC(ids []uint32, capacity int) (int, error) {
	c, err := arc.NewARC[uint32, struct{}](capacity)
	if err != nil {
		return 0, err
	}
	return count(ids, c, func(id uint32) { c.Add(id, struct{}{}) }), nil
}
