package courier

// flights is a hash table of the live flights of a shard that own their keys. Its chains run
// through the flights, which costs no allocation, and it uses the hash that has chosen the shard. A
// Go map takes 100 ns more for each flight. The shard's lock guards it.
type flights[K comparable, V any] struct {
	chains []*flight[K, V] // a power of two, or none
	n      int
}

// chainsKept is the size up to which a table is kept when it is empty.
const chainsKept = 256

// chain returns the chain of the high half of a hash: all hashes of a shard share their low bits.
func (t *flights[K, V]) chain(hash uint32) **flight[K, V] {
	return &t.chains[int(hash)&(len(t.chains)-1)]
}

// find returns the flight of key, or nil.
func (t *flights[K, V]) find(hash uint64, key K) *flight[K, V] {
	if t.n == 0 {
		return nil
	}
	high := uint32(hash >> 32)
	f := *t.chain(high)
	for f != nil && (f.hash != high || f.key != key) {
		f = f.next
	}
	return f
}

// put adds f, whose key has no flight.
func (t *flights[K, V]) put(f *flight[K, V]) {
	if t.n >= len(t.chains) {
		t.resize(max(8, 2*len(t.chains)))
	}
	at := t.chain(f.hash)
	f.next, *at = *at, f
	t.n++
}

// remove removes f, which is in the table. A table that was large once is dropped when it is empty.
func (t *flights[K, V]) remove(f *flight[K, V]) {
	at := t.chain(f.hash)
	for *at != f {
		at = &(*at).next
	}
	*at, f.next = f.next, nil
	t.n--
	if t.n == 0 && len(t.chains) > chainsKept {
		t.chains = nil
	}
}

func (t *flights[K, V]) resize(chains int) {
	old := *t
	t.chains = make([]*flight[K, V], chains)
	for f := range old.all {
		at := t.chain(f.hash)
		f.next, *at = *at, f
	}
}

// all yields the flights. The loop's body may remove the yielded flight, or put it into another
// table.
func (t *flights[K, V]) all(yield func(*flight[K, V]) bool) {
	for _, f := range t.chains {
		for f != nil {
			next := f.next
			if !yield(f) {
				return
			}
			f = next
		}
	}
}
