package store

import (
	"fmt"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/table"
)

func (l *Level) title() string {
	if l.Second {
		return "second level"
	}
	return "without"
}

func times(name, meaning string, part int) lab.Measure[*Level] {
	return lab.Measure[*Level]{Name: name + ": p50 / p99 / max", Meaning: meaning,
		Of: func(l *Level) table.Cell { return l.Times[part].Cell() }}
}

func counted(name, meaning, of string) lab.Measure[*Level] {
	return lab.Measure[*Level]{Name: name, Meaning: meaning, Optional: true,
		Of: func(l *Level) table.Cell {
			if l.Counts == nil {
				return table.Missing()
			}
			return table.Count(l.Counts[of])
		}}
}

var measures = []lab.Measure[*Level]{
	{Name: "fetches", Meaning: "of all callers",
		Of: func(l *Level) table.Cell { return table.Count(l.Fetches) }},
	{Name: "errors", Meaning: "fetches that ended with an error; must be 0",
		Of: func(l *Level) table.Cell { return table.Count(l.Errors) }},
	{Name: "stale values", Meaning: "fetches that got a value past its TTL",
		Of: func(l *Level) table.Cell { return table.Count(l.Stale) }},
	{Name: "loads of the origin", Meaning: "by all caches", Better: table.Lower,
		Of: func(l *Level) table.Cell { return table.Count(l.Loads) }},
	{Name: "loads per key after the deploy", Better: table.Lower,
		Meaning: "in the first second after it, by all caches",
		Of:      func(l *Level) table.Cell { return table.Number(l.Renewed) }},
	times("time before", "how long callers waited before the disturbance", before),
	times("time during", "the same while the server was disturbed", during),
	times("time after", "the same from its end to the deploy", after),
	times("time at deploy", "the same from the deploy on", deployed),
	{Name: "time of a load: p50 / p99 / max", Meaning: "how long the origin took",
		Of: func(l *Level) table.Cell { return l.Origin.Cell() }},
	counted("found in the second level", "keys that a load has found there", "hits"),
	counted("not found", "keys that it has not, or not in time", "misses"),
	counted("written", "values that were written behind", "writes"),
	counted("not written", "values that were not", "dropped"),
	counted("calls that failed", "of the server; callers do not notice them", "errors"),
	counted("records refused", "garbage, and what was invalidated", "rejected"),
	{Name: "in use again after", Optional: true,
		Meaning: "the time from the end of the disturbance until no call failed any more and records " +
			"were found",
		Of: func(l *Level) table.Cell {
			if !l.Settled.Exists() {
				return table.Missing()
			}
			return table.Seconds(float64(l.Settled))
		}},
}

// Bounds of the checks.
const (
	scheduling  = 25 * time.Millisecond // that a caller may wait for a busy machine
	settleBound = 3 * time.Second       // of Settled: the pause of the breaker is a second at most
)

// checks returns the checks of the result.
func (r *Result) checks(p *Params) (checks []report.Check) {
	check := func(name string, ok bool, format string, args ...any) {
		checks = append(checks, report.Check{
			Name: name, OK: ok && !r.partial, Detail: fmt.Sprintf(format, args...),
		})
	}
	for _, l := range r.Runs {
		detail := fmt.Sprintf("%s did; wanted: 0", human.Count(l.Errors))
		if l.Example != "" {
			detail += "; one of them: " + l.Example
		}
		check("no fetch fails: "+l.title(), l.Errors == 0, "%s", detail)
	}
	if len(r.Runs) < 2 {
		return checks
	}
	without, with := r.Runs[0], r.Runs[1]
	check("the deploy finds what was loaded", with.Renewed <= without.Renewed/2,
		"%.2f loads per key, and %.2f without a second level; wanted: at most half", with.Renewed,
		without.Renewed)
	most := float64(with.Origin.P99) + (cache.DefaultStorageSoftTimeout + scheduling).Seconds()
	check("a broken server delays callers by the soft time-out at most",
		float64(with.Times[during].P99) <= most,
		"99 %% of the callers waited for at most %s; wanted: %s, the origin's and %s",
		human.Seconds(float64(with.Times[during].P99)), human.Seconds(most),
		human.Seconds((cache.DefaultStorageSoftTimeout + scheduling).Seconds()))
	if p.Disturb != none {
		check("the server is used again", with.Settled.Exists() &&
			float64(with.Settled) <= settleBound.Seconds(), "after %s; wanted: within %s",
			settled(with.Settled), human.Seconds(settleBound.Seconds()))
	}
	return checks
}

func settled(v measured.Value) string {
	if !v.Exists() {
		return "more than the run"
	}
	return human.Seconds(float64(v))
}

func page(p *Params, r *Result) *lab.Page {
	columns := []string{"measure"}
	for _, l := range r.Runs {
		columns = append(columns, l.title())
	}
	t := table.New(fmt.Sprintf("%d caches, %s fetches/s for %s keys; the server: %s", p.Processes,
		human.Number(p.Rate), human.Count(p.KeyCount), p.Disturb.title()), columns...)
	lab.Compare(t, r.Runs, measures)
	return &lab.Page{
		Title: "A second level, a broken server, and a deploy",
		Story: fmt.Sprintf("Callers asked %d caches for keys. From %v to %v the server of the second "+
			"level was disturbed: %s. At %v all caches were replaced by empty ones.", p.Processes,
			p.Start, p.End, p.Disturb.title(), p.Deploy),
		Finding: r.finding(), Seed: &p.Seed, Partial: r.partial, Tables: []*table.Table{t},
		Glossary: lab.Glossary(measures), Charts: r.charts(p), Checks: r.checks(p),
	}
}

func (r *Result) finding() string {
	if len(r.Runs) < 2 || r.partial {
		return "The run was stopped before both parts could be compared."
	}
	without, with := r.Runs[0], r.Runs[1]
	return fmt.Sprintf("In the second after the deploy the origin was asked %.2f times for each key "+
		"without a second level, and %.2f times with one. %s of %s callers got an error with it. While "+
		"the server was disturbed, 99 %% of the callers waited for at most %s, and %s without a second "+
		"level.", without.Renewed, with.Renewed, human.Count(with.Errors), human.Count(with.Fetches),
		human.Seconds(float64(with.Times[during].P99)), human.Seconds(float64(without.Times[during].P99)))
}

func (r *Result) charts(p *Params) []*report.Chart {
	chart := func(name, title, unit, caption string, q report.Quantity, only bool) *report.Chart {
		c := &report.Chart{Title: title, Unit: unit, Caption: caption, Quantity: q,
			Marks: []report.Mark{{At: p.Deploy.Seconds(), Label: "deploy"}}}
		if p.Disturb != none {
			c.Windows = []report.Window{p.Shaded(p.Disturb.title())}
		}
		for _, l := range r.Runs {
			role := report.FixOff
			if l.Second {
				role = report.FixOn
			}
			if !only || l.Second {
				c.Lines = append(c.Lines, report.Line{
					Series: lab.SeriesOf(l.series, name, l.title()), Role: role,
				})
			}
		}
		return c
	}
	charts := []*report.Chart{
		chart(seriesLoads, "Loads of the origin", "loads/s", "By all caches.", report.Number, false),
		chart(seriesLatency, "The slowest caller", "seconds", "Of each twentieth of a second.",
			report.Seconds, false),
		chart(seriesFound, "Found in the second level", "keys/s", "By loads of all caches.",
			report.Number, true),
		chart(seriesErrors, "Calls of the server that failed", "calls/s", "No caller gets their errors.",
			report.Number, true),
	}
	charts[0].Wide = true
	return lab.WithEvents(charts)
}
