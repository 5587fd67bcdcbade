package run

import (
	"context"
	"errors"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/debug"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/verdict"
	"github.com/snowfence/snowfence/internal/workload"
)

type cacheT = cache.Cache[uint64, []byte]

// A run is a cache under load.
type run struct {
	pace.Clock

	params     *Params
	space      *workload.Space
	requests   uint64 // how many keys there are to come; 0: time decides
	progress   func(part float64, doing string)
	ctx        context.Context // of all reads; ends after an interrupted run has stopped
	cutOff     context.CancelFunc
	cache      *cacheT
	origin     *origin.Origin
	fetch      func(context.Context, uint64) ([]byte, error)
	fetchMany  func(context.Context, []uint64) (map[uint64][]byte, error)
	batch      int // keys of a read
	refreshes  bool
	stale      bool // values may be
	sampleHits int
	pacer      *pacer // nil in a closed loop
	workers    []*worker
	tallies    []*tally

	measuring atomic.Bool
	stopped   atomic.Bool     // no operation begins any more
	running   context.Context // ends then
	stop      context.CancelFunc

	// Of the goroutine that called Execute.
	measuredFrom time.Duration
	stoppedAt    time.Duration
	before       counts // at the start of the measured part
	sampler      *sampler
	process      *process
}

// counts are the counters of the cache and the origin.
type counts struct {
	cache  cache.Stats
	origin origin.Stats
}

// Execute makes a cache and an origin, runs the load, closes both and returns what was measured. It
// blocks for the run's duration, and then for as long as the operations under way take, at most
// p.Timeout. If ctx ends before, the run stops at once and the result says so; that is no error.
// With an error about what could not be closed there is a result all the same.
func Execute(ctx context.Context, p *Params, e lab.Env) (_ *Result, err error) {
	space, err := p.space()
	if err != nil {
		return nil, err
	}
	backend, share, err := p.backend()
	if err != nil {
		return nil, err
	}
	o, err := origin.New(backend)
	if err != nil {
		return nil, err
	}
	// The origin first, so that functions that hang can end.
	defer func() { err = errors.Join(err, o.Close()) }()
	c, err := cache.New(p.options())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.Close(), c.Close()) }()
	if e.Debug != nil {
		e.Debug.Add("run", debug.Cache(c))
	}

	r := &run{
		params:     p,
		space:      space,
		progress:   e.Progress,
		cache:      c,
		origin:     o,
		batch:      max(1, p.Batch),
		refreshes:  p.RefreshAt > 0,
		stale:      p.StaleFor > 0,
		sampleHits: max(1, p.SampleHits),
		process:    newProcess(),
	}
	// Not ctx itself: workers would go on for a moment, with reads that all end at once, and be
	// counted.
	r.ctx, r.cutOff = context.WithCancel(context.WithoutCancel(ctx))
	defer r.cutOff()
	r.running, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	defer r.stop()
	r.fetch, r.fetchMany = r.load, r.loadMany
	if t := p.Replay; t != nil && !p.Loop {
		r.requests = uint64(t.Len()) //nolint:gosec // a length
	}
	if p.Rate > 0 {
		r.pacer = newPacer(r)
	}
	for range min(p.Workers, mostTallies) {
		r.tallies = append(r.tallies, new(tally))
	}
	for i := range p.Workers {
		r.workers = append(r.workers, newWorker(r, r.tallies[i%len(r.tallies)], i))
	}
	cost := timingCost()
	runtime.GC()
	r.Clock = pace.Start()
	r.sampler = newSampler(r)
	r.supervise(ctx)
	res := r.result(cost)
	res.FaultShare = share
	if p.CompareLRU && res.Operations > 0 {
		keys, err := p.space()
		if err != nil {
			return res, err
		}
		res.PlainLRU, err = plainLRU(keys, p.Capacity, res.Skipped, res.Operations)
		return res, err
	}
	return res, nil
}

// supervise starts the workers, steers the run through its parts, and takes samples. It returns
// when the workers have ended and the time is over.
func (r *run) supervise(ctx context.Context) {
	if r.params.Warmup == 0 {
		r.measure()
	}
	var wg sync.WaitGroup
	for _, w := range r.workers {
		wg.Go(w.loop)
	}
	ended := make(chan struct{})
	go func() {
		wg.Wait()
		close(ended)
	}()

	until := r.params.Until
	if until == 0 {
		until = r.params.Duration
	}
	warm, last, end := time.NewTimer(r.params.Warmup), time.NewTimer(r.params.Warmup+until),
		time.NewTimer(r.params.Warmup+r.params.Duration)
	tick := time.NewTimer(r.sampler.interval())
	defer warm.Stop()
	defer last.Stop()
	defer end.Stop()
	defer tick.Stop()
	interrupted, over := ctx.Done(), false
	for ended != nil || !over {
		select {
		case <-warm.C:
			if !r.measuring.Load() {
				r.measure()
			}
		case <-last.C:
			r.halt()
			r.sampler.sample()
		case <-end.C:
			over = true
		case <-interrupted:
			interrupted, over = nil, true
			r.halt()
			r.cutOff()
		case <-ended:
			ended = nil
			if !r.stopped.Load() { // there are no more keys
				over = true
				r.halt()
			}
		case <-tick.C:
			r.sampler.sample()
			tick.Reset(r.sampler.interval())
		}
	}
	if !r.measuring.Load() { // stopped while it warmed up
		r.measure()
		r.stoppedAt = r.measuredFrom
	}
	r.sampler.sample()
}

// measure begins the measured part.
func (r *run) measure() {
	r.measuredFrom = r.Now()
	r.before = counts{r.cache.Stats(), r.origin.Stats()}
	r.process.start()
	r.origin.Start()
	r.sampler.start()
	r.measuring.Store(true)
}

// halt keeps further operations from beginning.
func (r *run) halt() {
	if !r.stopped.Swap(true) {
		r.stoppedAt = r.Now()
		r.stop()
	}
}

// result returns what was measured. The workers have ended; cache and origin are still open.
func (r *run) result(cost time.Duration) *Result {
	all := tally{errors: make(map[verdict.Kind]uint64)}
	for _, t := range r.tallies {
		all.merge(t)
	}
	cacheNow, originNow := r.cache.Stats(), r.origin.Stats()
	elapsed := r.stoppedAt - r.measuredFrom
	res := &Result{
		Partial:       r.ctx.Err() != nil,
		Elapsed:       measured.Of(elapsed),
		Skipped:       all.skipped,
		CutOff:        all.cutOff,
		OriginLoads:   originNow.Loads - r.before.origin.Loads,
		OriginPeak:    originNow.Peak,
		InjectedLoads: originNow.Faults - r.before.origin.Faults,
		Errors:        all.errors,
		Outcomes:      []Latencies{},
		Evictions:     cacheNow.Evictions - r.before.cache.Evictions,
		Expired:       cacheNow.Expired - r.before.cache.Expired,
		Refreshes:     cacheNow.Refreshes - r.before.cache.Refreshes,
		Stale:         cacheNow.Stale - r.before.cache.Stale,
		Rejected:      cacheNow.Rejected - r.before.cache.Rejected,
		Entries:       r.cache.Len(),
		AbandonedLeft: cacheNow.Courier.Abandoned,
		FlightsLeft:   cacheNow.Courier.InFlight,
		GC:            r.process.collected(),
		TimingCost:    measured.Of(cost),
	}
	for o := range outcomes {
		n := all.counts[o].Load()
		if n == 0 {
			continue
		}
		l := latencies(&all.times[o])
		l.Outcome, l.Count = &o, n
		res.Outcomes = append(res.Outcomes, l)
		res.Operations += n
		if o != Write && o != Delete {
			res.Reads += n
		}
	}
	if elapsed > 0 {
		res.PerSecond = float64(res.Operations) / elapsed.Seconds()
	}
	hits := all.counts[Hit].Load()
	if res.Reads > 0 {
		res.HitRatio = float64(hits) / float64(res.Reads)
	}
	if misses := res.Reads - hits; misses > 0 {
		res.LoadsPerMiss = float64(res.OriginLoads) / float64(misses)
	}
	if r.batch > 1 {
		res.Keys = r.keys(&all, cacheNow.Hits-r.before.cache.Hits, elapsed)
		if res.Keys.Asked > 0 {
			res.HitRatio = float64(res.Keys.Hit) / float64(res.Keys.Asked)
		}
	}
	if r.pacer != nil {
		late := latencies(&all.late)
		res.Late, res.Missed = &late, r.pacer.missed(r.stoppedAt)
	}
	r.sampler.finish(res)
	return res
}

// timingCost measures the cost of a timed operation, see the package's comment.
func timingCost() time.Duration {
	const rounds = 20_000
	best := time.Duration(math.MaxInt64)
	for range 5 { // the best, since others disturb only upwards
		var t tally
		began := time.Now()
		for range rounds {
			from := time.Since(began)
			t.add(Hit, time.Since(began)-from)
		}
		best = min(best, time.Since(began)/rounds)
	}
	return best
}
