package cache

import (
	"errors"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/snowfence/snowfence/cache/internal/hook"
	"github.com/snowfence/snowfence/courier"
)

// ErrNotFound is returned, or wrapped, by a fetch function if there is no record of the
// key. That is an answer and no failure: it ends a stale value, does not make the key back off, and
// is remembered for Options.NotFoundTTL.
var ErrNotFound = errors.New("cache: not found")

// A notFoundError makes an error match ErrNotFound, for which Options.IsNotFound returned true.
type notFoundError struct{ err error }

func (e notFoundError) Error() string        { return e.err.Error() }
func (e notFoundError) Is(target error) bool { return target == ErrNotFound }
func (e notFoundError) Unwrap() error        { return e.err }

// asNotFound returns err, made to match ErrNotFound, if it means a missing record, and nil
// otherwise.
func (c *Cache[K, V]) asNotFound(err error) error {
	switch {
	case isAbsence(err):
		return err
	case c.isNotFound != nil && c.isNotFound(err):
		return notFoundError{err}
	}
	return nil
}

// isAbsence reports whether err means a missing record. A panic does not, even with ErrNotFound
// as its value.
func isAbsence(err error) bool {
	if err == nil {
		return false
	}
	var panicked *courier.PanicError
	return errors.Is(err, ErrNotFound) && !errors.As(err, &panicked)
}

// isFailure reports whether err, which a load has returned, is a reason to back off.
func isFailure(err error) bool {
	return !isAbsence(err) && !errors.As(err, new(*hook.Answer)) && !comesAgain(err)
}

// missing remembers the keys of a shard that have no record: the last ones to be asked for,
// up to a bound, so that a flood of unknown keys displaces only other unknown keys. The sweep
// forgets those whose NotFoundTTL has ended. The shard's lock guards it.
type missing[K comparable] struct {
	size  int
	byKey *simplelru.LRU[K, notFound] // nil while no key is remembered
}

type notFound struct {
	err   error
	until int64 // on the cache's clock
}

// put remembers that key has no record.
func (m *missing[K]) put(key K, r notFound) {
	if m.byKey == nil {
		lru, err := simplelru.NewLRU[K, notFound](m.size, nil)
		if err != nil {
			panic(err) // only for a size below 1
		}
		m.byKey = lru
	}
	m.byKey.Add(key, r)
}

// find returns the error of a key that is remembered as having no record, or nil.
func (m *missing[K]) find(key K, k *clock) error {
	if m == nil || m.byKey == nil {
		return nil
	}
	r, ok := m.byKey.Get(key)
	switch {
	case !ok:
		return nil
	case k.reached(r.until):
		m.forget(key)
		return nil
	}
	return r.err
}

// forget forgets that key has no record.
func (m *missing[K]) forget(key K) {
	if m != nil && m.byKey != nil && m.byKey.Remove(key) && m.byKey.Len() == 0 {
		m.byKey = nil
	}
}

// sweep forgets keys whose NotFoundTTL has ended at now, up to most of them, and returns their
// number. It begins with the one that was asked for longest ago, and ends at one whose NotFoundTTL
// has not ended. So each is forgotten after another NotFoundTTL at the latest.
func (m *missing[K]) sweep(now int64, most int) (n int) {
	for m != nil && m.byKey != nil && n < most {
		key, r, _ := m.byKey.GetOldest()
		if r.until > now {
			break
		}
		m.forget(key)
		n++
	}
	return n
}

// clear forgets all keys.
func (m *missing[K]) clear() {
	if m != nil {
		m.byKey = nil
	}
}
