package quarantine

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
	"time"
)

// A message is records one after the other: the key, how many milliseconds ago its last death was,
// and how many marks; each mark is the node's name, the number of its incarnation, and its five
// counters.

const (
	maxName    = 1 << 10 // bytes of a node's name
	maxCounter = math.MaxInt32
)

// ErrMessage says that a message can't be read.
var ErrMessage = errors.New("quarantine: a message that can't be read")

// Message returns the records that have changed since a number, oldest first, in up to limit bytes
// but at least one record; and the number up to which the receiver knows all when it has merged
// them.
func (b *Book) Message(since uint64, limit int) (message []byte, upTo uint64) {
	if b.Empty() && since == 0 {
		return nil, 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Now()
	b.sweep(now)
	b.some.Store(len(b.records) > 0)
	if b.seq == since {
		return nil, since
	}
	var list []*record
	for _, r := range b.records {
		if r.seq > since {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(x, y *record) int { return cmp.Compare(x.seq, y.seq) })
	for i, r := range list {
		one := r.append(nil, now)
		if len(message) > 0 && len(message)+len(one) > limit {
			return message, list[i-1].seq
		}
		message = append(message, one...)
	}
	return message, b.seq
}

// Record returns a message of what is known of key; nil if that is nothing.
func (b *Book) Record(key string) []byte {
	if b.Empty() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.records[key]; r != nil {
		return r.append(nil, b.o.Now())
	}
	return nil
}

func (r *record) append(b []byte, now time.Time) []byte {
	b = appendText(b, r.key)
	age := max(0, now.Sub(r.died).Milliseconds())
	if r.died.IsZero() {
		age = 0
	}
	b = binary.AppendUvarint(b, uint64(age)) //nolint:gosec // not negative
	b = binary.AppendUvarint(b, uint64(len(r.marks)))
	for _, i := range slices.SortedFunc(maps.Keys(r.marks), compare) {
		m := r.marks[i]
		b = appendText(b, i.Node)
		b = binary.LittleEndian.AppendUint64(b, i.ID)
		for _, n := range []uint32{m.deaths, m.forgiven, m.begun, m.ended, m.fell} {
			b = binary.AppendUvarint(b, uint64(n))
		}
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Merge takes a message of another node's Book, and reports whether that has made news of this
// node's own. Its error is ErrMessage; then nothing has changed.
func (b *Book) Merge(message []byte) (own bool, err error) {
	if len(message) == 0 {
		return false, nil
	}
	list, err := b.decode(message)
	if err != nil {
		return false, err
	}
	b.update(func(now time.Time) {
		for _, theirs := range list {
			own = b.merge(theirs, now) || own
		}
	})
	return own, nil
}

func (b *Book) merge(theirs *incoming, now time.Time) (own bool) {
	r := b.record(theirs.key, now)
	died, grew := r.died, false
	for i, m := range theirs.marks {
		before, known := r.marks[i]
		if !known && len(r.marks) >= maxMarks && !b.makeRoom(r) {
			continue
		}
		joined := before.join(m)
		if i == b.o.Self {
			// This incarnation lives, and knows best whether it tries the key.
			joined.forgiven = max(joined.forgiven, joined.deaths)
			switch {
			case !r.trying:
				joined.begun = max(joined.begun, joined.ended)
				joined.ended = joined.begun
			case !joined.trying():
				joined.begun = next(joined.ended)
			}
			own = joined != m
		}
		grew = grew || joined.deaths > before.deaths
		b.set(r, i, joined, now)
	}
	if grew {
		// It happened before this node was told.
		r.died = now.Add(-theirs.age)
		if r.died.Before(died) {
			r.died = died
		}
	}
	if len(r.marks) == 0 {
		b.drop(r)
	}
	return own
}

// makeRoom drops a mark that says nothing any more, and reports whether there was one.
func (b *Book) makeRoom(r *record) bool {
	for i, m := range r.marks {
		if !m.dead() && !m.trying() {
			delete(r.marks, i)
			return true
		}
	}
	return false
}

// An incoming record is one of a message.
type incoming struct {
	key   string
	age   time.Duration
	marks map[Incarnation]mark
}

// decode reads a message. It allocates for what has arrived, never for what a number announces.
func (b *Book) decode(message []byte) (list []*incoming, err error) {
	d := decoder{rest: message}
	for len(d.rest) > 0 {
		r := &incoming{key: d.text(b.o.MaxKey), marks: make(map[Incarnation]mark)}
		age := d.number(math.MaxInt64 / uint64(time.Millisecond))
		r.age = time.Duration(age) * time.Millisecond //nolint:gosec // bounded
		for range d.number(maxMarks) {
			i := Incarnation{Node: d.text(maxName), ID: d.id()}
			m := mark{d.counter(), d.counter(), d.counter(), d.counter(), d.counter()}
			if _, twice := r.marks[i]; twice || d.failed {
				return nil, ErrMessage
			}
			r.marks[i] = m
		}
		if d.failed {
			return nil, ErrMessage
		}
		list = append(list, r)
	}
	return list, nil
}

// A decoder reads values until one is wrong; then it has failed, and returns zeros.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) number(most uint64) uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 || n > most {
		d.rest, d.failed = nil, true
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) counter() uint32 { return uint32(d.number(maxCounter)) } //nolint:gosec // bounded

func (d *decoder) text(most int) string {
	n := d.number(uint64(most)) //nolint:gosec // not negative
	if n > uint64(len(d.rest)) {
		d.rest, d.failed = nil, true
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) id() uint64 {
	if len(d.rest) < 8 {
		d.rest, d.failed = nil, true
		return 0
	}
	id := binary.LittleEndian.Uint64(d.rest)
	d.rest = d.rest[8:]
	return id
}
