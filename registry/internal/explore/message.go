package explore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// messageKey returns a key that is the same for equal messages.
func messageKey(m replica.Message) string {
	b := []byte{byte(m.Kind())}
	number := func(all ...uint64) {
		for _, n := range all {
			b = binary.AppendUvarint(b, n)
		}
	}
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	flag := func(v bool) {
		if v {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	records := func(all []*replica.Record) {
		number(uint64(len(all)))
		for _, r := range all {
			text(r.Name)
			text(r.Node)
			text(string(r.Meta))
			number(r.Seq, uint64(r.Time.Nanos), uint64(r.Time.Logical), uint64(r.Why))
			flag(r.Dead)
			flag(r.Verdict != nil)
			if v := r.Verdict; v != nil {
				text(v.Winner)
				number(v.WinnerSeq, v.LostSeq, uint64(v.Time.Nanos), uint64(v.Time.Logical))
			}
		}
	}
	switch m := m.(type) {
	case *replica.Update:
		text(m.Origin)
		number(m.Incarnation, m.After, m.UpTo)
		records(m.Records)
	case *replica.Summary:
		number(m.Root)
	case *replica.Vector:
		flag(m.Reply)
		for _, e := range m.Entries {
			text(e.Origin)
			number(e.Incarnation, e.Seq)
			flag(e.Visible)
		}
	case *replica.Pull:
		text(m.Origin)
		number(m.Incarnation, m.After, m.AtLeast)
	case *replica.Chunk:
		text(m.Origin)
		number(m.Incarnation, m.After, m.UpTo, m.AsOf, m.Floor)
		records(m.Records)
	case *replica.Check:
		text(m.Origin)
		number(m.Incarnation, m.After, m.AtLeast)
		for _, block := range m.Blocks {
			number(block.UpTo, block.Digest)
		}
	case *replica.Standing:
		text(m.Origin)
		number(m.Incarnation, m.After, m.UpTo, m.AsOf)
		for _, span := range m.Spans {
			number(span.After, span.UpTo, uint64(len(span.Seqs)))
			number(span.Seqs...)
		}
	}
	return string(b)
}

// describe describes a message in one line.
func describe(m replica.Message) string {
	switch m := m.(type) {
	case *replica.Update:
		return fmt.Sprintf("update of %s/%d (%d,%d]%s", m.Origin, m.Incarnation, m.After, m.UpTo,
			records(m.Records))
	case *replica.Summary:
		return fmt.Sprintf("summary %x", m.Root>>48)
	case *replica.Vector:
		var b strings.Builder
		b.WriteString("vector")
		if m.Reply {
			b.WriteString("?")
		}
		for _, e := range m.Entries {
			fmt.Fprintf(&b, " %s/%d@%d", e.Origin, e.Incarnation, e.Seq)
			if !e.Visible {
				b.WriteString("(hidden)")
			}
		}
		return b.String()
	case *replica.Pull:
		return fmt.Sprintf("pull of %s/%d after %d, at least %d", m.Origin, m.Incarnation, m.After,
			m.AtLeast)
	case *replica.Chunk:
		return fmt.Sprintf("chunk of %s/%d (%d,%d] as of %d, floor %d%s",
			m.Origin, m.Incarnation, m.After, m.UpTo, m.AsOf, m.Floor, records(m.Records))
	case *replica.Check:
		return fmt.Sprintf("check of %s/%d after %d, at least %d, blocks %x",
			m.Origin, m.Incarnation, m.After, m.AtLeast, m.Blocks)
	case *replica.Standing:
		return fmt.Sprintf("standing of %s/%d (%d,%d] as of %d but for %v",
			m.Origin, m.Incarnation, m.After, m.UpTo, m.AsOf, m.Spans)
	}
	return "?"
}

func records(all []*replica.Record) string {
	var b strings.Builder
	for _, r := range all {
		b.WriteString(" " + record(r))
	}
	return b.String()
}

func record(r *replica.Record) string {
	if r == nil {
		return "nothing"
	}
	s := fmt.Sprintf("%s=%s@%d t%d", r.Name, r.Node, r.Seq, r.Time.Nanos-epoch)
	if r.Time.Logical > 0 {
		s += fmt.Sprintf("+%d", r.Time.Logical)
	}
	if len(r.Meta) > 0 {
		s += fmt.Sprintf(" meta %q", r.Meta)
	}
	if r.Dead {
		s += " †" + r.Why.String()
	}
	return s
}

// same reports whether two records are equal.
func same(a, b *replica.Record) bool {
	if a == b {
		return true
	}
	return a != nil && b != nil && a.Name == b.Name && a.Node == b.Node && a.Seq == b.Seq &&
		a.Time == b.Time &&
		bytes.Equal(a.Meta, b.Meta) && a.Dead == b.Dead
}
