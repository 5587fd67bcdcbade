package eventlog

import (
	"sync"
	"sync/atomic"
	"time"
)

// Every is the time for which repeats of a line are suppressed.
const Every = 10 * time.Second

// A Limit lets one line pass in each time Every, and counts the others. The zero value lets the
// next one pass. Its methods are safe for concurrent use.
type Limit struct {
	last       atomic.Int64 // when a line passed; 0: none has
	suppressed atomic.Int64 // since
}

// Allow reports whether a line may pass at that time, and how many have been suppressed since the
// last one passed. at is the time since a moment that is the same in all calls.
func (l *Limit) Allow(at time.Duration) (ok bool, suppressed int) {
	now := int64(at) + 1
	if now == 0 {
		now = 1
	}
	for {
		last := l.last.Load()
		if last != 0 && now-last < int64(Every) {
			l.suppressed.Add(1)
			return false, 0
		}
		if l.last.CompareAndSwap(last, now) {
			return true, int(l.suppressed.Swap(0))
		}
	}
}

// Return counts n lines that did not pass after all.
func (l *Limit) Return(n int) { l.suppressed.Add(int64(n)) }

// maxKeys bounds the keys that a Limiter remembers.
const maxKeys = 512

// A Limiter has a Limit for each of many keys. Make one with NewLimiter. Its methods are safe for
// concurrent use.
type Limiter struct {
	now   func() time.Time
	began time.Time

	mu    sync.Mutex // guards byKey
	byKey map[string]*Limit
}

// NewLimiter returns a Limiter that reads the time with now.
func NewLimiter(now func() time.Time) *Limiter {
	return &Limiter{now: now, began: now(), byKey: make(map[string]*Limit)}
}

// Allow reports whether a line with this key may pass, and how many were suppressed since the last
// one. When there are too many keys, all are forgotten.
func (l *Limiter) Allow(key string) (ok bool, suppressed int) {
	at := l.now().Sub(l.began)
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := l.byKey[key]
	if limit == nil {
		if len(l.byKey) >= maxKeys {
			clear(l.byKey)
		}
		limit = new(Limit)
		l.byKey[key] = limit
	}
	return limit.Allow(at)
}
