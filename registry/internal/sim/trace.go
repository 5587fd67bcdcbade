package sim

import (
	"fmt"
	"strings"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// trace keeps the last lines of a run.
type trace struct {
	lines []string
	most  int
	cut   int
	brief bool // leave out summaries
}

func (w *World) logf(format string, args ...any) {
	t := w.trace
	if t.brief && len(args) > 0 {
		if last, ok := args[len(args)-1].(string); ok && strings.HasPrefix(last, "summary") {
			return
		}
	}
	if len(t.lines) >= t.most {
		half := len(t.lines) / 2
		t.cut += half
		t.lines = append(t.lines[:0], t.lines[half:]...)
	}
	t.lines = append(t.lines, fmt.Sprintf("%12v  ", w.now)+fmt.Sprintf(format, args...))
}

func (t *trace) String() string {
	var b strings.Builder
	if t.cut > 0 {
		fmt.Fprintf(&b, "(%d lines before these)\n", t.cut)
	}
	for _, l := range t.lines {
		b.WriteString(l)
		b.WriteByte('\n')
	}
	return b.String()
}

var eventNames = [...]string{
	replica.Registered: "registered", replica.Updated: "updated", replica.Unregistered: "unregistered",
	replica.Conflict: "conflict", replica.Disagreement: "disagreement",
	replica.ResolverPanic: "resolver panic",
	replica.SharedChanged: "shared changed", replica.ClockAhead: "clock ahead",
}

// describeEvent describes an event in one line.
func describeEvent(e *replica.Event) string {
	switch e.Type {
	case replica.ClockAhead:
		return eventNames[e.Type]
	case replica.Unregistered:
		return fmt.Sprintf("%s %s: %s", eventNames[e.Type], record(e.Record), e.Why)
	case replica.Conflict, replica.Disagreement, replica.Updated:
		return fmt.Sprintf("%s %s over %s", eventNames[e.Type], record(e.Record), record(e.Other))
	}
	return fmt.Sprintf("%s %s", eventNames[e.Type], record(e.Record))
}

// describe describes a message in one line.
func describe(m replica.Message) string {
	switch m := m.(type) {
	case *replica.Update:
		return fmt.Sprintf("update of %s@%s (%d,%d]%s", m.Origin, inc(m.Incarnation), m.After, m.UpTo,
			records(m.Records))
	case *replica.Summary:
		return fmt.Sprintf("summary %04x", m.Root&0xffff)
	case *replica.Vector:
		var b strings.Builder
		fmt.Fprintf(&b, "vector reply=%v", m.Reply)
		for _, e := range m.Entries {
			fmt.Fprintf(&b, " %s@%s:%d", e.Origin, inc(e.Incarnation), e.Seq)
			if !e.Visible {
				b.WriteString("(hidden)")
			}
		}
		return b.String()
	case *replica.Pull:
		return fmt.Sprintf("pull of %s@%s after %d at least %d", m.Origin, inc(m.Incarnation), m.After,
			m.AtLeast)
	case *replica.Chunk:
		return fmt.Sprintf("chunk of %s@%s (%d,%d] as of %d floor %d%s",
			m.Origin, inc(m.Incarnation), m.After, m.UpTo, m.AsOf, m.Floor, records(m.Records))
	case *replica.Check:
		return fmt.Sprintf("check of %s@%s after %d at least %d blocks %x",
			m.Origin, inc(m.Incarnation), m.After, m.AtLeast, m.Blocks)
	case *replica.Standing:
		return fmt.Sprintf("standing of %s@%s (%d,%d] as of %d but for %v",
			m.Origin, inc(m.Incarnation), m.After, m.UpTo, m.AsOf, m.Spans)
	}
	return fmt.Sprintf("%T", m)
}

func inc(i uint64) string { return fmt.Sprintf("%+d", int64(i)-epoch) }

func records(rs []*replica.Record) string {
	var b strings.Builder
	for i, r := range rs {
		if i == 8 {
			fmt.Fprintf(&b, " and %d more", len(rs)-i)
			break
		}
		b.WriteString(" " + record(r))
	}
	return b.String()
}

// record describes a record.
func record(r *replica.Record) string {
	if r == nil {
		return "none"
	}
	if r.Dead {
		s := fmt.Sprintf("{%s#%d %q %s", r.Node, r.Seq, r.Name, r.Why)
		if r.Why == replica.WhyConflict {
			s += fmt.Sprintf(" to %s#%d", r.Verdict.Winner, r.Verdict.WinnerSeq)
		}
		return s + "}"
	}
	return fmt.Sprintf("{%s#%d %q t=%+d.%d meta=%v}", r.Node, r.Seq, r.Name, r.Time.Nanos-epoch,
		r.Time.Logical, r.Meta)
}
