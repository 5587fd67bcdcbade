package memory

import (
	"fmt"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/golang-lru/v2/expirable"

	"github.com/snowfence/snowfence/cache"
)

// A store is a cache under test.
type store interface {
	get(key int) bool
	set(key int, value []byte)
	del(key int)
	size() int
	close() error
}

func newStore(j *Job) (store, error) {
	switch j.Store {
	case Map:
		return &mapStore{entries: make(map[int][]byte), most: j.Params.Entries}, nil
	case GolangLRU:
		c, err := lru.New[int, []byte](j.Params.Entries)
		return &lruStore{c}, err
	case Expirable:
		return &lruStore{expirable.NewLRU[int, []byte](j.Params.Entries, nil, j.TTL)}, nil
	case Uncompacted, Snowfence, Shedding:
		o := cache.Options[int, []byte]{Capacity: j.Params.Entries, TTL: j.TTL,
			NoCompaction: j.Store == Uncompacted}
		if j.Store == Shedding {
			o.ShedAbove = 0.8
		}
		c, err := cache.New(o)
		return &cacheStore{c}, err
	default:
		return nil, fmt.Errorf("memory: no such store: %q", j.Store)
	}
}

// mapStore is a map behind a lock that evicts the oldest entry, as services have it before they use
// a cache.
type mapStore struct {
	mu      sync.Mutex // guards the following
	entries map[int][]byte
	most    int
	oldest  int // keys are set in order
}

func (s *mapStore) get(key int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.entries[key]
	return ok
}

func (s *mapStore) set(key int, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[key] = value
	for len(s.entries) > s.most {
		delete(s.entries, s.oldest)
		s.oldest++
	}
}

func (s *mapStore) del(key int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, key)
}

func (s *mapStore) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.entries)
}

func (s *mapStore) close() error { return nil }

// lruStore wraps one of golang-lru's caches. The expirable one has a goroutine that can't be
// stopped; it ends with the process.
type lruStore struct {
	c interface {
		Get(key int) ([]byte, bool)
		Add(key int, value []byte) (evicted bool)
		Remove(key int) bool
		Len() int
	}
}

func (s *lruStore) get(key int) bool          { _, ok := s.c.Get(key); return ok }
func (s *lruStore) set(key int, value []byte) { s.c.Add(key, value) }
func (s *lruStore) del(key int)               { s.c.Remove(key) }
func (s *lruStore) size() int                 { return s.c.Len() }
func (s *lruStore) close() error              { return nil }

type cacheStore struct{ c *cache.Cache[int, []byte] }

func (s *cacheStore) get(key int) bool          { _, ok := s.c.Get(key); return ok }
func (s *cacheStore) set(key int, value []byte) { s.c.Set(key, value) }
func (s *cacheStore) del(key int)               { s.c.Delete(key) }
func (s *cacheStore) size() int                 { return s.c.Len() }
func (s *cacheStore) close() error              { return s.c.Close() }
