package memload

import (
	"fmt"
	"strings"
	"time"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

// Glossary says what the columns of the table are.
func Glossary() [][2]string {
	return [][2]string{
		{"peak heap", "the most that the heap had, garbage included"},
		{"peak in use", "the most that counts towards GOMEMLIMIT"},
		{"left", "what the heap had in use at the end, with 1 % of the entries left (--keep)"},
		{"entries", "that are left then"},
		{"CPU full", "processor time of the churn, while the store was full"},
		{"CPU after", "processor time after the shrink, in light traffic"},
		{"GC", "garbage collection's part of all processor time"},
		{"pause", "the longest that garbage collection stopped everything"},
		{"hits", "reads that found their key"},
		{"done", "the operations that the process kept up with"},
	}
}

// Table has a row per cell.
func (r *Result) Table() *table.Table {
	t := table.New("Memory", "setting", "store", "peak heap", "peak in use", "left", "entries", "CPU full", "CPU after", "GC", "pause", "hits", "done")
	for _, c := range r.Cells {
		t.Add(table.Text(c.Job.setting()), table.Text(c.Job.Store), table.Bytes(c.PeakHeap()), table.Bytes(c.PeakInUse()),
			table.Bytes(c.Left()), table.Count(int64(c.last().Entries)), seconds(c.CPU(Churn)), seconds(c.CPU(Rest)), table.Percent(c.GCShare()),
			seconds(c.Pause()), table.Percent(c.HitRatio()), table.Percent(c.done()))
	}
	return t
}

// done is the part of the operations that were to be done that the process kept
// up with.
func (c *Cell) done() float64 {
	return float64(c.Ops) / (2 * c.Job.Phase.Seconds() * float64(c.Job.Rate))
}

func seconds(s float64) table.Cell { return table.Duration(time.Duration(s * float64(time.Second))) }

// Charts are the heap, the collector's processor time and its pauses over time,
// for one GOGC and for the limit.
func (r *Result) Charts() []*report.Chart {
	var charts []*report.Chart
	for _, limited := range []bool{false, true} {
		cells := r.shown(limited)
		if len(cells) == 0 {
			continue
		}
		setting := cells[0].Job.setting()
		chart := func(title, unit string, q report.Quantity, caption string, value func(Sample) float64) {
			c := &report.Chart{Title: title + ", " + setting, Unit: unit, Quantity: q, Caption: caption}
			for _, cell := range cells {
				c.Lines = append(c.Lines, report.Line{Series: cell.series(value)})
			}
			charts = append(charts, c)
		}
		heap := "The heap, garbage included: the saw teeth are collections. After the shrink only a part of the entries is left; what stays above it is what the store does not give back."
		if limited {
			heap = "What counts towards GOMEMLIMIT (" + human.Bytes(float64(cells[0].Job.Limit)) + "). Shedding keeps away from it."
			chart("Memory in use", "bytes", report.Bytes, heap, func(s Sample) float64 { return s.InUse })
		} else {
			chart("Heap", "bytes", report.Bytes, heap, func(s Sample) float64 { return s.Heap })
		}
		chart("CPU time of garbage collection", "s, in all", report.Seconds, "The runtime counts at the end of each collection.",
			func(s Sample) float64 { return s.GCSeconds })
		chart("Longest pause", "s", report.Seconds, "While garbage collection stopped everything.",
			func(s Sample) float64 { return s.Pause })
		charts[len(charts)-3].Wide = true
	}
	return charts
}

// shown are the cells of a chart: those under the limit, or of GOGC 100 or the
// nearest thing.
func (r *Result) shown(limited bool) (cells []*Cell) {
	gogc := 0
	for _, c := range r.Cells {
		if (c.Job.Limit > 0) == limited && (gogc == 0 || c.Job.GOGC == 100) {
			gogc = c.Job.GOGC
		}
	}
	for _, c := range r.Cells {
		if (c.Job.Limit > 0) == limited && c.Job.GOGC == gogc {
			cells = append(cells, c)
		}
	}
	return cells
}

func (c *Cell) series(value func(Sample) float64) series.Series {
	s := series.Series{Name: c.Job.Store}
	for _, now := range c.Samples {
		s.Points = append(s.Points, series.Point{T: now.T, V: value(now)})
	}
	return s
}

// Finding is the result in a few sentences.
func (r *Result) Finding() string {
	var b strings.Builder
	if full, lean := r.find(Uncompacted, 100, false), r.find(Snowfence, 100, false); full != nil && lean != nil {
		fmt.Fprintf(&b, "After the shrink %s are in use, and %s where tables are never rebuilt: %.1f times as much. ",
			human.Bytes(lean.Left()), human.Bytes(full.Left()), full.Left()/lean.Left())
		for _, other := range []string{Map, GolangLRU} {
			if o := r.find(other, 100, false); o != nil {
				fmt.Fprintf(&b, "With %s it is %.1f times. ", other, o.Left()/lean.Left())
			}
		}
	}
	if keeps, sheds := r.find(Snowfence, 100, true), r.find(Shedding, 100, true); keeps != nil && sheds != nil {
		fmt.Fprintf(&b, "Near GOMEMLIMIT, garbage collection took %s of the processor time, and %s where the cache gave up entries, "+
			"with a hit ratio of %s instead of %s.",
			human.Percent(keeps.GCShare()), human.Percent(sheds.GCShare()), human.Percent(sheds.HitRatio()), human.Percent(keeps.HitRatio()))
	}
	if b.Len() == 0 {
		return "Run it with both snowfence-uncompact and snowfence, and GOGC 100, for a comparison."
	}
	return b.String()
}

// limitSlack is how far the memory in use may exceed the limit for a moment: the
// limit is a soft one for Go, too.
const limitSlack = 1.1

// leastGain is how many times as much must be left without compaction: what the
// change that this run is modelled on brought.
const leastGain = 3.5

// Checks are what the run is to show, as far as it has the cells for it.
func (r *Result) Checks() []report.Check {
	var checks []report.Check
	for _, c := range r.Cells {
		if c.Job.Store != Snowfence || c.Job.Limit > 0 {
			continue
		}
		if full := r.find(Uncompacted, c.Job.GOGC, false); full != nil {
			checks = append(checks, report.Check{
				Name:   fmt.Sprintf("compaction gives memory back, %s", c.Job.setting()),
				OK:     full.Left() >= leastGain*c.Left(),
				Detail: fmt.Sprintf("%s left with it, %s without; expected: %.1f times as much", human.Bytes(c.Left()), human.Bytes(full.Left()), leastGain),
			})
		}
	}
	if sheds := r.find(Shedding, 100, true); sheds != nil {
		checks = append(checks, report.Check{
			Name:   "shedding stays near GOMEMLIMIT",
			OK:     sheds.PeakInUse() <= limitSlack*float64(sheds.Job.Limit),
			Detail: fmt.Sprintf("%s in use at most, limit %s, of which a tenth more is let pass for a moment", human.Bytes(sheds.PeakInUse()), human.Bytes(float64(sheds.Job.Limit))),
		})
		if keeps := r.find(Snowfence, 100, true); keeps != nil {
			checks = append(checks, report.Check{
				Name:   "shedding costs no more garbage collection than filling up",
				OK:     sheds.GCShare() <= keeps.GCShare(),
				Detail: fmt.Sprintf("%s of the processor time, %s without", human.Percent(sheds.GCShare()), human.Percent(keeps.GCShare())),
			})
		}
	}
	return checks
}

// Report is the result as a page. The command, the environment and the checks
// are the caller's to add.
func (r *Result) Report() *report.Report {
	return &report.Report{
		Title:   "Memory: what a cache leaves behind",
		Summary: "Each store was filled, churned, shrunk to a part, and used lightly after that, in a process of its own. " + r.Finding(),
		Seed:    &r.Seed, Tables: []*table.Table{r.Table()}, Charts: r.Charts(),
	}
}
