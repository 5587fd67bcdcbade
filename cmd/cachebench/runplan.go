package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/experiment/run"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/scenario"
	"github.com/snowfence/snowfence/internal/trace"
	"github.com/snowfence/snowfence/internal/workload"
)

// longestReplay bounds a trace that is not ended by --duration. It is the
// longest run that a scenario can have.
const longestReplay = 24 * time.Hour

// timerSlack is how late a sleeping Go program may wake up, so how long before
// an operation is due a worker stays awake.
const timerSlack = 1200 * time.Microsecond

// A runPlan is all that a run needs, valid and read.
type runPlan struct {
	scenario *scenario.Scenario
	trace    *trace.Trace // nil without
	loop     bool
	share    float64 // of the requests, that are for keys which can fail
	keys     string  // the keys in words
	config   run.Config
}

// runDefault is testdata/scenarios/run-default.yaml; a test holds them together.
func runDefault() *scenario.Scenario {
	s := scenario.Default()
	s.Name = "run-default"
	s.Description = "A closed loop of mostly reads over ten times as many keys as the cache holds."
	s.Duration = 10 * time.Second
	s.Events.Rate, s.Events.Workers = 0, 16
	s.Keys.Count = 100_000
	s.Mix = scenario.Mix{Read: 95, Write: 4, Delete: 1}
	s.Cache.TTL, s.Cache.FetchTimeout = time.Minute, time.Second
	latency, err := workload.LognormalLatency(2*time.Millisecond, 20*time.Millisecond)
	if err != nil {
		panic(err) // the arguments are constants
	}
	s.Origin.Latency = latency
	return s
}

// replayDefault is what a trace is replayed with.
func replayDefault() *scenario.Scenario {
	s := runDefault()
	s.Name = "replay"
	s.Description = "A trace replayed as reads by one worker, for its hit ratio."
	s.Keys.Kind = workload.KindTrace
	s.Duration = longestReplay
	s.Events.Workers = 1
	s.Mix = scenario.Mix{Read: 100}
	s.Cache.TTL, s.Cache.Jitter = 0, 0
	s.Origin.Latency = workload.Latency{}
	return s
}

// plan validates flags and scenario and reads the trace. Every error is the
// user's.
func (f *runFlags) plan() (*runPlan, error) {
	s, err := f.merged()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.checkOthers(s), s.Validate()); err != nil {
		return nil, err
	}
	p := &runPlan{scenario: s, loop: f.loop}
	if s.Keys.Kind == workload.KindTrace {
		if p.trace, err = f.loadTrace(s.TracePath()); err != nil {
			return nil, err
		}
	}
	space, err := p.space()
	if err != nil {
		return nil, err
	}
	//nolint:gosec // below 2^52
	p.keys = fmt.Sprintf("%s over %s keys", s.Spec(), human.Count(int64(space.Count())))
	if p.trace != nil {
		p.keys = fmt.Sprintf("%s: %s requests for %s keys", p.trace.Name,
			human.Count(int64(p.trace.Len())), human.Count(int64(len(p.trace.Keys))))
	}
	backend, share, err := s.OriginConfig(space)
	if err != nil {
		return nil, err
	}
	backend.Go = courier.Go
	p.share = share
	p.config = run.Config{
		Keys: space, Mix: s.Operations(), Seed: s.Seed,
		Cache: f.cacheOptions(s), Origin: backend, Batch: s.Events.Batch,
		Workers: s.Events.Workers, Rate: s.Events.Rate,
		Duration: s.Duration, Until: s.Events.Until, Warmup: f.warmup, Timeout: s.Events.Timeout,
		SampleHits: f.sampleHits, Spin: timerSlack,
	}
	if p.trace != nil && !f.loop {
		p.config.Requests = uint64(p.trace.Len()) //nolint:gosec // a length
	}
	return p, nil
}

// merged is the scenario with the flags in it.
func (f *runFlags) merged() (*scenario.Scenario, error) {
	given := f.fields.flags.Changed
	if given("keys") && given("trace") {
		return nil, fmt.Errorf("--keys %s: not together with --trace, which has keys of its own", f.keys)
	}
	s := runDefault()
	switch {
	case f.scenario != "":
		var err error
		if s, err = scenario.Load(f.scenario); err != nil {
			return nil, err
		}
		if s.Kind != scenario.KindCache {
			return nil, s.FieldError("kind",
				fmt.Sprintf("must be cache, got %s: a scenario of another command", s.Kind))
		}
	case given("trace"):
		s = replayDefault()
	}
	errs := []error{f.fields.apply(s)}
	if given("trace") {
		s.Keys.Kind = workload.KindTrace
	}
	if given("keys") {
		var spec workload.KeySpec
		if err := spec.UnmarshalText([]byte(f.keys)); err != nil {
			errs = append(errs, fmt.Errorf("--keys: %w", err))
		} else if spec.Kind == workload.KindTrace {
			errs = append(errs, fmt.Errorf("--keys %s: use --trace %s", f.keys, spec.Path))
		} else {
			s.Keys.SetLaw(spec)
			instead(s, "--keys", lawFields...)
		}
	}
	if given("mix") {
		var mix workload.Mix
		if err := mix.UnmarshalText([]byte(f.mix)); err != nil {
			errs = append(errs, fmt.Errorf("--mix: %w", err))
		}
		s.Mix = scenario.Mix(mix)
	}
	if f.scenario == "" && s.Fault.Kind != origin.FaultNone {
		f.placeFault(s)
	}
	return s, errors.Join(errs...)
}

// lawFields are the fields that --keys sets.
var lawFields = []string{"keys.kind", "keys.skew", "keys.scan_share", "keys.scan_length"}

// placeFault sets the ends of the fault window that were not given.
func (f *runFlags) placeFault(s *scenario.Scenario) {
	start, end := s.Duration/5, s.Duration/2
	if s.Keys.Kind == workload.KindTrace {
		start, end = 0, s.Duration
	}
	if !f.fields.given("fault.start") {
		s.Fault.Start = start
	}
	if !f.fields.given("fault.end") {
		s.Fault.End = max(end, min(s.Fault.Start+end-start, s.Duration))
	}
}

// checkOthers validates what is no field of a scenario.
func (f *runFlags) checkOthers(s *scenario.Scenario) error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	given := f.fields.flags.Changed
	isTrace := s.Keys.Kind == workload.KindTrace
	check(f.warmup >= 0 && f.warmup <= longestReplay, "--warmup: must be from 0 to %v, got %v",
		longestReplay, f.warmup)
	check(f.sampleHits >= 1, "--sample-hits: must be at least 1, got %d", f.sampleHits)
	check(f.sampleHits == 1 || s.Events.Rate == 0,
		"--sample-hits %d: in an open loop (--rate) all are timed", f.sampleHits)
	check(f.minHitRatio >= 0 && f.minHitRatio <= 1, "--min-hit-ratio: must be from 0 to 1, got %v",
		f.minHitRatio)
	batch := s.Events.Batch > 1
	check(f.sampleHits == 1 || !batch, "--sample-hits %d: of batches (--batch) all are timed",
		f.sampleHits)
	if s.Mix.Read == 0 {
		errs = append(errs, f.fields.refuse("nothing is read", "events.batch"))
	}
	if s.Cache.StaleFor == 0 {
		errs = append(errs, f.fields.refuse("no read can have a stale value without --stale-for",
			"cache.soft_timeout"))
	}
	check(isTrace || !given("trace-format"), "--trace-format %s: only for a trace", f.traceFormat)
	check(isTrace || !given("trace-column"), "--trace-column %s: only for a trace", f.traceColumn)
	check(f.traceColumn == "" || slices.Contains([]string{"auto", "csv"},
		strings.ToLower(f.traceFormat)),
		"--trace-column %s: only --trace-format csv has columns, not %s", f.traceColumn, f.traceFormat)
	check(isTrace || !f.loop, "--loop: only for a trace")
	check(!isTrace || !f.loop || f.scenario != "" || given("duration"),
		"--loop: needs --duration, since the replay would never end")
	if isTrace {
		errs = append(errs, f.fields.refuse("a trace has keys of its own", "keys.count", "keys.scramble"))
	}
	if s.Cache.TTL == 0 && s.Cache.Jitter > 0 {
		errs = append(errs, f.fields.refuse("without a TTL (--ttl) there is nothing to vary",
			"cache.jitter"))
	}
	if f.unlinked {
		errs = append(errs, f.fields.refuse("with --unlinked loads have no time-out",
			"cache.fetch_timeout"))
	}
	switch s.Fault.Kind {
	case origin.FaultNone:
		errs = append(errs, f.fields.refuse("no load fails without --fault",
			"fault.keys", "fault.share", "fault.rate", "fault.start", "fault.end", "fault.slow"))
	case origin.FaultSlow:
	default:
		errs = append(errs, f.fields.refuse("only loads of --fault slow are slow", "fault.slow"))
	}
	if f.compareLRU {
		check(f.maxBytes == 0, "--compare-lru: golang-lru has no limit in bytes; leave out --max-bytes")
		check(s.Mix.Write == 0 && s.Mix.Delete == 0,
			"--compare-lru: golang-lru is asked for reads only; give --mix read:100")
		check(!batch, "--compare-lru: golang-lru is asked for one key at a time; leave out --batch")
		check(isTrace || s.Events.Workers == 1,
			"--compare-lru: needs one order of the keys: a trace or --workers 1")
	}
	return errors.Join(errs...)
}

func (f *runFlags) cacheOptions(s *scenario.Scenario) cache.Options[uint64, []byte] {
	o := cache.Options[uint64, []byte]{
		Capacity:  s.Cache.Capacity,
		TTL:       s.Cache.TTL,
		TTLJitter: s.Cache.Jitter,
		StaleFor:  s.Cache.StaleFor,
		RefreshAt: s.Cache.RefreshAt,
		Courier: []courier.Option{
			courier.WithTimeout(s.Cache.FetchTimeout),
			courier.WithMaxConcurrent(s.Cache.MaxConcurrent),
			courier.WithMaxWaitingPerKey(s.Cache.MaxWaitingPerKey),
		},
	}
	if s.Cache.StaleFor > 0 {
		o.SoftTimeout = s.Cache.SoftTimeout
	}
	if f.unlinked {
		o.Courier = append(o.Courier, courier.WithUnlinked())
	}
	if f.maxBytes > 0 {
		o.MaxWeight = uint64(f.maxBytes)
		//nolint:gosec // at most workload.MaxSize
		o.Weigher = func(_ uint64, value []byte) uint32 { return uint32(len(value)) }
		if f.scenario == "" && !f.fields.given("cache.capacity") {
			o.Capacity = 0
		}
	}
	return o
}

// space returns the keys from their beginning.
func (p *runPlan) space() (*workload.Space, error) {
	if p.trace == nil {
		return p.scenario.NewSpace(nil, false)
	}
	return p.scenario.NewSpace(p.trace.IDs, p.loop)
}

// plainLRU asks golang-lru for the keys that the run asked for.
func (p *runPlan) plainLRU(r *run.Result) (*run.Comparison, error) {
	keys, err := p.space()
	if err != nil {
		return nil, err
	}
	c, err := run.PlainLRU(keys, p.config.Cache.Capacity, r.Skipped, r.Operations)
	return &c, err
}
