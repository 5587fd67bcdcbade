package courier

import (
	"math/rand/v2"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxHistory bounds the keys that are remembered for having failed or come late,
// in all shards together. Past it the key whose trouble is the oldest is forgotten, and may be
// tried again too early.
const maxHistory = 10_000

// history remembers the keys of a shard whose flights lately failed or came late. The shard's lock
// guards it.
type history[K comparable] struct {
	cfg   *config
	size  int
	byKey *simplelru.LRU[K, *record] // nil until a key is remembered
}

// A record is the history of a key.
type record struct {
	failed BackoffError // of the last failure, where keys back off
	inRow  int          // failures in a row

	lates  int     // late flights in a row
	lateAt instant // when the last of them came late
}

func (h *history[K]) init(cfg *config, shards int) { h.cfg, h.size = cfg, maxHistory/shards }

// of returns the record of key, made if need be, as the newest.
func (h *history[K]) of(key K) *record {
	if h.byKey == nil {
		lru, err := simplelru.NewLRU[K, *record](max(h.size, 1), nil)
		if err != nil {
			panic(err) // only for a size below 1
		}
		h.byKey = lru
	}
	r, ok := h.byKey.Get(key)
	if !ok {
		r = &record{}
		h.byKey.Add(key, r)
	}
	return r
}

// find returns the record of key, or nil. It does not make it the newest.
func (h *history[K]) find(key K) *record {
	if h.byKey == nil {
		return nil
	}
	r, _ := h.byKey.Peek(key)
	return r
}

// failing returns the number of keys that may back off.
func (h *history[K]) failing() int {
	if h.byKey == nil || h.cfg.backoffMin == 0 {
		return 0
	}
	return h.byKey.Len()
}

func (h *history[K]) forget(key K) {
	if h.byKey != nil {
		h.byKey.Remove(key)
	}
}

func (h *history[K]) clear() { h.byKey = nil }

// backsOff returns a *BackoffError while key rests.
func (h *history[K]) backsOff(key K) error {
	r := h.find(key)
	if r == nil || !time.Now().Before(r.failed.Until) {
		return nil
	}
	e := r.failed
	return &e
}

// A restingKey is a key that rests, as its record says.
type restingKey[K comparable] struct {
	record
	key K
}

// resting returns the keys that rest.
func (h *history[K]) resting() (keys []restingKey[K]) {
	if h.byKey == nil {
		return nil
	}
	for _, key := range h.byKey.Keys() {
		if r := h.find(key); time.Now().Before(r.failed.Until) {
			keys = append(keys, restingKey[K]{*r, key})
		}
	}
	return keys
}

// endBackoff forgets the failures of key.
func (h *history[K]) endBackoff(key K) {
	r := h.find(key)
	switch {
	case r == nil:
	case r.lates == 0:
		h.forget(key)
	default:
		r.failed, r.inRow = BackoffError{}, 0
	}
}

// noteFailure makes key rest for a time that doubles with each failure in a row. Half of that time
// is random, so that keys that failed together do not come back together. A key that has not failed
// for the longest rest starts anew.
func (h *history[K]) noteFailure(key K, err error) {
	now := time.Now()
	r := h.of(key)
	if now.After(r.failed.Until.Add(h.cfg.backoffMax)) {
		r.inRow = 0
	}
	rest := h.cfg.backoffMax
	// so that min<<shift can't overflow
	if shift := r.inRow; h.cfg.backoffMin <= h.cfg.backoffMax>>shift {
		rest = h.cfg.backoffMin << shift
	}
	r.inRow++
	rest -= rand.N(rest/2 + 1)
	r.failed = BackoffError{Err: err, Until: now.Add(rest)}
}
