package memory

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

// columns are the meanings of the columns of the tables.
var columns = []lab.Term{
	{Row: "objects", Meaning: "in use on the heap once the store is full"},
	{Row: "live", Meaning: "their size"},
	{Row: "peak heap", Meaning: "the most that the heap had, garbage included"},
	{Row: "peak in use", Meaning: "the most that counts towards GOMEMLIMIT"},
	{Row: "left",
		Meaning: "what the heap had in use at the end, with 1 % of the entries left (--keep)"},
	{Row: "CPU full", Meaning: "processor time of the churn, while the store was full"},
	{Row: "CPU after", Meaning: "processor time after the shrink, in light traffic"},
	{Row: "GC", Meaning: "garbage collection's part of all processor time"},
	{Row: "p99 pause",
		Meaning: "of the times that garbage collection stopped everything, the 99th percentile"},
	{Row: "longest", Meaning: "and the longest"},
	{Row: "hits", Meaning: "reads that found their key"},
	{Row: "done", Meaning: "the operations that the process kept up with"},
}

// table returns a table of the cells of a setting, with a row for each.
func (r *Result) table(setting Setting) *table.Table {
	t := table.New("Memory, "+setting.String(), "store", "objects", "live", "peak heap",
		"peak in use", "left", "CPU full", "CPU after", "GC", "p99 pause", "longest", "hits", "done")
	for _, c := range r.under(setting) {
		t.Add(table.Text(c.Store), table.Count(int64(c.Objects)), table.Bytes(c.Live),
			table.Bytes(c.PeakHeap()), table.Bytes(c.PeakInUse()), table.Bytes(c.Left()),
			table.Seconds(c.CPU(Churn)), table.Seconds(c.CPU(Rest)), table.Percent(c.GCShare()),
			table.Seconds(c.PauseP99), table.Seconds(c.Pause()), table.Percent(c.HitRatio()),
			table.Percent(c.done()))
	}
	return t
}

// done returns the fraction of the scheduled operations that the process did.
func (c *Cell) done() float64 { return float64(c.Ops) / float64(max(c.Due, 1)) }

// Charts returns charts of the heap, the collector's processor time and its pauses over time:
// without a limit, under each limit, and with expiry.
func (r *Result) Charts() (charts []*report.Chart) {
	for _, setting := range r.charted() {
		cells := r.under(setting)
		end := 0.0 // a run with expiry takes longer
		for _, cell := range cells {
			end = max(end, cell.last().T)
		}
		chart := func(
			title, unit string, q report.Quantity, caption string, value func(Sample) float64,
		) *report.Chart {
			c := &report.Chart{Title: title + ", " + setting.String(), Unit: unit, Quantity: q,
				Caption: caption, XRange: [2]float64{0, end}}
			for _, cell := range cells {
				c.Lines = append(c.Lines, report.Line{Series: cell.series(value)})
			}
			charts = append(charts, c)
			return c
		}
		if setting.Limit > 0 {
			chart("Memory in use", "bytes", report.Bytes,
				"What counts towards GOMEMLIMIT ("+human.Bytes(float64(setting.Limit))+
					"). Shedding keeps away from it.",
				func(s Sample) float64 { return s.InUse }).Wide = true
		} else {
			chart("Heap", "bytes", report.Bytes,
				"The heap, garbage included: the saw teeth are collections. After the shrink only a part of "+
					"the entries is left; what stays above it is what the store does not give back.",
				func(s Sample) float64 { return s.Heap }).Wide = true
		}
		chart("CPU time of collections", "s", report.Seconds,
			"In all since the start. The runtime counts at the end of each garbage collection.",
			func(s Sample) float64 { return s.GCSeconds })
		chart("Longest pause", "s", report.Seconds, "While garbage collection stopped everything.",
			func(s Sample) float64 { return s.Pause })
	}
	return charts
}

// charted returns the settings that get charts: of those without a limit the one with GOGC 100, or
// the closest, and all others.
func (r *Result) charted() (all []Setting) {
	if plain := r.settings(unlimited); len(plain) > 0 {
		all = plain[:1]
		if usual := (Setting{GOGC: 100}); slices.Contains(plain, usual) {
			all = []Setting{usual}
		}
	}
	return append(append(all, r.settings(limited)...), r.settings(expiring)...)
}

func (c *Cell) series(value func(Sample) float64) series.Series {
	s := series.Series{Name: c.Store}
	every := sampleEvery.Seconds()
	for i, now := range c.Samples {
		if i > 0 && now.T-c.Samples[i-1].T >= 2*every { // one was missed
			s.Points = append(s.Points, series.Point{T: c.Samples[i-1].T + every, V: math.NaN()})
		}
		s.Points = append(s.Points, series.Point{T: now.T, V: value(now)})
	}
	return s
}

// Finding returns the result in a few sentences.
func (r *Result) Finding() string {
	if len(r.Cells) == 0 {
		return "The run was stopped before there was anything to see."
	}
	var b strings.Builder
	shrunk := func(setting Setting, how string) {
		full, lean := r.find(Uncompacted, setting), r.find(Snowfence, setting)
		if full == nil || lean == nil {
			return
		}
		fmt.Fprintf(&b, "%s %s are in use, and %s where tables are never rebuilt: %.1f times as much. ",
			how, human.Bytes(lean.Left()), human.Bytes(full.Left()), full.Left()/lean.Left())
		for _, other := range []string{Map, GolangLRU, Expirable} {
			if o := r.find(other, setting); o != nil {
				fmt.Fprintf(&b, "With %s it is %.1f times. ", other, o.Left()/lean.Left())
			}
		}
	}
	shrunk(Setting{GOGC: 100}, "After the shrink")
	for _, setting := range r.settings(expiring) {
		shrunk(setting, "Where entries expired")
	}
	for _, setting := range r.settings(limited) {
		keeps, sheds := r.find(Snowfence, setting), r.find(Shedding, setting)
		if keeps == nil || sheds == nil {
			continue
		}
		fmt.Fprintf(&b, "Under %s, garbage collection took %s of the processor time, and %s where the "+
			"cache gave up entries, "+
			"with a hit ratio of %s instead of %s. ",
			setting, human.Percent(keeps.GCShare()), human.Percent(sheds.GCShare()),
			human.Percent(sheds.HitRatio()), human.Percent(keeps.HitRatio()))
	}
	if b.Len() == 0 { // the two that are compared above did not both run
		for _, c := range r.under(r.charted()[0]) {
			fmt.Fprintf(&b, "%s had %s in use when it was full, and %s at the end. ", c.Store,
				human.Bytes(c.Live), human.Bytes(c.Left()))
		}
	}
	return strings.TrimSpace(b.String())
}

// limitSlack is the factor by which the memory in use may exceed the limit for a short time: it is
// a soft limit for Go, too.
const limitSlack = 1.1

// leastGain is the least factor between the memory kept without and with compaction: the gain of
// the change on which this run is modelled.
const leastGain = 3.5

// Checks returns the checks of the run, as far as it has the cells for them.
func (r *Result) Checks() (checks []report.Check) {
	for _, setting := range append(r.settings(unlimited), r.settings(expiring)...) {
		full, lean := r.find(Uncompacted, setting), r.find(Snowfence, setting)
		if full == nil || lean == nil {
			continue
		}
		checks = append(checks, report.Check{
			Name: fmt.Sprintf("compaction gives memory back, %s", setting),
			OK:   full.Left() >= leastGain*lean.Left(),
			Detail: fmt.Sprintf("%s left with it, %s without; expected: %.1f times as much",
				human.Bytes(lean.Left()), human.Bytes(full.Left()), leastGain),
		})
	}
	for _, setting := range r.settings(limited) {
		sheds := r.find(Shedding, setting)
		if sheds == nil {
			continue
		}
		checks = append(checks, report.Check{
			Name: fmt.Sprintf("shedding stays near the limit, %s", setting),
			OK:   sheds.PeakInUse() <= limitSlack*float64(setting.Limit),
			Detail: fmt.Sprintf("%s in use at most, limit %s, of which a tenth more is let pass for a "+
				"moment", human.Bytes(sheds.PeakInUse()), human.Bytes(float64(setting.Limit))),
		})
		// If all entries fit, none is shed and there is nothing to compare.
		if keeps := r.find(Snowfence, setting); keeps != nil &&
			keeps.PeakInUse() > float64(setting.Limit) {
			checks = append(checks, report.Check{
				Name: fmt.Sprintf("shedding costs no more collection, %s", setting),
				OK:   sheds.GCShare() <= keeps.GCShare(),
				Detail: fmt.Sprintf("%s of the processor time, %s without", human.Percent(sheds.GCShare()),
					human.Percent(keeps.GCShare())),
			})
		}
	}
	return checks
}
