package wire

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// Append appends the encoded frame to dst. If no [Decode] would accept the frame, it fails with an
// [*InvalidError] and returns dst as it was. It does not bound the size of the frame: see
// [Frame.Size].
//
// Append only reads the messages, which may be read elsewhere at the same time.
func Append(dst []byte, f *Frame) ([]byte, error) {
	e := encoder{b: slices.Grow(dst, f.Size()), at: place{item: -1, record: -1}}
	if err := e.frame(f); err != nil {
		return dst, err
	}
	return e.b, nil
}

// An encoder appends to b. After an error of a method, b must not be used.
type encoder struct {
	b  []byte
	at place
}

func (e *encoder) frame(f *Frame) error {
	if len(f.Items) > MaxItems {
		return e.invalid("items", "%d are more than %d", len(f.Items), MaxItems)
	}
	e.b = append(e.b, Version)
	if err := e.node("sender", f.From); err != nil {
		return err
	}
	if err := e.incarnation(f.Incarnation); err != nil {
		return err
	}
	e.uint64(uint64(f.Sent))
	e.b = binary.BigEndian.AppendUint16(e.b, uint16(len(f.Items)))
	for i, item := range f.Items {
		e.at = place{item: i, record: -1}
		if err := e.item(item); err != nil {
			return err
		}
	}
	return nil
}

func (e *encoder) item(i Item) error {
	if i.Partition < 0 || i.Partition >= MaxPartitions {
		return e.invalid("partition", "%d is not within 0 to %d", i.Partition, MaxPartitions-1)
	}
	e.uvarint(uint64(i.Partition))
	switch m := i.Message.(type) {
	case *replica.Update:
		e.kind(m)
		return e.update(m)
	case *replica.Summary:
		e.kind(m)
		e.uint64(m.Root)
		return nil
	case *replica.Vector:
		e.kind(m)
		return e.vector(m)
	case *replica.Pull:
		e.kind(m)
		return e.pull(m)
	case *replica.Chunk:
		e.kind(m)
		return e.chunk(m)
	case *replica.Check:
		e.kind(m)
		return e.check(m)
	case *replica.Standing:
		e.kind(m)
		return e.standing(m)
	default:
		return e.invalid("message", "%T is none", i.Message)
	}
}

func (e *encoder) kind(m replica.Message) {
	e.at.kind = m.Kind()
	e.b = append(e.b, byte(m.Kind()))
}

func (e *encoder) update(m *replica.Update) error {
	if err := e.origin(m.Origin, m.Incarnation); err != nil {
		return err
	}
	if err := e.span(m.After, m.UpTo); err != nil {
		return err
	}
	return e.records(m.Origin, m.After, m.UpTo, m.Records)
}

func (e *encoder) chunk(m *replica.Chunk) error {
	if err := e.origin(m.Origin, m.Incarnation); err != nil {
		return err
	}
	if err := e.span(m.After, m.UpTo); err != nil {
		return err
	}
	if m.AsOf < m.UpTo {
		return e.invalid("as of", "%d is before the range ends, at %d", m.AsOf, m.UpTo)
	}
	e.uvarint(m.AsOf - m.UpTo)
	e.uvarint(m.Floor)
	return e.records(m.Origin, m.After, m.UpTo, m.Records)
}

func (e *encoder) check(m *replica.Check) error {
	if err := e.origin(m.Origin, m.Incarnation); err != nil {
		return err
	}
	e.uvarint(m.After)
	e.uvarint(m.AtLeast)
	e.uvarint(uint64(len(m.Blocks)))
	before := m.After
	for i, b := range m.Blocks {
		e.at.list, e.at.record = "block", i
		if b.UpTo <= before {
			return e.invalid("end", "%d is not after %d", b.UpTo, before)
		}
		e.uvarint(b.UpTo - before)
		e.uint64(b.Digest)
		before = b.UpTo
	}
	return nil
}

func (e *encoder) standing(m *replica.Standing) error {
	if err := e.origin(m.Origin, m.Incarnation); err != nil {
		return err
	}
	if err := e.span(m.After, m.UpTo); err != nil {
		return err
	}
	if m.AsOf < m.UpTo {
		return e.invalid("as of", "%d is before the range ends, at %d", m.AsOf, m.UpTo)
	}
	e.uvarint(m.AsOf - m.UpTo)
	e.uvarint(uint64(len(m.Spans)))
	before := m.After
	for i, s := range m.Spans {
		e.at.list, e.at.record = "span", i
		switch {
		case s.After < before:
			return e.invalid("start", "%d is before %d", s.After, before)
		case s.UpTo <= s.After || s.UpTo > m.UpTo:
			return e.invalid("end", "%d is not after %d and up to %d", s.UpTo, s.After, m.UpTo)
		}
		e.uvarint(s.After - before)
		e.uvarint(s.UpTo - s.After)
		e.uvarint(uint64(len(s.Seqs)))
		seq := s.After
		for _, n := range s.Seqs {
			if n <= seq || n > s.UpTo {
				return e.invalid("sequence number", "%d is not after %d and up to %d", n, seq, s.UpTo)
			}
			e.uvarint(n - seq)
			seq = n
		}
		before = s.UpTo
	}
	return nil
}

func (e *encoder) pull(m *replica.Pull) error {
	if err := e.origin(m.Origin, m.Incarnation); err != nil {
		return err
	}
	e.uvarint(m.After)
	e.uvarint(m.AtLeast)
	return nil
}

func (e *encoder) vector(m *replica.Vector) error {
	e.bool(m.Reply)
	e.uvarint(uint64(len(m.Entries)))
	before := ""
	for i := range m.Entries {
		entry := &m.Entries[i]
		e.at.list, e.at.record = "entry", i
		if entry.Origin <= before && entry.Origin != "" {
			return e.invalid("origin", "%q does not sort after %q", entry.Origin, before)
		}
		before = entry.Origin
		if err := e.origin(entry.Origin, entry.Incarnation); err != nil {
			return err
		}
		e.uvarint(entry.Seq)
		e.bool(entry.Visible)
	}
	return nil
}

func (e *encoder) origin(name string, incarnation uint64) error {
	if err := e.node("origin", name); err != nil {
		return err
	}
	return e.incarnation(incarnation)
}

// incarnation appends an incarnation in eight bytes: it is a time in nanoseconds, and takes nine as
// a varint.
func (e *encoder) incarnation(v uint64) error {
	if v > MaxIncarnation {
		return e.invalid("incarnation", "%d is more than %d", v, uint64(MaxIncarnation))
	}
	e.uint64(v)
	return nil
}

func (e *encoder) span(after, upTo uint64) error {
	if upTo < after {
		return e.invalid("range", "it ends at %d, before its start at %d", upTo, after)
	}
	e.uvarint(after)
	e.uvarint(upTo - after)
	return nil
}

func (e *encoder) records(origin string, after, upTo uint64, records []*replica.Record) error {
	e.uvarint(uint64(len(records)))
	seq, nanos := after, int64(0)
	for i, r := range records {
		e.at.list, e.at.record = "record", i
		if err := e.sound(r, origin, seq, upTo); err != nil {
			return err
		}
		e.b = append(e.b, head(r, seq))
		if r.Seq-seq > 1 {
			e.uvarint(r.Seq - seq - 2)
		}
		if i == 0 {
			e.uint64(uint64(r.Time.Nanos))
		} else {
			e.b = binary.AppendVarint(e.b, r.Time.Nanos-nanos) // may wrap: Decode wraps it back
		}
		if r.Time.Logical != 0 {
			e.uvarint(uint64(r.Time.Logical))
		}
		e.uvarint(uint64(len(r.Name)))
		e.b = append(e.b, r.Name...)
		if len(r.Meta) > 0 {
			e.uvarint(uint64(len(r.Meta)))
			e.b = append(e.b, r.Meta...)
		}
		if r.Verdict != nil {
			if err := e.node("winner", r.Verdict.Winner); err != nil {
				return err
			}
			e.uvarint(r.Verdict.WinnerSeq)
			e.uvarint(r.Verdict.LostSeq)
			e.uint64(uint64(r.Verdict.Time.Nanos))
			e.uvarint(uint64(r.Verdict.Time.Logical))
		}
		seq, nanos = r.Seq, r.Time.Nanos
	}
	return nil
}

// head returns the first byte of a record that follows the sequence number before.
func head(r *replica.Record, before uint64) byte {
	h := byte(r.Why) << headWhy
	if r.Seq-before > 1 {
		h |= headGap
	}
	if r.Time.Logical != 0 {
		h |= headLogical
	}
	if len(r.Meta) > 0 {
		h |= headMeta
	}
	return h
}

// sound returns an error for a record that the format can't express, or that Decode would refuse.
func (e *encoder) sound(r *replica.Record, origin string, before, upTo uint64) error {
	switch {
	case r == nil:
		return e.invalid("record", "it is nil")
	case r.Node != origin:
		return e.invalid("node", "%q is not the message's origin %q", r.Node, origin)
	case r.Seq <= before || r.Seq > upTo:
		return e.invalid("sequence number", "%d is not after %d and up to %d", r.Seq, before, upTo)
	case r.Name == "":
		return e.invalid("name", "it is empty")
	case len(r.Name) > MaxName:
		return e.invalid("name", "%d bytes are more than %d", len(r.Name), MaxName)
	case len(r.Meta) > MaxMeta:
		return e.invalid("metadata", "%d bytes are more than %d", len(r.Meta), MaxMeta)
	case r.Dead && (r.Why == 0 || r.Why > lastWhy):
		return e.invalid("reason", "%d (%s) does not travel in a tombstone", r.Why, r.Why)
	case r.Dead && len(r.Meta) > 0:
		return e.invalid("metadata", "a tombstone has none")
	case !r.Dead && r.Why != 0:
		return e.invalid("reason", "the record is alive")
	case r.Why != replica.WhyConflict && r.Verdict != nil:
		return e.invalid("verdict", "the record lost no conflict")
	case r.Why == replica.WhyConflict && r.Verdict == nil:
		return e.invalid("verdict", "it is missing")
	}
	return nil
}

func (e *encoder) node(field, name string) error {
	switch {
	case name == "":
		return e.invalid(field, "it is empty")
	case len(name) > MaxNode:
		return e.invalid(field, "%d bytes are more than %d", len(name), MaxNode)
	}
	e.b = append(e.b, byte(len(name)))
	e.b = append(e.b, name...)
	return nil
}

func (e *encoder) uvarint(v uint64) { e.b = binary.AppendUvarint(e.b, v) }

func (e *encoder) uint64(v uint64) { e.b = binary.BigEndian.AppendUint64(e.b, v) }

func (e *encoder) bool(v bool) {
	if v {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) invalid(field, format string, args ...any) error {
	return &InvalidError{Field: e.at.field(field), Reason: fmt.Sprintf(format, args...)}
}
