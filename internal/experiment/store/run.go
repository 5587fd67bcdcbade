package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachevalkey"
	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/snowfence/snowfence/internal/lab/sample"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/valkeytest"
	"github.com/snowfence/snowfence/internal/workload"
)

// A Level is what came out without a second level, or with one.
type Level struct {
	Second  bool                   `json:"second_level"`
	Fetches uint64                 `json:"fetches"`
	Errors  uint64                 `json:"errors"`
	Example string                 `json:"example_of_an_error,omitempty"`
	Loads   uint64                 `json:"loads"`
	Stale   uint64                 `json:"stale_values"`
	Times   [parts]measured.Spread `json:"times"` // before, during and after the disturbance, and from the deploy on
	Origin  measured.Spread        `json:"origin"`
	Renewed float64                `json:"loads_per_key_after_deploy"` // in its first second
	Counts  map[string]uint64      `json:"second_level_counts,omitempty"`
	Settled measured.Value         `json:"settled_seconds"` // from the end of the disturbance on
	series  []series.Series
}

// The parts of a run.
const (
	before = iota
	during
	after
	deployed // the first second after the deploy, and the rest
	parts
)

// afterDeploy is the time in which loads count as those of the deploy.
const afterDeploy = time.Second

// The names of the series.
const (
	seriesLoads   = "loads_per_second"
	seriesFound   = "found_per_second"
	seriesErrors  = "second_level_errors_per_second"
	seriesLatency = "slowest_seconds"
)

// A process is a cache with what it needs. A deploy replaces it.
type process struct {
	cache   *cache.Loading[uint64, []byte]
	storage *cachevalkey.Storage // nil without a second level
	users   atomic.Int64         // fetches that are under way
}

// A run is the state of a run.
type run struct {
	params *Params
	server *valkeytest.Server // nil without a second level
	origin *origin.Origin
	clock  pace.Clock
	record *sample.Sampler

	processes []atomic.Pointer[process]
	next      atomic.Uint64 // the number of the next fetch
	loads     atomic.Uint64
	slowest   atomic.Int64 // since the last sample

	mu      sync.Mutex // guards the fields below
	times   [parts]measured.Times
	origins measured.Times
	fetches uint64
	errors  uint64
	example string
	retired cache.Stats // of caches that were replaced
}

// runLevel runs the caches once.
func runLevel(
	ctx context.Context, p *Params, space *workload.Space, second bool,
	progress func(float64, string),
) (_ *Level, err error) {
	r := &run{params: p, record: sample.New(seriesLoads, seriesFound, seriesErrors, seriesLatency),
		processes: make([]atomic.Pointer[process], p.Processes)}
	if second {
		if r.server, err = valkeytest.Start(ctx, valkeytest.Options{}); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, r.server.Close()) }()
	}
	if r.origin, err = origin.New(p.Origin.Config(p.Seed)); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.origin.Close()) }()
	defer func() {
		for i := range r.processes {
			if p := r.processes[i].Load(); p != nil {
				err = errors.Join(err, r.stop(p))
			}
		}
	}()
	for i := range r.processes {
		made, err := r.start()
		if err != nil {
			return nil, err
		}
		r.processes[i].Store(made)
	}
	r.clock = pace.Start()
	var workers sync.WaitGroup
	for i := range p.Workers {
		workers.Go(func() { r.work(ctx, i, space.Source(uint64(i))) }) //nolint:gosec // not negative
	}
	level, err := r.watch(ctx, progress)
	workers.Wait()
	if err != nil {
		return nil, err
	}
	stats := r.stats()
	level.Second, level.Fetches, level.Errors, level.Example = second, r.fetches, r.errors, r.example
	level.Loads, level.Stale, level.Origin = r.loads.Load(), stats.Stale, r.loadTimes()
	for i := range r.times {
		level.Times[i] = r.times[i].Spread()
	}
	if second {
		level.Counts = map[string]uint64{
			"hits": stats.SecondHits, "misses": stats.SecondMisses, "stale": stats.SecondStale,
			"errors": stats.SecondErrors, "rejected": stats.SecondRejected,
			"writes": stats.SecondWrites, "dropped": stats.SecondDropped,
		}
	}
	level.series = r.record.All()
	return level, nil
}

// start makes a process.
func (r *run) start() (*process, error) {
	p := new(process)
	o := cache.Options[uint64, []byte]{TTL: r.params.TTL, TTLJitter: 0.1, StaleFor: r.params.StaleFor}
	if r.server != nil {
		var err error
		p.storage, err = cachevalkey.New(cachevalkey.Options{
			Client: valkey.ClientOption{InitAddress: []string{r.server.Addr()}},
		})
		if err != nil {
			return nil, err
		}
		o.SecondLevel = cache.SecondLevel[uint64, []byte]{Storage: p.storage}
	}
	var err error
	p.cache, err = cache.NewLoading(o, r.load)
	return p, err
}

// load loads a key from the origin, and notes how long that takes.
func (r *run) load(ctx context.Context, key uint64) ([]byte, error) {
	r.loads.Add(1)
	begin := time.Now()
	value, err := r.origin.Load(ctx, key)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.origins.Add(time.Since(begin))
	return value, err
}

// loadTimes returns how long loads took. Some may be under way although their callers have left.
func (r *run) loadTimes() measured.Spread {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.origins.Spread()
}

// stop ends a process as one that drains: after its callers have left.
func (r *run) stop(p *process) error {
	for p.users.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
	err := p.cache.Close()
	r.mu.Lock()
	r.retired = sum(r.retired, p.cache.Stats())
	r.mu.Unlock()
	if p.storage != nil {
		return errors.Join(err, p.storage.Close())
	}
	return err
}

// work fetches keys at the times that are due, until the run is over.
func (r *run) work(ctx context.Context, worker int, keys workload.Source) {
	var times [parts]measured.Times
	var fetches, failed uint64
	var example error
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for i := range times {
			r.times[i].Merge(&times[i])
		}
		r.fetches += fetches
		r.errors += failed
		if r.example == "" && example != nil {
			r.example = example.Error()
		}
	}()
	for {
		due := pace.Due(r.next.Add(1)-1, r.params.Rate)
		if due >= r.params.Duration || r.clock.Until(ctx, due) != nil {
			return
		}
		key, _ := keys.Next()
		err := r.fetch(ctx, &r.processes[worker%len(r.processes)], key)
		if ctx.Err() != nil {
			return
		}
		took := r.clock.Now() - due
		times[r.params.part(due)].Add(took)
		for now := r.slowest.Load(); int64(took) > now; now = r.slowest.Load() {
			if r.slowest.CompareAndSwap(now, int64(took)) {
				break
			}
		}
		fetches++
		if err != nil {
			failed, example = failed+1, err
		}
	}
}

func (r *run) fetch(ctx context.Context, at *atomic.Pointer[process], key uint64) error {
	p := at.Load()
	for p.users.Add(1); at.Load() != p; p.users.Add(1) { // it was replaced meanwhile
		p.users.Add(-1)
		p = at.Load()
	}
	defer p.users.Add(-1)
	limited, cancel := context.WithTimeout(ctx, r.params.Timeout)
	defer cancel()
	value, err := p.cache.Fetch(limited, key)
	if err != nil {
		return err
	}
	return r.origin.Check(key, value)
}

// part returns the part of the run that a time falls into.
func (p *Params) part(t time.Duration) int {
	switch {
	case t >= p.Deploy:
		return deployed
	case t >= p.End:
		return after
	case t >= p.Start:
		return during
	default:
		return before
	}
}

// watch disturbs the server, deploys and takes samples until the run is over.
func (r *run) watch(ctx context.Context, progress func(float64, string)) (*Level, error) {
	p := r.params
	const interval = 50 * time.Millisecond
	level := &Level{Settled: measured.Value(0)}
	var began, ended, replaced bool
	var loads, atDeploy uint64
	var last cache.Stats
	found := false
	disturbed := r.server != nil && p.Disturb != none
	var stopping sync.WaitGroup
	defer stopping.Wait()
	for at := range r.clock.Every(ctx, interval, interval, p.Duration) {
		switch {
		case !began && at >= p.Start:
			began = true
			if disturbed {
				if err := p.Disturb.begin(ctx, r.server); err != nil {
					return nil, fmt.Errorf("store: %s: %w", p.Disturb, err)
				}
			}
		case !ended && at >= p.End:
			ended = true
			if disturbed {
				if err := p.Disturb.end(ctx, r.server); err != nil {
					return nil, fmt.Errorf("store: the end of %s: %w", p.Disturb, err)
				}
			}
			last = r.stats()
		case !replaced && at >= p.Deploy:
			replaced, atDeploy = true, r.loads.Load()
			if err := r.deploy(&stopping); err != nil {
				return nil, err
			}
		}
		if replaced && at < p.Deploy+afterDeploy {
			level.Renewed = float64(r.loads.Load()-atDeploy) / float64(p.KeyCount)
		}
		now := r.stats()
		if ended && !replaced && now.SecondErrors > last.SecondErrors ||
			ended && !found && now.SecondHits > last.SecondHits {
			found = found || now.SecondHits > last.SecondHits
			level.Settled = measured.Value(max(0, (at - p.End).Seconds()))
		}
		if r.record.Next(at, interval) {
			r.record.Rate(seriesLoads, r.loads.Load()-loads)
			r.record.Rate(seriesFound, now.SecondHits-last.SecondHits)
			r.record.Rate(seriesErrors, now.SecondErrors-last.SecondErrors)
			r.record.Gauge(seriesLatency, time.Duration(r.slowest.Swap(0)).Seconds())
		}
		loads, last = r.loads.Load(), now
		progress(float64(at)/float64(p.Duration), human.Count(loads)+" loads")
	}
	if !disturbed || !found {
		level.Settled = measured.None()
	}
	return level, nil
}

// deploy replaces all processes at once.
func (r *run) deploy(stopping *sync.WaitGroup) error {
	made := make([]*process, len(r.processes))
	for i := range made {
		var err error
		if made[i], err = r.start(); err != nil {
			return err
		}
	}
	for i := range r.processes {
		old := r.processes[i].Swap(made[i])
		stopping.Go(func() {
			if err := r.stop(old); err != nil {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.errors, r.example = r.errors+1, "process "+strconv.Itoa(i)+": "+err.Error()
			}
		})
	}
	return nil
}

// stats returns the counters of all caches, of those that were replaced too.
func (r *run) stats() cache.Stats {
	r.mu.Lock()
	s := r.retired
	r.mu.Unlock()
	for i := range r.processes {
		s = sum(s, r.processes[i].Load().cache.Stats())
	}
	return s
}

func sum(a, b cache.Stats) cache.Stats {
	return cache.Stats{
		Stale: a.Stale + b.Stale, SecondHits: a.SecondHits + b.SecondHits,
		SecondMisses: a.SecondMisses + b.SecondMisses, SecondStale: a.SecondStale + b.SecondStale,
		SecondErrors: a.SecondErrors + b.SecondErrors, SecondWrites: a.SecondWrites + b.SecondWrites,
		SecondRejected: a.SecondRejected + b.SecondRejected,
		SecondDropped:  a.SecondDropped + b.SecondDropped,
	}
}
