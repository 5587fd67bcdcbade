package deletes

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// MaxKey bounds the length of a key or a tag, in bytes.
	MaxKey = 1 << 20
	// MaxAfter bounds the length of what After returns, in bytes.
	MaxAfter = 1 + maxMarks*(8+maxVarint)
	// Overhead is how far a message can exceed the maxBytes that it was made for, besides one item,
	// in bytes, with 1,000 members.
	Overhead = 128 << 10

	messageVersion = 3
	afterVersion   = 2

	isFull  = 1
	hasMore = 2

	maxSeq    = 1<<61 - 1
	maxVarint = 9 // bytes of a number up to twice that
	markMin   = 8 + 1
	partMin   = 8 + 1 + 1
	itemMin   = 1
)

// ErrMalformed says that a message, or what After returned, makes no sense.
var ErrMalformed = errors.New("malformed")

func malformed(format string, args ...any) error {
	return fmt.Errorf("deletes: %w: "+format, append([]any{ErrMalformed}, args...)...)
}

// size returns how long an encoded item is, at most.
func (d Delete) size() int { return 4 + len(d.Key) }

func (m message) encode() []byte {
	size := 2 + 8 + 4*maxVarint + len(m.vector)*(8+maxVarint)
	for i := range m.parts {
		size += 8 + 2*maxVarint
		for _, d := range m.parts[i].items {
			size += d.size()
		}
	}
	var flags byte
	if m.full {
		flags |= isFull
	}
	if m.more {
		flags |= hasMore
	}
	b := append(make([]byte, 0, size), messageVersion, flags)
	b = binary.LittleEndian.AppendUint64(b, m.from)
	b = binary.AppendUvarint(b, m.version)
	b = binary.AppendUvarint(b, m.knows)
	b = binary.AppendUvarint(b, uint64(len(m.vector)))
	for _, x := range m.vector {
		seq := x.seq << 1
		if x.ended {
			seq |= 1
		}
		b = appendMark(b, mark{x.origin, seq})
	}
	b = binary.AppendUvarint(b, uint64(len(m.parts)))
	for i := range m.parts {
		x := &m.parts[i]
		b = appendMark(b, mark{x.origin, x.after})
		b = binary.AppendUvarint(b, uint64(len(x.items)))
		for _, d := range x.items {
			b = binary.AppendUvarint(b, uint64(len(d.Key))<<2|uint64(d.Kind))
			b = append(b, d.Key...)
		}
	}
	return b
}

func appendMark(b []byte, m mark) []byte {
	return binary.AppendUvarint(binary.LittleEndian.AppendUint64(b, m.origin), m.seq)
}

func encodeMark(m mark) string { return string(appendMark(nil, m)) }

func decodeMark(s string) (mark, error) {
	r := reader{b: []byte(s)}
	return r.mark(0, 1, maxSeq), r.end()
}

func encodeAfter(marks []mark) []byte {
	b := append(make([]byte, 0, 1+len(marks)*(8+maxVarint)), afterVersion)
	for _, m := range marks {
		b = appendMark(b, m)
	}
	return b
}

func decodeAfter(data []byte) (marks []mark, err error) {
	if len(data) > MaxAfter {
		return nil, malformed("deletes of %d bytes, want at most %d", len(data), MaxAfter)
	}
	r := reader{b: data}
	r.version(afterVersion)
	for len(r.b) > 0 {
		marks = append(marks, r.mark(0, 1, maxSeq))
	}
	return marks, r.err
}

// A reader takes bytes apart. After the first error it returns zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = malformed(format, args...)
	}
	r.b = nil
}

// bytes returns the next n bytes.
func (r *reader) bytes(n int) []byte {
	if n > len(r.b) {
		r.fail("it is cut off")
		return make([]byte, min(n, 8))
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) version(want byte) {
	if v := r.bytes(1)[0]; v != want {
		r.fail("version is %d, want %d", v, want)
	}
}

// number returns a number of at most limit, in its shortest form.
func (r *reader) number(what string, limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 || v > limit {
		r.fail("%s is cut off, or above %d", what, limit)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count returns how many parts of at least size bytes follow.
func (r *reader) count(size int) int { return int(r.number("count", uint64(len(r.b)/size))) }

// mark returns one of an origin above another one, with a number from least to most.
func (r *reader) mark(above, least, most uint64) mark {
	m := mark{binary.LittleEndian.Uint64(r.bytes(8)), r.number("number of a delete", most)}
	if m.origin <= above || m.seq < least {
		r.fail("origin or number is 0, or origins are not in order")
		return mark{}
	}
	return m
}

func (r *reader) item() (d Delete) {
	n := r.number("length of a key", MaxKey<<2|3)
	d.Kind = Kind(n & 3)
	d.Key = string(r.bytes(int(n >> 2)))
	switch {
	case r.err != nil:
	case d.Kind == All && d.Key != "":
		r.fail("a clear has a key")
	case d.Kind == handover:
		if _, err := decodeMark(d.Key); err != nil {
			r.fail("a handover: %v", err)
		}
	}
	return d
}

func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes follow", len(r.b))
	}
	return r.err
}

// decode takes a message apart, without a look at what the Book knows.
func decode(data []byte) (m message, err error) {
	r := reader{b: data}
	r.version(messageVersion)
	flags := r.bytes(1)[0]
	if flags > isFull|hasMore {
		r.fail("flags %#x", flags)
	}
	m.full, m.more = flags&isFull != 0, flags&hasMore != 0
	if m.from = binary.LittleEndian.Uint64(r.bytes(8)); m.from == 0 {
		r.fail("it has no sender")
	}
	m.version = r.number("version of a vector", maxSeq)
	m.knows = r.number("version of a vector", maxSeq)
	var last uint64
	for range r.count(markMin) {
		x := r.mark(last, 2, 2*maxSeq+1)
		last = x.origin
		if m.vector = append(m.vector, progress{mark{x.origin, x.seq >> 1}, x.seq&1 == 1}); r.err != nil {
			return message{}, r.err
		}
	}
	last = 0
	for range r.count(partMin) {
		head := r.mark(last, 0, maxSeq-uint64(len(data)))
		last = head.origin
		x := part{origin: head.origin, after: head.seq}
		for range r.count(itemMin) {
			if x.items = append(x.items, r.item()); r.err != nil {
				return message{}, r.err
			}
		}
		if m.parts = append(m.parts, x); r.err != nil {
			return message{}, r.err
		}
	}
	if err := r.end(); err != nil {
		return message{}, err
	}
	return m, nil
}
