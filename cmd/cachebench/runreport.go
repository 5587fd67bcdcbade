package main

import (
	"fmt"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/load"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/verdict"
)

type errorKind = verdict.Kind

// errorNames says what a kind of error means to a reader.
func errorNames(kind errorKind) string {
	switch kind {
	case verdict.Deadline:
		return "the caller's own deadline passed"
	case verdict.TimedOut:
		return "the load took too long (--fetch-timeout)"
	case verdict.Panic:
		return "the load panicked"
	case verdict.Goexit:
		return "the load called runtime.Goexit"
	case verdict.Failed:
		return "the load returned an error"
	default:
		return string(kind)
	}
}

// report is the result as a page.
func (r *runOutput) report() *report.Report {
	return &report.Report{
		Title:       "Load on the cache: " + r.Keys,
		Finding:     r.finding(),
		Summary:     r.summary(),
		Command:     r.Command,
		Seed:        &r.Seed,
		Scenario:    r.Scenario,
		Environment: r.environment,
		Checks:      r.Checks,
		Tables:      r.tables(),
		Glossary:    runTerms,
		Charts:      r.charts(),
	}
}

// finding is the result in a sentence.
func (r *runOutput) finding() string {
	text := fmt.Sprintf("The cache did %s operations per second", human.Number(r.Result.PerSecond))
	if r.Result.Reads > 0 {
		what := "reads"
		if r.Result.Keys != nil {
			what = "keys"
		}
		text += fmt.Sprintf(", and %s of the %s were hits", human.Percent(r.Result.HitRatio), what)
	}
	loads := human.Count(int64(r.Result.OriginLoads)) //nolint:gosec // far below
	return fmt.Sprintf("%s; the origin was asked %s times.", text, loads)
}

// runTerms explain the words of the tables.
var runTerms = [][2]string{
	{"hit", "a read whose value was there, and fresh"},
	{"loaded", "a read whose own fetch function brought the value"},
	{"joined", "a read that waited for a load which another one had started"},
	{"stale", "a read that got the last good value, since the load failed or took long"},
	{"p50, p90, p99, p99.9", "half of the operations took at most the first, 90 of 100 at most the " +
		"second, and so on"},
	{"open loop", "operations are due at fixed times, and latency counts from then, so that waiting " +
		"for a worker is in it"},
	{"closed loop", "each worker starts its next operation when the last has ended"},
	{"origin loads per miss", "1 where each miss costs a load; less where reads join a load"},
}

func (r *runOutput) charts() []*report.Chart {
	byName := make(map[string]series.Series)
	for _, s := range r.Result.Series {
		byName[s.Name] = s
	}
	var windows []report.Window
	if f := r.plan.scenario.Fault; f.Kind != origin.FaultNone && f.Rate > 0 {
		windows = []report.Window{{
			From: f.Start.Seconds(), To: min(f.End, r.Result.Elapsed.Duration()).Seconds(),
			Label: "fault: " + f.Kind.String(),
		}}
	}
	lines := func(names ...string) (lines []report.Line) {
		for _, name := range names {
			lines = append(lines, report.Line{Series: byName[name]})
		}
		return lines
	}
	return []*report.Chart{
		{Title: "Throughput", Unit: "operations/s", Wide: true, Windows: windows,
			Lines: lines(load.SeriesOperations)},
		{Title: "Hit ratio", Unit: "share of the reads", Windows: windows,
			Lines: lines(load.SeriesHitRatio)},
		{Title: "Worst latency", Unit: "log scale", Quantity: report.Seconds, Log: true, Windows: windows,
			Lines:   lines(load.SeriesWorst),
			Caption: "The slowest operation that ended within each interval."},
		{Title: "Loads and errors", Unit: "per second", Windows: windows,
			Lines: lines(load.SeriesLoads, load.SeriesErrors)},
		{Title: "Callers waiting for a load", Unit: "callers", Windows: windows,
			Lines: lines(load.SeriesWaiting)},
		{Title: "Goroutines", Unit: "goroutines", Windows: windows, Lines: lines(load.SeriesGoroutines)},
		{Title: "Heap", Unit: "bytes", Quantity: report.Bytes, Windows: windows,
			Lines: lines(load.SeriesHeap)},
	}
}
