package snowball

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/table"
	"github.com/snowfence/snowfence/internal/verdict"
)

// measures are the rows of the table. A run that has not begun is nil.
var measures = []lab.Measure[*Run]{
	row("healthy events/s before the fault", "",
		func(r *Run) table.Cell { return table.Rate(float64(r.HealthyBefore)) },
		"events of keys that never fail, served per second, in the half before the window (the cache "+
			"is warm by then)"),
	row("healthy events/s during the fault (of offered)", table.Higher,
		func(r *Run) table.Cell { return ofOffered(r.HealthyInside, r.ShareInside) },
		"the same within the fault window, and which part that is of the healthy events that were "+
			"offered in it"),
	row("healthy events/s after the fault (of offered)", table.Higher,
		func(r *Run) table.Cell { return ofOffered(r.HealthyAfter, r.ShareAfter) },
		"the same from the end of the window to the end of the run; above 100 % what had been queued "+
			"was worked off"),
	row("healthy latency during it: p50 / p99 / max", table.Lower,
		func(r *Run) table.Cell { return r.LatencyInside.Cell() },
		"of healthy events offered within the window, from when each was meant to be offered: waiting "+
			"in the queue counts (and so does a sleeping program's waking up late, up to 1 ms)"),
	row("healthy latency after it: p50 / p99 / max", table.Lower,
		func(r *Run) table.Cell { return r.LatencyAfter.Cell() },
		"of healthy events offered after the window; what is unfinished at the end counts with the "+
			"time it waited"),
	row("failing key's caller learns: p50 / p99 / max", table.Lower,
		func(r *Run) table.Cell { return r.Learn.Cell() },
		"from the call to the error, for callers of failing keys who got one: the origin's latency is "+
			"in it"),
	row("of that, after the fetch died: p50 / p99 / max", table.Lower,
		func(r *Run) table.Cell { return r.AfterDeath.Cell() },
		"how long these callers waited though the fetch was dead: the cost of not being notified (none "+
			"where fetches do not die, as when they hang)"),

	ofFailing("failing key's caller gets a value (of offered)", table.Higher,
		func(f *Failing) table.Cell {
			got := table.Count(f.Fresh + f.Stale)
			if f.Offered == 0 {
				return got
			}
			return got.As(fmt.Sprintf("%s (%s)", got, percent(float64(f.Fresh+f.Stale)/float64(f.Offered))))
		},
		"events of failing keys that were offered within the window and got a value, fresh or stale, "+
			"and which part that is"),
	ofFailing("of that, a stale value", "",
		func(f *Failing) table.Cell { return table.Count(f.Stale) },
		"those whose load failed or was late, so that the last good value was given"),
	ofFailing("failing key's caller gets an error", table.Lower,
		func(f *Failing) table.Cell { return table.Count(f.Errors) },
		"the others of these events but for those that were dropped or unfinished at the end"),
	ofFailing("failing key's caller waits: p50 / p99 / max", table.Lower,
		func(f *Failing) table.Cell { return f.Answer.Cell() },
		"of these events, from the call to the value or error"),

	row("healthy events failed", table.Lower,
		func(r *Run) table.Cell { return table.Count(r.HealthyFailed) },
		"healthy events that got an error, in the whole run: the price of a short --fetch-timeout, "+
			"which ends slow loads too, and of a low --max-waiting-per-key"),
	row("callers timed out", table.Lower, func(r *Run) table.Cell { return table.Count(r.Timeouts) },
		"callers whose own deadline ended their wait"),
	row("callers blocked, peak", table.Lower,
		func(r *Run) table.Cell { return table.Count(r.BlockedPeak) },
		"callers that wait in the cache for a load at one time"),
	row("workers on failing keys, peak", table.Lower,
		func(r *Run) table.Cell { return table.Count(r.HeldPeak) },
		"workers of the pool that are held by callers of failing keys at one time"),
	row("queue depth, peak", table.Lower,
		func(r *Run) table.Cell { return table.Count(r.QueuePeak) },
		"events in the queue before the workers"),
	row("events dropped", table.Lower, func(r *Run) table.Cell { return table.Count(r.Dropped) },
		"events that found the queue full"),
	row("goroutines, peak", "", func(r *Run) table.Cell { return table.Count(r.GoroutinesPeak) },
		"all of the process"),
	row("heap, peak", "", func(r *Run) table.Cell { return table.Bytes(float64(r.HeapPeak)) },
		"bytes of live objects and of garbage not yet collected"),
	row("origin loads", "", func(r *Run) table.Cell { return table.Count(r.Loads) },
		"calls of the backend; fewer is no merit where the service stands still"),
	row("abandoned functions, peak", "",
		func(r *Run) table.Cell { return table.Count(r.AbandonedPeak) },
		"fetch functions that were given up and still run; with the fix off none is ever given up"),
	row("failing keys still dead at the end", table.Lower, deadKeys,
		"failing keys that, the fault being over, can't be fetched within a second; a stale value does "+
			"not count"),
	row("time to recover", table.Lower, recoveryCell,
		"from the end of the window until 95 % of the healthy events offered are served again for half "+
			"a second, with the queue empty"),
}

// row returns a measure of runs, missing for those that have not begun.
func row(
	name string, better table.Better, of func(*Run) table.Cell, meaning string,
) lab.Measure[*Run] {
	return lab.Measure[*Run]{Name: name, Better: better, Meaning: meaning,
		Of: func(r *Run) table.Cell {
			if r == nil || r.End != "" {
				return table.Missing()
			}
			return of(r)
		}}
}

// ofFailing returns a measure that runs have with --stale alone.
func ofFailing(
	name string, better table.Better, of func(*Failing) table.Cell, meaning string,
) lab.Measure[*Run] {
	m := row(name, better, func(r *Run) table.Cell {
		if r.Failing == nil {
			return table.Missing()
		}
		return of(r.Failing)
	}, "with --stale: "+meaning)
	m.Optional = true
	return m
}

func ofOffered(rate, share Value) table.Cell {
	c := table.Rate(float64(rate))
	if !share.Exists() {
		return c
	}
	return c.As(fmt.Sprintf("%s (%s)", c, percent(float64(share))))
}

func deadKeys(r *Run) table.Cell {
	if !r.DeadKeys.Exists() {
		return table.Missing()
	}
	dead := int(r.DeadKeys)
	return table.Count(dead).As(fmt.Sprintf("%d of %d", dead, r.FailingKeys))
}

func recoveryCell(r *Run) table.Cell {
	switch {
	case r.Recovery.Exists() && r.Recovery == 0:
		return table.Duration(0).As("at once")
	case r.Recovery.Exists():
		return table.Seconds(float64(r.Recovery))
	case r.HealthyAfter.Exists():
		return table.Text("not within the run")
	}
	return table.Missing()
}

// table shows the runs side by side.
func (r *Result) table(p *Params) *table.Table {
	times, runs, columns := "twice", []*Run{r.Off, r.On}, []string{"measure"}
	if p.Stale {
		times, runs = "three times", append(runs, r.Stale)
	}
	for _, f := range fixesOf(p) {
		columns = append(columns, f.words())
	}
	t := table.New(fmt.Sprintf("%s events/s for %s, %s. %s.", human.Number(p.Rate),
		human.Plain(p.Duration), times, faultText(p, r)), columns...)
	for i := range t.Columns[2:] {
		t.Columns[2+i].Highlight = true
	}
	lab.Compare(t, runs, measures)
	for _, run := range r.runs() {
		if len(run.Told) > 0 {
			t.Note("Callers of failing keys got, %s: %s.", run.Fix.words(), told(run.Told))
		}
	}
	if p.Stale {
		for sentence := range strings.SplitAfterSeq(staleText(p), ". ") {
			t.Note("%s", strings.TrimSpace(sentence))
		}
	}
	if p.MaxWaitingPerKey > 0 {
		t.Note("%s", strings.TrimSpace(limitText(p)))
	}
	return t
}

// faultText says what goes wrong.
func faultText(p *Params, r *Result) string {
	f := p.Fault
	if f.Kind == origin.FaultNone || f.Rate == 0 {
		return "No load fails"
	}
	often, share := "", ""
	if f.Rate < 1 {
		often = fmt.Sprintf(" in %s of the loads", percent(f.Rate))
	}
	if r.Off != nil {
		share = fmt.Sprintf(" (%s of the events)", percent(float64(r.Off.FailingShare)))
	}
	return fmt.Sprintf("From %s to %s the fetch of %s%s %s%s", human.Plain(f.Start),
		human.Plain(f.End), human.Plural(f.Keys, "key", "keys"), share, verbs[f.Kind], often)
}

var verbs = map[origin.FaultKind]string{
	origin.FaultPanic: "panics", origin.FaultGoexit: "calls Goexit",
	origin.FaultError: "returns an error", origin.FaultHang: "hangs",
	origin.FaultChild: "loses its child", origin.FaultSlow: "is slow",
}

// told lists what callers got, most frequent first.
func told(counts map[verdict.Kind]uint64) string {
	kinds := slices.SortedFunc(maps.Keys(counts), func(a, b verdict.Kind) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	parts := make([]string, len(kinds))
	for i, kind := range kinds {
		parts[i] = fmt.Sprintf("%s %s×", kind, human.Count(counts[kind]))
	}
	return strings.Join(parts, ", ")
}
