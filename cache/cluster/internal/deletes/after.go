package deletes

import (
	"cmp"
	"slices"
)

// maxMarks bounds what After returns. Where more would be needed, it has the key dropped.
const maxMarks = 64

// After returns what the node `to` must have applied before it answers a request for key, for
// Require there: the latest delete of each origin that matters for the key and that it has not
// reported. It is nil if there is none, which costs a lookup, and at most MaxAfter bytes. It blocks
// for no longer than it takes another goroutine to note something.
func (b *Book) After(to uint64, key string) []byte {
	b.mu.RLock()
	defer b.mu.RUnlock()
	p := b.peers[to]
	if p != nil && p.current == b.version {
		return nil
	}
	var after []mark
	for origin, c := range b.chapters {
		if origin == to {
			continue // it knows its own
		}
		floor := c.handover // of a peer that was never seen
		if p != nil {
			floor = p.floor[origin]
		}
		seq, reported := max(c.latest[key], c.wide, floor, c.base), p.of(origin)
		if seq <= reported {
			continue
		}
		if after = append(after, mark{origin, seq}); len(after) > maxMarks {
			return encodeAfter(nil)
		}
	}
	if after == nil {
		return nil
	}
	slices.SortFunc(after, func(a, b mark) int { return cmp.Compare(a.origin, b.origin) })
	return encodeAfter(after)
}

// Require makes sure that what is here of key is not from before the deletes in after, which After
// returned on another node for it. Where they were not applied here yet, it drops the key, each
// time until they come with a message; which deletes they are is not known before that. It returns
// dropped then, and the caller must not answer with a value that is here: another goroutine may
// have got it meanwhile from a third node, which lacks them too. If after makes no sense, the error
// is
// [ErrMalformed], and nothing was done.
func (b *Book) Require(key string, after []byte) (dropped bool, err error) {
	if len(after) == 0 {
		return false, nil
	}
	marks, err := decodeAfter(after)
	if err != nil {
		return false, err
	}
	if len(key) > MaxKey {
		return false, malformed("key of %d bytes, want at most %d", len(key), MaxKey)
	}
	done, err := b.done(marks)
	if err != nil || done && len(marks) > 0 {
		return false, err
	}
	b.o.Apply([]Delete{{Key, key}})
	return true, nil
}

// done reports whether all these were applied here.
func (b *Book) done(marks []mark) (bool, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	done := true
	for _, m := range marks {
		if err := b.made(m); err != nil {
			return false, err
		}
		done = done && b.has(m.origin) >= m.seq
	}
	return done, nil
}

// has returns up to where the deletes of an origin were applied here, if that is known. mu is held.
func (b *Book) has(origin uint64) uint64 {
	if c := b.chapters[origin]; c != nil {
		return c.applied
	}
	return b.handed[origin].upTo
}

// made returns an error if m is a delete of this node that it has not made. mu is held.
func (b *Book) made(m mark) error {
	if m.origin == b.o.Self && m.seq > b.own.shown() {
		return malformed("it has delete %d of this incarnation, which has made %d", m.seq, b.own.shown())
	}
	return nil
}
