package debug

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/snowfence/snowfence/internal/human"
)

// writeText writes v for a terminal.
func writeText(to *bytes.Buffer, v *Snapshot) error {
	t := tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "%s, %s\n", v.Time.UTC().Format(time.RFC3339),
		human.Plural(v.Goroutines, "goroutine", "goroutines"))
	for _, a := range v.Attention {
		fmt.Fprintf(t, "! %s: %s\n", a.Source, a.Text)
	}
	if len(v.Attention) == 0 {
		fmt.Fprintln(t, "nothing needs attention")
	}
	for _, s := range v.Sources {
		fmt.Fprintf(t, "\n%s (%s)\n", s.Name, s.Kind)
		if s.Error != "" {
			fmt.Fprintf(t, "  %s\n", s.Error)
			continue
		}
		writeSection(t, s)
	}
	return t.Flush()
}

func writeSection(t *tabwriter.Writer, s *Section) {
	if s.HitRatio != nil {
		fmt.Fprintf(t, "  hit ratio\t%s\n", human.Percent(*s.HitRatio))
	}
	for _, c := range s.counts {
		if c.Value > 0 {
			fmt.Fprintf(t, "  %s\t%s", words(c.Name), human.Count(c.Value))
			if rate := s.PerSecond[c.Name]; rate > 0 {
				fmt.Fprintf(t, "\t%s", human.Rate(rate))
			}
			fmt.Fprintln(t)
		}
	}
	for _, p := range s.Flights.Places {
		fmt.Fprintf(t, "  %s in %s\n", human.Plural(p.Flights, "flight", "flights"), p.Where)
	}
	for i := range s.Flights.Rows {
		f := &s.Flights.Rows[i]
		fmt.Fprintf(t, "  flight %s\t%s\t%s\t%s\t%s\n", f.Key, f.State,
			human.Duration(seconds(f.AgeSeconds)), human.Plural(f.Waiters, "caller", "callers"), f.place())
	}
	writeMore(t, s.Flights.More, "flights")
	for _, r := range s.Resting.Rows {
		fmt.Fprintf(t, "  resting %s\t%s\tuntil %s\t%s\n", r.Key,
			human.Plural(r.Failures, "failure", "failures"), r.Until.UTC().Format(time.TimeOnly), r.Error)
	}
	writeMore(t, s.Resting.More, "resting keys")
	for _, k := range s.Suspects {
		fmt.Fprintf(t, "  %s %s\tdied: %s\n", k.State, k.KeyText, strings.Join(k.Died, ", "))
	}
	for _, m := range s.Members {
		fmt.Fprintf(t, "  member %s\t%s\t%s\n", m.Node, m.state(), m.trouble())
	}
	for _, d := range s.Loads {
		fmt.Fprintf(t, "  loads: %s\t%s\tp50 %s\tp99 %s\n", d.End, human.Count(d.Count),
			human.Seconds(d.P50), human.Seconds(d.P99))
	}
	for _, f := range s.Slowest[:min(len(s.Slowest), 5)] {
		fmt.Fprintf(t, "  slow %s\t%s\t%s\n", f.Key, human.Seconds(f.TookSeconds), f.End)
	}
	if s.Hottest != nil {
		for _, k := range s.Hottest.Keys {
			fmt.Fprintf(t, "  hot %s\t%s\n", k.Key, human.Percent(k.Share))
		}
	}
}

func writeMore(t *tabwriter.Writer, more int, of string) {
	if more > 0 {
		fmt.Fprintf(t, "  and %s more %s\n", human.Count(more), of)
	}
}

// place says where a flight is, or why that is not known.
func (f Flight) place() string {
	switch {
	case f.Leaked:
		return "can never return: " + f.Where
	case f.Where != "":
		return f.Where
	default:
		return f.NoStack
	}
}

// state is a word for what another node does.
func (m Member) state() string {
	switch {
	case m.Self:
		return "this node"
	case m.Differs != "":
		return "differs"
	case m.Breaker == "closed" && !m.Synced:
		return "not in sync"
	case m.Breaker == "closed":
		return "well"
	case m.Breaker == "half-open":
		return "being tried"
	default:
		return "passed over"
	}
}

// trouble says why another node is not asked; empty if it is.
func (m Member) trouble() string {
	if m.Differs != "" {
		return m.Differs
	}
	return m.Failure
}

// words returns the name of a count for people.
func words(name string) string { return strings.ReplaceAll(name, "_", " ") }
