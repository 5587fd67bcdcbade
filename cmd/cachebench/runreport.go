package main

import (
	"github.com/snowfence/snowfence/internal/experiment/run"
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
		Summary:     r.summary(),
		Command:     r.Command,
		Seed:        &r.Seed,
		Scenario:    r.Scenario,
		Environment: r.environment,
		Checks:      r.Checks,
		Tables:      r.tables(),
		Charts:      r.charts(),
	}
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
			Lines: lines(run.SeriesOperations)},
		{Title: "Hit ratio", Unit: "share of the reads", Windows: windows,
			Lines: lines(run.SeriesHitRatio)},
		{Title: "Worst latency", Unit: "log scale", Quantity: report.Seconds, Log: true, Windows: windows,
			Lines:   lines(run.SeriesWorst),
			Caption: "The slowest operation that ended within each interval."},
		{Title: "Loads and errors", Unit: "per second", Windows: windows,
			Lines: lines(run.SeriesLoads, run.SeriesErrors)},
		{Title: "Callers waiting for a load", Unit: "callers", Windows: windows,
			Lines: lines(run.SeriesWaiting)},
		{Title: "Goroutines", Unit: "goroutines", Windows: windows, Lines: lines(run.SeriesGoroutines)},
		{Title: "Heap", Unit: "bytes", Quantity: report.Bytes, Windows: windows,
			Lines: lines(run.SeriesHeap)},
	}
}
