// Package churn requests keys that come and go from a cache, and shows whether the heap and the
// number of goroutines stay constant. It is "cachebench churn".
//
// At any time --key-count keys are alive, and callers request each of them with the same
// probability. Every second, --replace of them are retired, and as many new ones come. So a cache
// that keeps state for each key that it has ever seen grows without bound, and one that does not is
// bounded by its capacity.
package churn

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/lab/sample"
	"github.com/snowfence/snowfence/internal/lab/traffic"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

// Params are the parameters of the experiment.
type Params struct {
	Seed     uint64        `name:"seed" help:"settles which keys are asked for, and the latencies"`
	Duration time.Duration `name:"duration" min:"1s" max:"24h" help:"how long callers ask"`
	Rate     float64       `name:"rate" kind:"per-second" min:"1" max:"10000000" help:"fetches per second"`
	Workers  int           `name:"workers" min:"1" max:"100000" help:"goroutines that fetch"`
	KeyCount int           `name:"key-count" min:"1" max:"100000000" help:"keys that are alive at a time"`
	Replace  float64       `name:"replace" kind:"per-second" min:"0" max:"10000000" help:"keys that go per second, and as many come"`
	Capacity int           `name:"capacity" min:"1" help:"entries that the cache holds"`
	TTL      time.Duration `name:"ttl" min:"0s" help:"how long an entry lives" zero:"for ever"`
	Timeout  time.Duration `name:"timeout" above:"0s" help:"a caller's own deadline"`
	traffic.Origin
}

// Experiment is "cachebench churn".
var Experiment = &lab.Experiment[Params, Result]{
	Name:  "churn",
	Short: "Ask for keys that come and go; nothing may be left",
	Long: `Churn asks a cache for keys that come and go: each second some are never asked for
again, and as many new ones come. It shows the heap, the goroutines and the entries
over time. With --check they may not grow once the cache is warm: what is in use in
the last fifth of the run is compared with the second fifth.`,
	Example: `  cachebench churn
  cachebench churn --duration 10m --replace 5000 --check --out out/churn
  cachebench churn --ttl 0 --capacity 1000`,
	Topics: []lab.Topic{{Name: "rows", Short: "what the rows of the table say",
		Text: lab.Glossaries(lab.Glossary(measures))}},
	Defaults: func() Params {
		return Params{Seed: 1, Duration: 30 * time.Second, Rate: 20_000, Workers: 64, KeyCount: 5_000,
			Replace: 1000, Capacity: 10_000, TTL: 5 * time.Second, Timeout: 2 * time.Second,
			Origin: traffic.Lognormal(2*time.Millisecond, 20*time.Millisecond)}
	},
	Rules: func(p *Params, c *params.Checker) {
		c.Check(!c.Held || p.Duration/5 >= p.fills(), "duration",
			"must be at least %v with --check: the cache fills up until %v, and is measured from a fifth "+
				"of the run on; got %v", 5*p.fills(), p.fills(), p.Duration)
		c.Check(p.Rate*p.Duration.Seconds() >= float64(p.Workers), "workers",
			"must be at most one for each fetch of the run (%.0f), got %d", p.Rate*p.Duration.Seconds(),
			p.Workers)
	},
	Run:  Run,
	Page: page,
}

// fills returns the time for which the number of entries grows: until the first ones expire, or
// until the cache is full.
func (p *Params) fills() time.Duration {
	full := 24 * time.Hour
	if p.Replace > 0 {
		full = time.Duration(float64(max(0, p.Capacity-p.KeyCount)) / p.Replace * float64(time.Second))
	}
	if p.TTL > 0 {
		full = min(full, p.TTL)
	}
	return full.Round(time.Millisecond)
}

// A Result is the result of a run.
type Result struct {
	Seconds  float64 `json:"seconds"`
	Fetches  uint64  `json:"fetches"`
	Errors   uint64  `json:"errors"`
	Keys     int     `json:"keys"` // all that were alive at some time
	Stats    counts  `json:"cache"`
	Early    Level   `json:"early"` // the second fifth of the run
	Late     Level   `json:"late"`  // the last fifth
	Leftover int     `json:"goroutines_left"`

	series  []series.Series
	partial bool
}

// counts are the counters of the cache at the end.
type counts struct {
	Hits      uint64 `json:"hits"`
	Loads     uint64 `json:"loads"`
	Evictions uint64 `json:"evictions"`
	Most      int    `json:"most_entries"`
}

// A Level holds the means of a part of a run.
type Level struct {
	Heap       float64 `json:"heap_bytes"` // live, as of the last collection
	Goroutines float64 `json:"goroutines"`
	Entries    float64 `json:"entries"`
}

// The names of the series.
const (
	seriesHeap       = "heap_live_bytes"
	seriesGoroutines = "goroutines"
	seriesEntries    = "entries"
	seriesLoads      = "loads_per_second"
)

// Run requests keys for the run's duration, or until ctx ends.
func Run(ctx context.Context, p *Params, e lab.Env) (*Result, error) {
	before := runtime.NumGoroutine()
	o, err := origin.New(p.Origin.Config(p.Seed))
	if err != nil {
		return nil, err
	}
	c, err := cache.New(cache.Options[uint64, []byte]{Capacity: p.Capacity, TTL: p.TTL})
	if err != nil {
		return nil, err
	}
	r := &run{params: p, cache: c, origin: o, clock: pace.Start(), record: sample.New()}
	var workers sync.WaitGroup
	for i := range p.Workers {
		random := rand.New(rand.NewPCG(p.Seed, uint64(i))) //nolint:gosec // no secret
		workers.Go(func() { r.work(ctx, random) })
	}
	r.watch(ctx, e)
	workers.Wait()
	took := r.clock.Now()
	stats := c.Stats()
	if err := c.Close(); err != nil {
		return nil, err
	}
	if err := o.Close(); err != nil {
		return nil, err
	}
	result := &Result{
		Seconds: took.Seconds(), Fetches: r.fetches.Load(), Errors: r.errors.Load(),
		Keys:     p.KeyCount + int(p.Replace*min(took, p.Duration).Seconds()),
		Stats:    counts{stats.Hits, stats.Loads, stats.Evictions, int(r.record.Peak(seriesEntries))},
		Leftover: sample.GoroutinesLeft(before),
		series:   r.record.All(), partial: ctx.Err() != nil,
	}
	result.Early = levelOf(result.series, p.Duration/5, 2*p.Duration/5)
	result.Late = levelOf(result.series, 4*p.Duration/5, p.Duration+time.Second)
	return result, nil
}

// A run is the state of the experiment.
type run struct {
	params  *Params
	cache   *cache.Cache[uint64, []byte]
	origin  *origin.Origin
	clock   pace.Clock
	record  *sample.Sampler
	next    atomic.Uint64 // the number of the next fetch
	fetches atomic.Uint64
	errors  atomic.Uint64
}

// work fetches keys at the times that are due, until the run is over.
func (r *run) work(ctx context.Context, random *rand.Rand) {
	p := r.params
	for {
		due := pace.Due(r.next.Add(1)-1, p.Rate)
		if due >= p.Duration || r.clock.Until(ctx, due) != nil {
			return
		}
		// Keys below the oldest are retired.
		oldest := uint64(due.Seconds() * p.Replace)
		key := oldest + random.Uint64N(uint64(p.KeyCount)) //nolint:gosec // at least 1
		limited, cancel := context.WithTimeout(ctx, p.Timeout)
		_, err := r.cache.Fetch(limited, key, r.origin.Load)
		cancel()
		if ctx.Err() != nil {
			return
		}
		r.fetches.Add(1)
		if err != nil {
			r.errors.Add(1)
		}
	}
}

// watch samples the process until the run is over.
func (r *run) watch(ctx context.Context, e lab.Env) {
	interval := max(100*time.Millisecond, r.params.Duration/1000)
	heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	var loads uint64
	for at := range r.clock.Every(ctx, interval, interval, r.params.Duration) {
		if !r.record.Next(at, interval) {
			continue
		}
		metrics.Read(heap)
		live, stats, entries := float64(heap[0].Value.Uint64()), r.cache.Stats(), r.cache.Len()
		r.record.Gauge(seriesHeap, live)
		r.record.Gauge(seriesGoroutines, float64(runtime.NumGoroutine()))
		r.record.Gauge(seriesEntries, float64(entries))
		r.record.Rate(seriesLoads, stats.Loads-loads)
		loads = stats.Loads
		e.Progress(float64(at)/float64(r.params.Duration), fmt.Sprintf("%s entries, heap %s",
			human.Count(entries), human.Bytes(live)))
	}
}

// levelOf returns the means between two times of a run.
func levelOf(all []series.Series, from, to time.Duration) Level {
	mean := func(name string) float64 {
		sum, n := 0.0, 0
		for _, p := range lab.SeriesOf(all, name, "").Points {
			if !p.Gap() && p.T >= from.Seconds() && p.T < to.Seconds() {
				sum, n = sum+p.V, n+1
			}
		}
		return sum / float64(max(n, 1))
	}
	return Level{mean(seriesHeap), mean(seriesGoroutines), mean(seriesEntries)}
}

var measures = []lab.Measure[*Result]{
	{Name: "keys that came", Meaning: "keys that were alive at some time",
		Of: func(r *Result) table.Cell { return table.Count(int64(r.Keys)) }},
	{Name: "fetches per second", Meaning: "of all callers together, answered or not",
		Of: func(r *Result) table.Cell { return table.Rate(float64(r.Fetches) / r.Seconds) }},
	{Name: "errors", Meaning: "fetches that ended with an error; must be 0",
		Of: func(r *Result) table.Cell { return table.Count(int64(r.Errors)) }}, //nolint:gosec // few
	{Name: "loads of the origin", Meaning: "values that were loaded",
		Of: func(r *Result) table.Cell {
			return table.Count(int64(r.Stats.Loads)) //nolint:gosec // far below
		}},
	{Name: "most entries", Meaning: "in the cache at one time",
		Of: func(r *Result) table.Cell { return table.Count(int64(r.Stats.Most)) }},
	{Name: "heap in use, early / late",
		Meaning: "what collections found in use, as a mean over the second fifth of the run, and over " +
			"the last",
		Of: func(r *Result) table.Cell {
			if r.partial {
				return table.Missing()
			}
			return table.Bytes(r.Late.Heap).As(human.Bytes(r.Early.Heap) + " / " + human.Bytes(r.Late.Heap))
		}},
	{Name: "goroutines, early / late", Meaning: "the same of all goroutines of the process",
		Of: func(r *Result) table.Cell {
			if r.partial {
				return table.Missing()
			}
			return table.Number(r.Late.Goroutines).As(fmt.Sprintf("%.0f / %.0f", r.Early.Goroutines,
				r.Late.Goroutines))
		}},
}

// checks returns the checks of the result. They tolerate a growth of a tenth, and a little more for
// noise.
func (r *Result) checks(p *Params) []report.Check {
	check := func(name string, ok bool, format string, args ...any) report.Check {
		return report.Check{Name: name, OK: ok && !r.partial, Detail: fmt.Sprintf(format, args...)}
	}
	return []report.Check{
		check("the heap does not grow", r.Late.Heap <= 1.1*r.Early.Heap+(2<<20),
			"%s early and %s late; wanted: at most a tenth and 2 MiB more", human.Bytes(r.Early.Heap),
			human.Bytes(r.Late.Heap)),
		check("goroutines do not grow", r.Late.Goroutines <= 1.1*r.Early.Goroutines+20,
			"%.0f early and %.0f late; wanted: at most a tenth and 20 more", r.Early.Goroutines,
			r.Late.Goroutines),
		check("the cache stays within its capacity", r.Stats.Most <= p.Capacity,
			"%s entries at most; wanted: at most %s", human.Count(int64(r.Stats.Most)),
			human.Count(int64(p.Capacity))),
		check("no fetch fails", r.Errors == 0, "%d did; wanted: 0", r.Errors),
		check("no goroutine is left", r.Leftover == 0, "%d were; wanted: 0", r.Leftover),
	}
}

func page(p *Params, r *Result) *lab.Page {
	t := table.New(fmt.Sprintf("%s keys alive, %s of them replaced per second, for %s",
		human.Count(int64(p.KeyCount)), human.Number(p.Replace), human.Seconds(r.Seconds)),
		"measure", "cache")
	lab.Compare(t, []*Result{r}, measures)
	chart := func(name, title, unit, caption string, q report.Quantity) *report.Chart {
		return &report.Chart{Title: title, Unit: unit, Caption: caption, Quantity: q,
			Lines: []report.Line{{Series: lab.SeriesOf(r.series, name, title)}}}
	}
	charts := []*report.Chart{
		chart(seriesHeap, "Heap in use", "bytes", "What the last collection found in use.", report.Bytes),
		chart(seriesGoroutines, "Goroutines", "goroutines",
			"All of the process: workers, and the fetch functions that run.", report.Number),
		chart(seriesEntries, "Entries", "entries", "In the cache.", report.Number),
		chart(seriesLoads, "Loads", "loads/s", "Of the origin.", report.Number),
	}
	charts[0].Wide = true
	finding := fmt.Sprintf("%s keys came, of which %s were alive at a time. ",
		human.Count(int64(r.Keys)), human.Count(int64(p.KeyCount)))
	if r.partial {
		finding += "The run was stopped before its early and late parts could be compared."
	} else {
		finding += fmt.Sprintf("Collections found %s in use early in the run and %s late. There were "+
			"%.0f goroutines early and %.0f late.", human.Bytes(r.Early.Heap), human.Bytes(r.Late.Heap),
			r.Early.Goroutines, r.Late.Goroutines)
	}
	return &lab.Page{
		Title:   "Churn: keys that come and go",
		Story:   "Callers asked a cache for keys of which some were replaced every second.",
		Finding: finding, Seed: &p.Seed, Partial: r.partial, Tables: []*table.Table{t},
		Glossary: lab.Glossary(measures), Charts: lab.WithEvents(charts), Series: r.series,
		Checks: r.checks(p),
	}
}
