package snowball

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/scenario"
	"github.com/snowfence/snowfence/internal/table"
	"github.com/snowfence/snowfence/internal/verdict"
)

// A measure is a row of the table.
type measure struct {
	name   string
	better table.Better
	of     func(*Run) table.Cell
	// meaning is for the command's help.
	meaning string
}

// The rows of the table; staleMeasures are in it if the scenario has stale values.
var firstMeasures = []measure{
	{"healthy events/s before the fault", "",
		func(r *Run) table.Cell { return table.Rate(float64(r.HealthyBefore)) },
		"events of keys that never fail, served per second, in the half before the window (the cache " +
			"is warm by then)"},
	{"healthy events/s during the fault (of offered)", table.Higher,
		func(r *Run) table.Cell { return ofOffered(r.HealthyInside, r.ShareInside) },
		"the same within the fault window, and which part that is of the healthy events that were " +
			"offered in it"},
	{"healthy events/s after the fault (of offered)", table.Higher,
		func(r *Run) table.Cell { return ofOffered(r.HealthyAfter, r.ShareAfter) },
		"the same from the end of the window to the end of the run; above 100 % what had been queued " +
			"was worked off"},
	{"healthy latency during it: p50 / p99 / max", table.Lower,
		func(r *Run) table.Cell { return spread(r.LatencyInside) },
		"of healthy events offered within the window, from when each was meant to be offered: waiting " +
			"in the queue counts (and so does a sleeping program's waking up late, up to 1 ms)"},
	{"healthy latency after it: p50 / p99 / max", table.Lower,
		func(r *Run) table.Cell { return spread(r.LatencyAfter) },
		"of healthy events offered after the window; what is unfinished at the end counts with the " +
			"time it waited"},
	{"failing key's caller learns: p50 / p99 / max", table.Lower,
		func(r *Run) table.Cell { return spread(r.Learn) },
		"from the call to the error, for callers of failing keys who got one: the origin's latency is " +
			"in it"},
	{"of that, after the fetch died: p50 / p99 / max", table.Lower,
		func(r *Run) table.Cell { return spread(r.AfterDeath) },
		"how long these callers waited though the fetch was dead: the cost of nobody telling them " +
			"(none where fetches do not die, as when they hang)"},
}

var staleMeasures = []measure{
	{"failing key's caller gets a value (of offered)", table.Higher,
		func(r *Run) table.Cell { return r.Failing.values() },
		"events of failing keys that were offered within the window and got a value, fresh or stale, " +
			"and which part that is"},
	{"of that, a stale value", "", func(r *Run) table.Cell { return eventCount(r.Failing.Stale) },
		"those whose load failed or was late, so that the last good value was given"},
	{"failing key's caller gets an error", table.Lower,
		func(r *Run) table.Cell { return eventCount(r.Failing.Errors) },
		"the others of these events but for those that were dropped or unfinished at the end"},
	{"failing key's caller waits: p50 / p99 / max", table.Lower,
		func(r *Run) table.Cell { return spread(r.Failing.Answer) },
		"of these events, from the call to the value or error"},
}

var moreMeasures = []measure{
	{"healthy events failed", table.Lower,
		//nolint:gosec // far below
		func(r *Run) table.Cell { return table.Count(int64(r.HealthyFailed)) },
		"healthy events that got an error, in the whole run: the price of a short --fetch-timeout, " +
			"which ends slow loads too, and of a low --max-waiting-per-key"},
	{"callers timed out", table.Lower,
		//nolint:gosec // far below
		func(r *Run) table.Cell { return table.Count(int64(r.Timeouts)) },
		"callers whose own deadline ended their wait"},
	{"callers blocked, peak", table.Lower,
		func(r *Run) table.Cell { return table.Count(int64(r.BlockedPeak)) },
		"callers that wait in the cache for a load at one time"},
	{"workers on failing keys, peak", table.Lower,
		func(r *Run) table.Cell { return table.Count(r.HeldPeak) },
		"workers of the pool that are held by callers of failing keys at one time"},
	{"queue depth, peak", table.Lower,
		func(r *Run) table.Cell { return table.Count(int64(r.QueuePeak)) },
		"events in the queue before the workers"},
	//nolint:gosec // far below
	{"events dropped", table.Lower, func(r *Run) table.Cell { return table.Count(int64(r.Dropped)) },
		"events that found the queue full"},
	{"goroutines, peak", "", func(r *Run) table.Cell { return table.Count(int64(r.GoroutinesPeak)) },
		"all of the process"},
	{"heap, peak", "", func(r *Run) table.Cell { return table.Bytes(float64(r.HeapPeak)) },
		"bytes of live objects and of garbage not yet collected"},
	//nolint:gosec // far below
	{"origin loads", "", func(r *Run) table.Cell { return table.Count(int64(r.Loads)) },
		"calls of the backend; fewer is no merit where the service stands still"},
	{"abandoned functions, peak", "",
		func(r *Run) table.Cell { return table.Count(int64(r.AbandonedPeak)) },
		"fetch functions that were given up and still run; with the fix off none is ever given up"},
	{"failing keys still dead at the end", table.Lower, deadKeys,
		"failing keys that, the fault being over, can't be fetched within a second; a stale value does " +
			"not count"},
	{"time to recover", table.Lower, recoveryCell,
		"from the end of the window until 95 % of the healthy events offered are served again for half " +
			"a second, with the queue empty"},
}

func ofOffered(rate, share Value) table.Cell {
	c := table.Rate(float64(rate))
	if !share.Exists() {
		return c
	}
	return c.As(fmt.Sprintf("%s (%s)", c, percent(float64(share))))
}

// spread is compared by its 99th percentile.
func spread(s Spread) table.Cell {
	if s.Count == 0 {
		return table.Missing()
	}
	return table.Duration(s.P99.Duration()).As(fmt.Sprintf("%s / %s / %s",
		human.Duration(s.P50.Duration()), human.Duration(s.P99.Duration()),
		human.Duration(s.Max.Duration())))
}

func eventCount(n uint64) table.Cell { return table.Count(int64(n)) } //nolint:gosec // far below

// values returns how many of the events got a value.
func (f *Failing) values() table.Cell {
	got := f.Fresh + f.Stale
	c := eventCount(got)
	if f.Offered == 0 {
		return c
	}
	return c.As(fmt.Sprintf("%s (%s)", c, percent(float64(got)/float64(f.Offered))))
}

func deadKeys(r *Run) table.Cell {
	if !r.DeadKeys.Exists() {
		return table.Missing()
	}
	return table.Count(int64(r.DeadKeys)).As(fmt.Sprintf("%d of %d", int(r.DeadKeys), r.FailingKeys))
}

func recoveryCell(r *Run) table.Cell {
	switch {
	case r.Recovery.Exists() && r.Recovery == 0:
		return table.Duration(0).As("at once")
	case r.Recovery.Exists():
		return table.Duration(r.Recovery.Duration())
	case r.HealthyAfter.Exists():
		return table.Text("not within the run")
	}
	return table.Missing()
}

// measuresOf returns the rows of a scenario's table.
func measuresOf(s *scenario.Scenario) []measure {
	if s.Cache.StaleFor == 0 {
		return slices.Concat(firstMeasures, moreMeasures)
	}
	return slices.Concat(firstMeasures, staleMeasures, moreMeasures)
}

// A Term is a row of the table and what it says.
type Term struct {
	Row, Meaning string
	Stale        bool // it is there only if the scenario has stale values
}

// Glossary explains each row of the table, for a command's help.
func Glossary() []Term {
	var terms []Term
	add := func(rows []measure, stale bool) {
		for _, m := range rows {
			terms = append(terms, Term{m.name, m.meaning, stale})
		}
	}
	add(firstMeasures, false)
	add(staleMeasures, true)
	add(moreMeasures, false)
	return terms
}

// Table shows the runs side by side. A run that has not begun has dashes.
func (r *Result) Table(s *scenario.Scenario) *table.Table {
	fixes, columns := fixesOf(s), []string{"measure"}
	for _, f := range fixes {
		columns = append(columns, f.words())
	}
	t := table.New(title(s, r), columns...)
	for i := range fixes[1:] {
		t.Columns[2+i].Highlight = true
	}
	for _, m := range measuresOf(s) {
		cells := []table.Cell{table.Text(m.name)}
		for _, f := range fixes {
			cell := table.Missing()
			if run := r.of(f); run != nil {
				cell = m.of(run)
			}
			cells = append(cells, cell)
		}
		t.AddCompared(m.better, cells...)
	}
	for _, run := range r.runs() {
		if len(run.Told) > 0 {
			t.Note("Callers of failing keys were told, %s: %s.", run.Fix.words(), told(run.Told))
		}
	}
	if s.Cache.StaleFor > 0 {
		for sentence := range strings.SplitAfterSeq(staleText(s), ". ") {
			t.Note("%s", strings.TrimSpace(sentence))
		}
	}
	if s.Cache.MaxWaitingPerKey > 0 {
		t.Note("%s", strings.TrimSpace(limitText(s)))
	}
	return t
}

// title is what ran, in two sentences.
func title(s *scenario.Scenario, r *Result) string {
	times := "twice"
	if s.Cache.StaleFor > 0 {
		times = "three times"
	}
	return fmt.Sprintf("%s events/s for %s, %s. %s.",
		human.Number(s.Events.Rate), plain(s.Duration), times, faultText(s, r))
}

// faultText says what goes wrong.
func faultText(s *scenario.Scenario, r *Result) string {
	f := s.Fault
	if f.Kind == origin.FaultNone || f.Rate == 0 {
		return "No load fails"
	}
	often := ""
	if f.Rate < 1 {
		often = fmt.Sprintf(" in %s of the loads", percent(f.Rate))
	}
	share := ""
	if r.Off != nil {
		share = fmt.Sprintf(" (%s of the events)", percent(float64(r.Off.FailingShare)))
	}
	return fmt.Sprintf("From %s to %s the fetch of %s%s %s%s", plain(f.Start), plain(f.End),
		keys(f.Keys), share, verb(f.Kind), often)
}

func keys(n int) string {
	if n == 1 {
		return "1 key"
	}
	return human.Count(int64(n)) + " keys"
}

// plain writes a length that was chosen and not measured: 8 s and not 8.0 s.
func plain(d time.Duration) string { return strings.Replace(human.Duration(d), ".0 ", " ", 1) }

func verb(k origin.FaultKind) string {
	switch k {
	case origin.FaultPanic:
		return "panics"
	case origin.FaultGoexit:
		return "calls Goexit"
	case origin.FaultError:
		return "returns an error"
	case origin.FaultHang:
		return "hangs"
	case origin.FaultChild:
		return "loses its child"
	case origin.FaultSlow:
		return "is slow"
	case origin.FaultNone:
	}
	return "works"
}

// told lists what callers were told, most frequent first.
func told(counts map[verdict.Kind]uint64) string {
	kinds := make([]verdict.Kind, 0, len(counts))
	for kind := range counts {
		kinds = append(kinds, kind)
	}
	slices.SortFunc(kinds, func(a, b verdict.Kind) int {
		if counts[a] != counts[b] {
			if counts[a] > counts[b] {
				return -1
			}
			return 1
		}
		return strings.Compare(string(a), string(b))
	})
	parts := make([]string, len(kinds))
	for i, kind := range kinds {
		//nolint:gosec // far below
		parts[i] = fmt.Sprintf("%s %s×", kind, human.Count(int64(counts[kind])))
	}
	return strings.Join(parts, ", ")
}
