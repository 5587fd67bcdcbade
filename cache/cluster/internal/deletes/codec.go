package deletes

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// MaxKey bounds the length of a key or a tag, in bytes.
	MaxKey = 1 << 20
	// Overhead bounds by how much a message exceeds its maxBytes, besides one entry, in bytes, with
	// 1,000 members.
	Overhead = 128 << 10

	messageVersion = 4
	afterVersion   = 3

	maxNumber    = 1 << 60
	maxMark      = 8 + 9 // bytes
	handoverSize = 8 + 8
)

// ErrMalformed says that a message, or what After returned, can't be read.
var ErrMalformed = errors.New("malformed")

func malformed(format string, args ...any) error {
	return fmt.Errorf("deletes: %w: "+format, append([]any{ErrMalformed}, args...)...)
}

// size returns the maximum length of the encoded entry.
func (e entry) size() int { return maxMark + 4 + len(e.Key) }

func (m message) encode() []byte {
	size := 1 + maxMark + 3*9
	for _, e := range m.entries {
		size += e.size()
	}
	b := appendMark(append(make([]byte, 0, size), messageVersion), mark{m.from, m.acked})
	after := m.after << 1
	if m.more {
		after |= 1
	}
	b = binary.AppendUvarint(b, after)
	b = binary.AppendUvarint(b, m.dropped)
	b = binary.AppendUvarint(b, uint64(len(m.entries)))
	for _, e := range m.entries {
		b = binary.AppendUvarint(appendMark(b, e.mark), uint64(len(e.Key))<<3|uint64(e.Kind))
		b = append(b, e.Key...)
	}
	return b
}

// decode decodes a message, without checking it against the Book.
func decode(data []byte) (m message, err error) {
	r := reader{b: data}
	r.version(messageVersion)
	from, after := r.mark(), r.number()
	m.from, m.acked, m.after, m.more = from.origin, from.seq, after>>1, after&1 == 1
	m.dropped = r.number()
	n := r.number()
	if m.dropped > n {
		r.fail("%d of %d entries were dropped", m.dropped, n)
	}
	for ; n > 0 && r.err == nil; n-- {
		e := entry{mark: r.mark()}
		length := r.number()
		e.Kind, length = Kind(length&7), length>>3
		if e.Kind > missed || e.Kind == handover && length != handoverSize || length > MaxKey {
			r.fail("a key of %d bytes, or of kind %d", length, e.Kind)
		}
		e.Key = string(r.bytes(length))
		m.entries = append(m.entries, e)
	}
	return m, r.end()
}

// encodeAfter encodes marks: the first is about the sender's log, the others name deletes.
func encodeAfter(marks []mark) []byte {
	b := append(make([]byte, 0, 1+len(marks)*maxMark), afterVersion)
	for _, m := range marks {
		b = appendMark(b, m)
	}
	return b
}

func decodeAfter(data []byte) (marks []mark, err error) {
	r := reader{b: data}
	r.version(afterVersion)
	marks = append(marks, r.mark())
	for len(r.b) > 0 {
		marks = append(marks, r.mark())
	}
	return marks, r.end()
}

func appendMark(b []byte, m mark) []byte {
	return binary.AppendUvarint(binary.LittleEndian.AppendUint64(b, m.origin), m.seq)
}

// A reader decodes bytes. After the first error it returns zeros.
type reader struct {
	b   []byte // what is left
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = malformed(format, args...)
	}
	r.b = nil
}

// bytes returns the next n bytes, or nil if there are fewer.
func (r *reader) bytes(n uint64) (b []byte) {
	if n > uint64(len(r.b)) {
		r.fail("it is cut off")
		return nil
	}
	b, r.b = r.b[:n], r.b[n:]
	return b
}

func (r *reader) version(want uint64) {
	if v := r.number(); v != want {
		r.fail("version is %d, want %d", v, want)
	}
}

// number returns the next number, which must be in its shortest form.
func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 || v > maxNumber {
		r.fail("a number is cut off, too long, or above %d", uint64(maxNumber))
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) mark() (m mark) {
	if b := r.bytes(8); b != nil {
		m = mark{binary.LittleEndian.Uint64(b), r.number()}
	}
	return m
}

// end returns the first error. Bytes that are left are one.
func (r *reader) end() error {
	if len(r.b) > 0 {
		r.fail("%d bytes follow", len(r.b))
	}
	return r.err
}
