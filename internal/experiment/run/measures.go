package run

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/table"
	"github.com/snowfence/snowfence/internal/verdict"
)

// totals are the rows of the first table.
var totals = []lab.Measure[*Result]{
	{Name: "operations", Of: func(r *Result) table.Cell { return table.Count(r.Operations) },
		Meaning: "reads, writes and deletes that ended in the measured part; a batch is one"},
	{Name: "measured for",
		Of:      func(r *Result) table.Cell { return table.Seconds(float64(r.Elapsed)) },
		Meaning: "how long operations began"},
	{Name: "throughput", Of: func(r *Result) table.Cell { return table.Rate(r.PerSecond) },
		Meaning: "operations per second of that time"},
	ofKeys("keys per second", func(r *Result) table.Cell { return table.Rate(r.Keys.PerSecond) },
		"of batches: keys that were asked for"),
	some("hit ratio", func(r *Result) (table.Cell, bool) {
		return table.Percent(r.HitRatio), r.Reads > 0 && r.Keys == nil
	}, "the part of the reads whose value was there"),
	ofKeys("hit ratio of keys", func(r *Result) table.Cell { return table.Percent(r.HitRatio) },
		"of batches: the part of the keys whose value was there"),
	ofLRU("hit ratio of plain golang-lru",
		func(r *Result) table.Cell { return table.Percent(r.PlainLRU.HitRatio) },
		"what a cache of hashicorp/golang-lru makes of the same requests"),
	ofLRU("difference in percentage points", func(r *Result) table.Cell {
		return table.Text(fmt.Sprintf("%+.2f", 100*(r.HitRatio-r.PlainLRU.HitRatio)))
	}, "how much higher the hit ratio is than that"),
	{Name: "origin loads", Of: func(r *Result) table.Cell { return table.Count(r.OriginLoads) },
		Meaning: "calls of the origin; one for many keys is one, and refreshes are among them"},
	some("origin loads per miss", func(r *Result) (table.Cell, bool) {
		return table.Number(r.LoadsPerMiss), r.LoadsPerMiss > 0 && r.Keys == nil
	}, "origin loads by reads that were no hits: below 1 callers joined each other's loads"),
	some("origin loads per batch with a miss", func(r *Result) (table.Cell, bool) {
		return table.Number(r.LoadsPerMiss), r.LoadsPerMiss > 0 && r.Keys != nil
	}, "the same by batches of which a key was missing"),
	{Name: "origin loads at once, peak",
		Of:      func(r *Result) table.Cell { return table.Count(r.OriginPeak) },
		Meaning: "the warm-up and loads that hang count, too"},
	{Name: "callers waiting for a load at once, peak",
		Of:      func(r *Result) table.Cell { return table.Count(r.WaitingPeak) },
		Meaning: "as sampled, at least every 20 ms at first"},
	counted("origin loads that failed on purpose",
		func(r *Result) uint64 { return r.InjectedLoads }, "those that --fault struck"),
	{Name: "evictions", Of: func(r *Result) table.Cell { return table.Count(r.Evictions) },
		Meaning: "entries that left to make room"},
	{Name: "expirations", Of: func(r *Result) table.Cell { return table.Count(r.Expired) },
		Meaning: "entries that left because their TTL was over"},
	counted("stale values given", func(r *Result) uint64 { return r.Stale },
		"keys for which the last good value was given"),
	counted("refreshes", func(r *Result) uint64 { return r.Refreshes },
		"loads in the background before a TTL was over (--refresh-at)"),
	counted("values too heavy to store", func(r *Result) uint64 { return r.Rejected },
		"values of more than --max-bytes has room for"),
	{Name: "entries at the end", Of: func(r *Result) table.Cell { return table.Count(r.Entries) },
		Meaning: "those in the cache"},
	some("operations due but not begun", func(r *Result) (table.Cell, bool) {
		return table.Count(r.Missed), r.Late != nil
	}, "of an open loop: those that came too fast for the workers"),
	counted("reads that the interruption cut off", func(r *Result) uint64 { return r.CutOff },
		"reads under way when the run was stopped; no operations"),
	counted("operations in the warm-up", func(r *Result) uint64 { return r.Skipped },
		"operations before the measured part"),
}

// some returns a measure that a run may not have.
func some(name string, of func(*Result) (table.Cell, bool), meaning string) lab.Measure[*Result] {
	return lab.Measure[*Result]{Name: name, Meaning: meaning, Optional: true,
		Of: func(r *Result) table.Cell {
			if c, ok := of(r); ok {
				return c
			}
			return table.Missing()
		}}
}

// counted returns a measure that a run has if it is above 0.
func counted(name string, of func(*Result) uint64, meaning string) lab.Measure[*Result] {
	return some(name, func(r *Result) (table.Cell, bool) { return table.Count(of(r)), of(r) > 0 },
		meaning)
}

func ofKeys(name string, of func(*Result) table.Cell, meaning string) lab.Measure[*Result] {
	return some(name, func(r *Result) (c table.Cell, ok bool) {
		if r.Keys != nil {
			return of(r), true
		}
		return c, false
	}, meaning)
}

func ofLRU(name string, of func(*Result) table.Cell, meaning string) lab.Measure[*Result] {
	return some(name, func(r *Result) (c table.Cell, ok bool) {
		if r.PlainLRU != nil {
			return of(r), true
		}
		return c, false
	}, meaning)
}

// page shows a run.
func page(p *Params, r *Result) *lab.Page {
	tables := []*table.Table{r.totals(p), r.latencies(p)}
	if r.Keys != nil {
		tables = append(tables, r.batchKeys())
	}
	if len(r.Errors) > 0 {
		tables = append(tables, r.errors())
	}
	var checks []report.Check
	if p.MinHitRatio > 0 {
		checks = append(checks, report.Check{
			Name:   "The hit ratio is at least " + human.Percent(p.MinHitRatio),
			OK:     r.HitRatio >= p.MinHitRatio,
			Detail: human.Percent(r.HitRatio),
		})
	}
	return &lab.Page{
		Title: "Load on the cache: " + p.keysText(), Story: p.story() + " " + p.faultText(r),
		Finding: r.finding(), Seed: &p.Seed, Partial: r.Partial,
		Tables: append(tables, r.process()), Glossary: glossary(),
		Charts: r.charts(p), Series: r.Series, Checks: checks,
	}
}

// story says in a line or two what is run.
func (p *Params) story() string {
	loop := "Closed loop"
	if p.Rate > 0 {
		loop = "Open loop at " + human.Rate(p.Rate)
	}
	var size []string
	if !p.bytesAlone {
		size = append(size, human.Count(p.Capacity)+" entries")
	}
	if p.MaxBytes > 0 {
		size = append(size, human.Bytes(float64(p.MaxBytes))+" of values")
	}
	mix, batch, fix := p.Mix.String(), "", ""
	if p.Mix.Write == 0 && p.Mix.Delete == 0 {
		mix = "reads only"
	}
	if p.Batch > 1 {
		batch = fmt.Sprintf(", %s keys at a time", human.Count(p.Batch))
	}
	if p.Unlinked {
		fix = " The courier's fix is off."
	}
	return fmt.Sprintf("Keys: %s. Cache of %s. %s, %s; %s%s.%s", p.keysText(),
		strings.Join(size, " and "), loop, human.Plural(p.Workers, "worker", "workers"), mix, batch, fix)
}

// faultText says which loads fail, and nothing if none do.
func (p *Params) faultText(r *Result) string {
	f := p.Fault
	if f.Kind == origin.FaultNone {
		return ""
	}
	return fmt.Sprintf("Fault: %s of %d keys, which get %s of the requests, at a rate of %s, "+
		"from %s to %s.", f.Kind, f.Keys, human.Percent(r.FaultShare), human.Percent(f.Rate),
		human.Duration(f.Start), human.Duration(f.End))
}

func (r *Result) finding() string {
	text := fmt.Sprintf("%s operations at %s", human.Count(r.Operations), human.Rate(r.PerSecond))
	if r.Reads > 0 {
		text += ", with a hit ratio of " + human.Percent(r.HitRatio)
	}
	if r.PlainLRU != nil {
		text += fmt.Sprintf(" (golang-lru: %s)", human.Percent(r.PlainLRU.HitRatio))
	}
	return text + fmt.Sprintf("; the origin was asked %s times.", human.Count(r.OriginLoads))
}

func (r *Result) totals(p *Params) *table.Table {
	t := table.New(p.story(), "measure", "value")
	lab.Compare(t, []*Result{r}, totals)
	if text := p.faultText(r); text != "" {
		t.Note("%s", text)
	}
	return t
}

func (r *Result) latencies(p *Params) *table.Table {
	t := table.New("Latency by outcome", "outcome", "count", "share", "p50", "p90", "p99", "p99.9",
		"max")
	row := func(name string, share table.Cell, l Latencies) {
		cells := []table.Cell{table.Text(name), table.Count(l.Count), share}
		for _, v := range []measured.Value{l.P50, l.P90, l.P99, l.P999, l.Max} {
			cells = append(cells, table.Seconds(float64(v)))
		}
		t.Add(cells...)
	}
	for _, l := range r.Outcomes {
		row(l.Outcome.String(), table.Percent(float64(l.Count)/float64(r.Operations)), l)
	}
	if r.Late != nil {
		row("(started late)", table.Missing(), *r.Late)
		t.Note("Latency counts from when an operation was due. Started late: how long after that it " +
			"began.")
	}
	if p.Batch > 1 {
		t.Note("A read is a batch of %s keys. Its latency is that of each of them, since they come "+
			"together.", human.Count(p.Batch))
	}
	done := "and is done for all."
	if p.SampleHits > 1 {
		done = fmt.Sprintf("and is done for one hit in %d and for all other operations.", p.SampleHits)
	}
	t.Note("Timing an operation costs about %s, %s", human.Seconds(float64(r.TimingCost)), done)
	return t
}

// batchKeys says what became of the keys of batches.
func (r *Result) batchKeys() *table.Table {
	k := r.Keys
	t := table.New("Keys of batches", "outcome", "count", "share")
	row := func(name string, n uint64) {
		t.Add(table.Text(name), table.Count(n), table.Percent(float64(n)/float64(max(1, k.Asked))))
	}
	row("asked for", k.Asked)
	row("hit", k.Hit)
	row("loaded", k.Loaded)
	row("joined", k.Joined)
	row("error", k.Failed)
	t.Note("Loaded: by the batch's own fetch function. " +
		"Joined: by another one's, or it stood in the batch twice.")
	return t
}

func (r *Result) errors() *table.Table {
	title := "Errors"
	if r.Keys != nil {
		title = "Errors of keys"
	}
	t := table.New(title, "kind", "count")
	kinds := slices.SortedFunc(maps.Keys(r.Errors), func(a, b verdict.Kind) int {
		return cmp.Or(cmp.Compare(r.Errors[b], r.Errors[a]), cmp.Compare(a, b))
	})
	for _, kind := range kinds {
		t.Add(table.Text(cmp.Or(errorNames[kind], string(kind))), table.Count(r.Errors[kind]))
	}
	return t
}

// errorNames says what a kind of error means.
var errorNames = map[verdict.Kind]string{
	verdict.Deadline: "the caller's own deadline passed",
	verdict.TimedOut: "the load took too long (--fetch-timeout)",
	verdict.Panic:    "the load panicked",
	verdict.Goexit:   "the load called runtime.Goexit",
	verdict.Failed:   "the load returned an error",
}

func (r *Result) process() *table.Table {
	t := table.New("Process", "measure", "start", "peak", "end")
	level := func(name string, l Level, cell func(uint64) table.Cell) {
		t.Add(table.Text(name), cell(l.Start), cell(l.Peak), cell(l.End))
	}
	level("goroutines", r.Goroutines, table.Count[uint64])
	level("heap", r.Heap, func(n uint64) table.Cell { return table.Bytes(float64(n)) })
	t.Note("Start and end of the heap are after a collection; the peak includes garbage.")
	t.Note("Garbage collections: %s, longest pause at most %s.", human.Count(r.GC.Cycles),
		human.Seconds(float64(r.GC.Longest)))
	if r.AbandonedLeft > 0 || r.FlightsLeft > 0 {
		t.Note("Loads that had not ended at the end: %s, of which abandoned: %s.",
			human.Count(r.FlightsLeft+r.AbandonedLeft), human.Count(r.AbandonedLeft))
	}
	return t
}

func (r *Result) charts(p *Params) []*report.Chart {
	chart := func(title, unit string, names ...string) *report.Chart {
		c := &report.Chart{Title: title, Unit: unit}
		for _, name := range names {
			c.Lines = append(c.Lines, report.Line{Series: lab.SeriesOf(r.Series, name, name)})
		}
		if f := p.Fault; f.Kind != origin.FaultNone && f.Rate > 0 {
			w := lab.Window{Start: f.Start, End: min(f.End, r.Elapsed.Duration())}
			c.Windows = append(c.Windows, w.Shaded("fault: "+f.Kind.String()))
		}
		return c
	}
	throughput := chart("Throughput", "operations/s", seriesOperations)
	throughput.Wide = true
	worst := chart("Worst latency", "log scale", seriesWorst)
	worst.Quantity, worst.Log = report.Seconds, true
	worst.Caption = "The slowest operation that ended within each interval."
	heap := chart("Heap", "bytes", seriesHeap)
	heap.Quantity = report.Bytes
	return lab.WithEvents([]*report.Chart{
		throughput,
		chart("Hit ratio", "share of the reads", seriesHitRatio),
		worst,
		chart("Loads and errors", "per second", seriesLoads, seriesErrors),
		chart("Callers waiting for a load", "callers", seriesWaiting),
		chart("Goroutines", "goroutines", seriesGoroutines),
		heap,
	})
}

// glossary explains the words of the tables and the rows of the totals.
func glossary() []lab.Term {
	return append([]lab.Term{
		{Row: "hit", Meaning: "a read whose value was there, and fresh"},
		{Row: "loaded", Meaning: "a read whose own fetch function brought the value"},
		{Row: "joined", Meaning: "a read that waited for a load which another one had started"},
		{Row: "stale",
			Meaning: "a read that got the last good value, since the load failed or took long"},
		{Row: "p50, p90, p99, p99.9", Meaning: "half of the operations took at most the first, 90 of " +
			"100 at most the second, and so on"},
		{Row: "open loop", Meaning: "operations are due at fixed times, and latency counts from then, " +
			"so that it contains the wait for a worker"},
		{Row: "closed loop", Meaning: "each worker starts its next operation when the last has ended"},
	}, lab.Glossary(totals)...)
}
