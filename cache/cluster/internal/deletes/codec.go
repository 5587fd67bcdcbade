package deletes

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// ErrMalformed is what errors.Is finds in the errors of Merge and Require.
var ErrMalformed = errors.New("malformed")

func malformed(format string, args ...any) error {
	return fmt.Errorf("deletes: %w: "+format, append([]any{ErrMalformed}, args...)...)
}

func (id ID) valid() bool { return id.Run != 0 && id.Seq != 0 && id.Seq <= maxSeq }

const (
	messageVersion = 1

	hasFloor    = 1
	hasClear    = 2
	hasComplete = 4

	maxAge = 1 << 40 // ms

	progressMin = 8 + 1 + 1
	chapterMin  = 8 + 1 + 1 + 1
	entryMin    = 1 + 1 + 1
)

func age(d time.Duration) uint64 { return min(uint64(max(d, 0)/time.Millisecond), maxAge) }

// size returns how long the message is, at most.
func (m message) size() int {
	size := 1 + 8 + 8 + 10 + 10
	for _, p := range m.vector {
		size += 8 + 10 + 10 + 20*len(p.ahead)
	}
	return size + len(m.chapters)*(8+1+6+4*10+10)
}

// size returns how long the entry is, at most.
func (a aged) size() int { return 10 + 6 + 4 + len(a.key) }

func (m message) encode() []byte {
	size := m.size()
	for _, c := range m.chapters {
		for _, a := range c.entries {
			size += a.size()
		}
	}
	b := make([]byte, 0, size)
	b = append(b, messageVersion)
	b = binary.LittleEndian.AppendUint64(b, m.from)
	b = binary.LittleEndian.AppendUint64(b, m.to)
	b = binary.AppendUvarint(b, uint64(len(m.vector)))
	for _, p := range m.vector {
		b = p.append(b)
	}
	b = binary.AppendUvarint(b, uint64(len(m.chapters)))
	for _, c := range m.chapters {
		b = c.append(b)
	}
	return b
}

func (p progress) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, p.run)
	b = binary.AppendUvarint(b, p.applied)
	n := uint64(len(p.ahead)) << 1
	if p.idle {
		n |= 1
	}
	b = binary.AppendUvarint(b, n)
	last := p.applied
	for _, s := range p.ahead {
		b = binary.AppendUvarint(b, s.first-last-2)
		b = binary.AppendUvarint(b, s.last-s.first)
		last = s.last
	}
	return b
}

func (c chapter) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, c.run)
	var flags byte
	if c.floor != 0 {
		flags |= hasFloor
	}
	if c.clear != 0 {
		flags |= hasClear
	}
	if c.complete {
		flags |= hasComplete
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, age(c.age))
	if c.floor != 0 {
		b = binary.AppendUvarint(b, c.floor)
		b = binary.AppendUvarint(b, age(c.floored))
	}
	if c.clear != 0 {
		b = binary.AppendUvarint(b, c.clear)
		b = binary.AppendUvarint(b, age(c.cleared))
	}
	b = binary.AppendUvarint(b, uint64(len(c.entries)))
	var last uint64
	for _, a := range c.entries {
		b = binary.AppendUvarint(b, a.seq-last)
		b = binary.AppendUvarint(b, age(a.age))
		b = binary.AppendUvarint(b, uint64(len(a.key)))
		b = append(b, a.key...)
		last = a.seq
	}
	return b
}
