package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/experiment/run"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
	"github.com/snowfence/snowfence/internal/workload"
)

// A runOutput is what "cachebench run" prints and writes. Its JSON is that of
// --json and of result.json.
type runOutput struct {
	Command  string           `json:"command"`
	Seed     uint64           `json:"seed"`
	Keys     string           `json:"keys"`
	Capacity int              `json:"capacity"`
	Unlinked bool             `json:"unlinked"`
	Result   *run.Result     `json:"result"`
	PlainLRU *run.Comparison `json:"plain_lru,omitempty"`
	Checks   []report.Check   `json:"checks,omitempty"`
	Scenario string           `json:"scenario"`
	Files    []string         `json:"files,omitempty"`

	environment report.Environment
	plan        *runPlan
}

func (r *runOutput) checkHitRatio(least float64) {
	r.Checks = append(r.Checks, report.Check{
		Name:   "The hit ratio is at least " + human.Percent(least),
		OK:     r.Result.HitRatio >= least,
		Detail: human.Percent(r.Result.HitRatio),
	})
}

func (r *runOutput) writeText(w io.Writer) error {
	style := table.StyleFor(w)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.summary())
	tables := r.tables()
	if len(r.Checks) > 0 {
		tables = append(tables, report.ChecksTable(r.Checks))
	}
	for i, t := range tables {
		if i > 0 {
			fmt.Fprintln(&b)
		}
		if err := t.WriteText(&b, style); err != nil {
			return err
		}
	}
	if len(r.Files) > 0 {
		fmt.Fprintf(&b, "\nWritten: %s\n", strings.Join(r.Files, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeFiles writes the files, the result last: it names the others.
func (r *runOutput) writeFiles(dir string) error {
	return writeReport(dir, &r.Files,
		reportFile{"report.html", r.report().WriteHTMLFile},
		reportFile{"series.csv", func(path string) error {
			return series.WriteCSVFile(path, r.Result.Series...)
		}},
		resultFile(r),
	)
}

// summary says in a line or two what was run.
func (r *runOutput) summary() string {
	s, c := r.plan.scenario, r.plan.config
	loop := "closed loop"
	if c.Rate > 0 {
		loop = "open loop at " + human.Rate(c.Rate)
	}
	workers := "1 worker"
	if c.Workers > 1 {
		workers = human.Count(int64(c.Workers)) + " workers"
	}
	size := human.Count(int64(c.Cache.Capacity)) + " entries"
	if c.Cache.MaxWeight > 0 {
		bytes := human.Bytes(float64(c.Cache.MaxWeight)) + " of values"
		if c.Cache.Capacity > 0 {
			size += " and " + bytes
		} else {
			size = bytes
		}
	}
	batch := ""
	if r.Result.Batch > 1 {
		batch = fmt.Sprintf(", %s keys at a time", human.Count(int64(r.Result.Batch)))
	}
	text := fmt.Sprintf("Keys: %s. Cache of %s. %s, %s; %s%s.",
		r.Keys, size, upper(loop), workers, mixText(c.Mix), batch)
	if r.Unlinked {
		text += " The courier's fix is off."
	}
	if f := s.Fault; f.Kind != origin.FaultNone {
		text += fmt.Sprintf("\nFault: %s of %d keys, which get %s of the requests, at a rate of %s, "+
			"from %s to %s.",
			f.Kind, f.Keys, human.Percent(r.plan.share), human.Percent(f.Rate), human.Duration(f.Start),
			human.Duration(f.End))
	}
	return text
}

// mixText names the operations that come up.
func mixText(m workload.Mix) string {
	if m.Write == 0 && m.Delete == 0 {
		return "reads only"
	}
	return m.String()
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func (r *runOutput) tables() []*table.Table {
	tables := []*table.Table{r.totals(), r.latencies()}
	if r.Result.Keys != nil {
		tables = append(tables, r.batchKeys())
	}
	if len(r.Result.Errors) > 0 {
		tables = append(tables, r.errors())
	}
	return append(tables, r.process())
}

func count[T uint64 | int](n T) table.Cell { return table.Count(int64(n)) } //nolint:gosec // counts

func (r *runOutput) totals() *table.Table {
	res := r.Result
	t := table.New("Totals", "measure", "value")
	row := func(name string, cell table.Cell) { t.Add(table.Text(name), cell) }
	row("operations", count(res.Operations))
	row("measured for", table.Duration(res.Elapsed.Duration()))
	row("throughput", table.Rate(res.PerSecond))
	ratio := table.Missing()
	if res.Reads > 0 {
		ratio = table.Percent(res.HitRatio)
	}
	hits := "hit ratio"
	if res.Keys != nil {
		row("keys per second", table.Rate(res.Keys.PerSecond))
		hits = "hit ratio of keys"
	}
	row(hits, ratio)
	if r.PlainLRU != nil {
		row("hit ratio of plain golang-lru", table.Percent(r.PlainLRU.HitRatio))
		row("difference in percentage points",
			table.Text(fmt.Sprintf("%+.2f", 100*(res.HitRatio-r.PlainLRU.HitRatio))))
	}
	row("origin loads", count(res.OriginLoads))
	perMiss := table.Missing()
	if res.LoadsPerMiss > 0 {
		perMiss = table.Number(res.LoadsPerMiss)
	}
	perMissOf := "origin loads per miss"
	if res.Keys != nil {
		perMissOf = "origin loads per batch with a miss"
	}
	row(perMissOf, perMiss)
	row("origin loads at once, peak", count(res.OriginPeak))
	row("callers waiting for a load at once, peak", count(res.WaitingPeak))
	if res.InjectedLoads > 0 {
		row("origin loads that failed on purpose", count(res.InjectedLoads))
	}
	row("evictions", count(res.Evictions))
	row("expirations", count(res.Expired))
	if res.Stale > 0 {
		row("stale values given", count(res.Stale))
	}
	if res.Refreshes > 0 {
		row("refreshes", count(res.Refreshes))
	}
	if res.Rejected > 0 {
		row("values too heavy to store", count(res.Rejected))
	}
	row("entries at the end", count(res.Entries))
	if res.Late != nil {
		row("operations due but not begun", count(res.Missed))
	}
	if res.CutOff > 0 {
		row("reads that the interruption cut off", count(res.CutOff))
	}
	if res.Skipped > 0 {
		row("operations in the warm-up", count(res.Skipped))
	}
	return t
}

func (r *runOutput) latencies() *table.Table {
	res := r.Result
	t := table.New("Latency by outcome", "outcome", "count", "share", "p50", "p90", "p99", "p99.9",
		"max")
	row := func(name string, share table.Cell, l run.Latencies) {
		cells := []table.Cell{table.Text(name), count(l.Count), share}
		for _, d := range []run.Seconds{l.P50, l.P90, l.P99, l.P999, l.Max} {
			cell := table.Missing()
			if l.Timed > 0 {
				cell = table.Duration(d.Duration())
			}
			cells = append(cells, cell)
		}
		t.Add(cells...)
	}
	for _, l := range res.Outcomes {
		row(l.Outcome.String(), table.Percent(float64(l.Count)/float64(res.Operations)), l)
	}
	if res.Late != nil {
		row("(started late)", table.Missing(), *res.Late)
		t.Note("Latency counts from when an operation was due. Started late: how long after that it " +
			"began.")
	}
	if n := res.Batch; n > 1 {
		t.Note("A read is a batch of %s keys. Its latency is that of each of them, since they come "+
			"together.",
			human.Count(int64(n)))
	}
	t.Note("Timing an operation costs about %s, %s", human.Duration(res.TimingCost.Duration()),
		r.sampling())
	return t
}

func (r *runOutput) sampling() string {
	if n := r.Result.SampleHits; n > 1 {
		return fmt.Sprintf("and is done for one hit in %d and for all other operations.", n)
	}
	return "and is done for all."
}

// batchKeys says what became of the keys of batches.
func (r *runOutput) batchKeys() *table.Table {
	k := r.Result.Keys
	t := table.New("Keys of batches", "outcome", "count", "share")
	row := func(name string, n uint64) {
		t.Add(table.Text(name), count(n), table.Percent(float64(n)/float64(max(1, k.Asked))))
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

func (r *runOutput) errors() *table.Table {
	title := "Errors"
	if r.Result.Keys != nil {
		title = "Errors of keys"
	}
	t := table.New(title, "kind", "count")
	kinds := slices.Collect(maps.Keys(r.Result.Errors))
	slices.SortFunc(kinds, func(a, b errorKind) int {
		return cmp.Or(cmp.Compare(r.Result.Errors[b], r.Result.Errors[a]), cmp.Compare(a, b))
	})
	for _, kind := range kinds {
		t.Add(table.Text(errorNames(kind)), count(r.Result.Errors[kind]))
	}
	return t
}

func (r *runOutput) process() *table.Table {
	res := r.Result
	t := table.New("Process", "measure", "start", "peak", "end")
	level := func(name string, l run.Level, cell func(uint64) table.Cell) {
		t.Add(table.Text(name), cell(l.Start), cell(l.Peak), cell(l.End))
	}
	level("goroutines", res.Goroutines, count[uint64])
	level("heap", res.Heap, func(n uint64) table.Cell { return table.Bytes(float64(n)) })
	t.Note("Start and end of the heap are after a collection; the peak includes garbage.")
	t.Note("Garbage collections: %s, longest pause at most %s.",
		human.Count(int64(res.GC.Cycles)), //nolint:gosec // a count
		human.Duration(res.GC.Longest.Duration()))
	if res.AbandonedLeft > 0 || res.FlightsLeft > 0 {
		t.Note("Loads that had not ended at the end: %s, of which abandoned: %s.",
			human.Count(int64(res.FlightsLeft+res.AbandonedLeft)), human.Count(int64(res.AbandonedLeft)))
	}
	return t
}
