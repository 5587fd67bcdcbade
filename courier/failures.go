package courier

import (
	"math/rand/v2"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxFailures bounds the failing keys that are remembered. Beyond it the one
// that failed longest ago is forgotten, and may be tried again too early.
const maxFailures = 10_000

// failures remembers which keys failed lately, how often in a row, and until
// when they rest. It is guarded by the courier's lock.
type failures[K comparable] struct {
	min, max time.Duration
	byKey    *simplelru.LRU[K, *failure]
}

type failure struct {
	BackoffError
	inRow int
}

func newFailures[K comparable](shortest, longest time.Duration) *failures[K] {
	lru, err := simplelru.NewLRU[K, *failure](maxFailures, nil)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &failures[K]{min: shortest, max: longest, byKey: lru}
}

// check returns a *BackoffError while key rests.
func (s *failures[K]) check(key K) error {
	f, ok := s.byKey.Peek(key) // being asked for is not failing
	if !ok || !time.Now().Before(f.Until) {
		return nil
	}
	e := f.BackoffError
	return &e
}

// note has key rest for a time that doubles with each failure in a row, and of
// which half is random so that keys that failed together do not come back
// together. A key that has not failed for the longest rest starts anew.
func (s *failures[K]) note(key K, err error) {
	now := time.Now()
	f, ok := s.byKey.Get(key)
	if !ok || now.After(f.Until.Add(s.max)) {
		f = &failure{}
	}
	f.inRow++
	rest := s.max
	if shift := f.inRow - 1; s.min <= s.max>>shift { // so that min<<shift can't overflow
		rest = s.min << shift
	}
	rest -= rand.N(rest/2 + 1)
	f.BackoffError = BackoffError{Err: err, Until: now.Add(rest)}
	s.byKey.Add(key, f)
}

func (s *failures[K]) forget(key K) { s.byKey.Remove(key) }
func (s *failures[K]) forgetAll()   { s.byKey.Purge() }
func (s *failures[K]) len() int     { return s.byKey.Len() }

// remember notes how a flight ended, where keys back off. A flight that was
// forgotten says nothing about its key any more. c.mu is held, and settle has
// not been called.
func (c *Courier[K, V]) remember(f *flight[K, V], err error) {
	if c.failures == nil || !f.owns {
		return
	}
	if err == nil {
		c.failures.forget(f.key)
	} else {
		c.failures.note(f.key, err)
	}
}
