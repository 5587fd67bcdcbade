package deletes

import (
	"cmp"
	"maps"
	"slices"
)

// maxMarks bounds the marks that After returns. If more would be needed, it requires that the whole
// log was applied.
const maxMarks = 64

// After returns, for Require on the node `to`, what that node must have applied before it answers a
// request for key: the deletes that matter for the key and that it has not reported. It is nil if
// there are none, which costs a lookup, and has 1.1 KB at most. It waits for no more than other
// goroutines' short critical sections.
func (b *Book) After(to uint64, key string) []byte {
	b.mu.RLock()
	defer b.mu.RUnlock()
	acked := b.peer(to).acked
	if acked >= max(b.latest[key], b.latestForAll, b.base) {
		return nil
	}
	log := mark{b.o.Self, 0}
	if acked < b.base {
		log.seq, acked = b.base, b.base
	}
	needs := make(map[uint64]uint64) // by origin
	for _, number := range []uint64{b.latest[key], b.latestForAll} {
		for number > acked {
			e := b.entries[number-b.base-1]
			needs[e.origin] = max(needs[e.origin], e.seq)
			number = e.previous
		}
	}
	marks := []mark{log}
	for _, origin := range slices.Sorted(maps.Keys(needs)) {
		marks = append(marks, mark{origin, needs[origin]})
	}
	if len(marks) > maxMarks {
		marks = []mark{{b.o.Self, b.lastShown()}}
	}
	return encodeAfter(marks)
}

// peer returns what is known of an incarnation, if anything. mu is held.
func (b *Book) peer(incarnation uint64) peer {
	if p := b.peers[incarnation]; p != nil {
		return *p
	}
	return peer{}
}

// Require makes sure that what is here of key is not older than the deletes in data, which After
// returned on another node. If some were not applied here yet, it drops the key, each time until a
// message has brought them, since they are not known before that. Then it returns true for dropped,
// and the caller must not answer with a value that is here: another goroutine may have got it
// meanwhile from a third node that lacks the deletes too. If data can't be read, the error is
// [ErrMalformed], and nothing was done.
func (b *Book) Require(key string, data []byte) (dropped bool, err error) {
	if len(data) == 0 {
		return false, nil
	}
	marks, err := decodeAfter(data)
	if err != nil {
		return false, err
	}
	b.mu.RLock()
	done := b.peer(marks[0].origin).received >= marks[0].seq
	for _, m := range marks[1:] {
		err = cmp.Or(err, b.checkMade(m))
		done = done && b.origin(m.origin).applied >= m.seq
	}
	b.mu.RUnlock()
	if err != nil || done {
		return false, err
	}
	b.o.Apply([]Delete{{Key, key}})
	return true, nil
}

// checkMade returns an error if m names a delete of this node that it has not made. mu is held.
func (b *Book) checkMade(m mark) error {
	if made := b.origin(m.origin).applied; m.origin == b.o.Self && m.seq > made {
		return malformed("it has delete %d of this incarnation, which has made %d", m.seq, made)
	}
	return nil
}
