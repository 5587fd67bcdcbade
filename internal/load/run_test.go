package load

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/trace"
	"github.com/snowfence/snowfence/internal/verdict"
	"github.com/snowfence/snowfence/internal/workload"
)

func fixed(tb testing.TB, d time.Duration) workload.Latency {
	tb.Helper()
	l, err := workload.FixedLatency(d)
	require.NoError(tb, err)
	return l
}

// replay is the space of a trace.
func replay(tb testing.TB, ids ...uint32) *workload.Space {
	tb.Helper()
	s, err := workload.NewSpace(workload.SpaceConfig{
		Keys: workload.KeySpec{Kind: workload.KindTrace, Path: "test"}, Trace: ids,
	})
	require.NoError(tb, err)
	return s
}

// scan is a space in which every key comes once.
func scan(tb testing.TB) *workload.Space {
	tb.Helper()
	s, err := workload.NewSpace(workload.SpaceConfig{Keys: workload.KeySpec{Kind: workload.KindScan},
		Count: 1 << 40})
	require.NoError(tb, err)
	return s
}

func config(keys *workload.Space) Config {
	return Config{
		Keys: keys, Mix: workload.Mix{Read: 1}, Seed: 1, Workers: 1,
		Origin:   origin.Config{Go: courier.Go},
		Duration: time.Minute, Timeout: time.Second,
	}
}

func tallied(r *Result) map[string]uint64 {
	m := make(map[string]uint64)
	for _, l := range r.Outcomes {
		m[l.Outcome.String()] = l.Count
	}
	return m
}

func mustRun(t *testing.T, cfg Config) *Result {
	t.Helper()
	r, err := Run(t.Context(), cfg)
	require.NoError(t, err)
	return r
}

func TestOutcomesOfAReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(replay(t, 0, 1, 0, 1, 2))
		cfg.Origin.Latency = fixed(t, 10*time.Millisecond)
		r := mustRun(t, cfg)
		require.Equal(t, map[string]uint64{"hit": 2, "loaded": 3}, tallied(r))
		require.Equal(t, uint64(5), r.Operations)
		require.Equal(t, uint64(5), r.Reads)
		require.InDelta(t, 0.4, r.HitRatio, 1e-9)
		require.Equal(t, uint64(3), r.OriginLoads)
		require.Equal(t, 1.0, r.LoadsPerMiss)
		require.Equal(t, 30*time.Millisecond, r.Elapsed.Duration())
		require.InDelta(t, 5/0.03, r.PerSecond, 1e-6)
		require.False(t, r.Interrupted)
		require.Nil(t, r.Late)
		l := r.Outcome(Loaded)
		require.Equal(t, 10*time.Millisecond, l.P50.Duration())
		require.Equal(t, 10*time.Millisecond, l.Max.Duration())
		require.Zero(t, r.Outcome(Hit).Max)
		require.Equal(t, 3, r.Entries)
	})
}

func TestCallersThatJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(replay(t, 0, 0, 0, 0))
		cfg.Workers = 4
		cfg.Origin.Latency = fixed(t, 10*time.Millisecond)
		r := mustRun(t, cfg)
		require.Equal(t, map[string]uint64{"loaded": 1, "joined": 3}, tallied(r))
		require.Equal(t, uint64(1), r.OriginLoads)
		require.Equal(t, 10*time.Millisecond, r.Outcome(Joined).P50.Duration())
		require.Equal(t, 1, r.OriginPeak)
	})
}

func TestWritesAndDeletes(t *testing.T) {
	cfg := config(replay(t, make([]uint32, 1000)...))
	cfg.Mix = workload.Mix{Read: 1, Write: 1, Delete: 1}
	r := mustRun(t, cfg)
	c := tallied(r)
	require.Equal(t, uint64(1000), r.Operations)
	require.Equal(t, r.Operations, c["hit"]+c["loaded"]+c["write"]+c["delete"])
	require.Equal(t, r.Reads, c["hit"]+c["loaded"])
	for _, name := range []string{"hit", "loaded", "write", "delete"} {
		require.Greater(t, c[name], uint64(50), name)
	}
}

// In a closed loop a stalled origin slows the questions down and hides itself.
// In an open one the time in which nobody was free counts.
func TestOpenLoopCountsFromWhenItWasDue(t *testing.T) {
	run := func(t *testing.T, rate float64) *Result {
		cfg := config(scan(t))
		cfg.Rate = rate
		cfg.Duration = 999 * time.Millisecond
		cfg.Origin.Latency = fixed(t, 50*time.Millisecond)
		return mustRun(t, cfg)
	}
	synctest.Test(t, func(t *testing.T) {
		closed := run(t, 0)
		require.Equal(t, 50*time.Millisecond, closed.Outcome(Loaded).Max.Duration())
		require.Equal(t, uint64(20), closed.Operations)

		// Operation n is due at 10n ms and begins at 50n ms; the last one that
		// begins is the 20th.
		open := run(t, 100)
		require.Equal(t, uint64(20), open.Operations)
		require.Equal(t, 50*19*time.Millisecond+50*time.Millisecond-190*time.Millisecond,
			open.Outcome(Loaded).Max.Duration())
		require.Equal(t, (50-10)*19*time.Millisecond, open.Late.Max.Duration())
		require.Equal(t, uint64(20), open.Late.Count)
		require.Equal(t, uint64(99-20), open.Missed)
	})
}

func TestOpenLoopKeepsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(scan(t))
		cfg.Rate, cfg.Workers = 100, 8
		cfg.Duration = 999 * time.Millisecond
		cfg.Origin.Latency = fixed(t, 50*time.Millisecond)
		r := mustRun(t, cfg)
		require.Equal(t, uint64(100), r.Operations)
		require.Zero(t, r.Late.Max)
		require.Zero(t, r.Missed)
		require.Equal(t, 50*time.Millisecond, r.Outcome(Loaded).Max.Duration())
		require.LessOrEqual(t, r.OriginPeak, 6)
	})
}

func TestErrorsByKind(t *testing.T) {
	for _, c := range []struct {
		kind    origin.FaultKind
		options []courier.Option
		want    verdict.Kind
		took    time.Duration
	}{
		{origin.FaultError, nil, verdict.Failed, 10 * time.Millisecond},
		{origin.FaultPanic, nil, verdict.Panic, 10 * time.Millisecond},
		{origin.FaultGoexit, nil, verdict.Goexit, 10 * time.Millisecond},
		{origin.FaultChild, nil, verdict.Panic, 10 * time.Millisecond},
		{origin.FaultHang, []courier.Option{courier.WithTimeout(300 * time.Millisecond)},
			verdict.TimedOut, 300 * time.Millisecond},
		{origin.FaultHang, nil, verdict.Deadline, time.Second},
		{origin.FaultPanic, []courier.Option{courier.WithUnlinked()}, verdict.Deadline, time.Second},
	} {
		t.Run(c.kind.String()+" "+string(c.want), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config(replay(t, 7, 7, 7, 7, 7, 7))
				cfg.Workers = 6
				cfg.Cache.Courier = c.options
				cfg.Origin.Latency = fixed(t, 10*time.Millisecond)
				cfg.Origin.Fault = origin.Fault{Kind: c.kind, Rate: 1}
				r := mustRun(t, cfg)
				require.Equal(t, map[string]uint64{"error": 6}, tallied(r))
				require.Equal(t, map[verdict.Kind]uint64{c.want: 6}, r.Errors)
				require.Equal(t, c.took, r.Outcome(Error).Max.Duration())
				require.Equal(t, uint64(1), r.InjectedLoads)
				require.Zero(t, r.CutOff)
			})
		})
	}
}

func TestInterruptedRunKeepsWhatWasMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		cfg := config(scan(t))
		cfg.Workers = 3
		cfg.Timeout = time.Hour
		cfg.Origin.Latency = fixed(t, 30*time.Millisecond)
		r, err := Run(ctx, cfg)
		require.NoError(t, err)
		require.True(t, r.Interrupted)
		require.Equal(t, uint64(9), r.Operations)
		require.Equal(t, uint64(3), r.CutOff)
		require.Empty(t, r.Errors)
		require.Equal(t, 100*time.Millisecond, r.Elapsed.Duration())
	})
}

func TestInterruptedWhileOperationsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		cfg := config(scan(t))
		cfg.Rate, cfg.Workers = 1, 4
		r, err := Run(ctx, cfg)
		require.NoError(t, err)
		require.True(t, r.Interrupted)
		require.Equal(t, uint64(2), r.Operations)
		require.Zero(t, r.Missed)
	})
}

func TestInterruptedInTheWarmUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		cfg := config(scan(t))
		cfg.Rate, cfg.Warmup = 10, time.Minute
		r, err := Run(ctx, cfg)
		require.NoError(t, err)
		require.True(t, r.Interrupted)
		require.Zero(t, r.Operations)
		require.Zero(t, r.PerSecond)
		require.Zero(t, r.Elapsed)
	})
}

func TestWarmUpIsNotMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(replay(t, make([]uint32, 1000)...))
		cfg.Rate, cfg.Workers = 10, 2
		cfg.Warmup, cfg.Duration = 950*time.Millisecond, time.Second
		cfg.Origin.Fault = origin.Fault{Kind: origin.FaultError, Rate: 1, Start: 0, End: time.Hour}
		r := mustRun(t, cfg)
		// The one load, and the fault that it would have met, lie before.
		require.Equal(t, uint64(10), r.Skipped)
		require.Equal(t, map[string]uint64{"hit": 10}, tallied(r))
		require.Zero(t, r.OriginLoads)
		require.Equal(t, time.Second, r.Elapsed.Duration())
	})
}

func TestOperationsEndBeforeTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		cfg := config(scan(t))
		cfg.Rate = 10
		cfg.Duration, cfg.Until = 10*time.Second, 950*time.Millisecond
		r := mustRun(t, cfg)
		require.Equal(t, uint64(10), r.Operations)
		require.Equal(t, cfg.Until, r.Elapsed.Duration())
		require.Equal(t, cfg.Duration, time.Since(began))
	})
}

func TestRefreshesLeaveHitsHits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(replay(t, make([]uint32, 100)...))
		cfg.Rate = 10
		cfg.Cache.TTL, cfg.Cache.RefreshAt = 2*time.Second, 0.5
		cfg.Origin.Latency = fixed(t, 20*time.Millisecond)
		r := mustRun(t, cfg)
		require.Equal(t, map[string]uint64{"hit": 99, "loaded": 1}, tallied(r))
		require.GreaterOrEqual(t, r.Refreshes, uint64(7))
		require.Equal(t, r.Refreshes+1, r.OriginLoads)
	})
}

func TestSampledHitsAreAllCounted(t *testing.T) {
	ids := make([]uint32, 1000)
	ids[500] = 1 // a miss among hits
	cfg := config(replay(t, ids...))
	cfg.SampleHits = 10
	r := mustRun(t, cfg)
	require.Equal(t, uint64(998), r.Outcome(Hit).Count)
	require.InDelta(t, 100, r.Outcome(Hit).Timed, 2)
	require.Equal(t, uint64(2), r.Outcome(Loaded).Timed)
}

func TestSeriesAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(scan(t))
		cfg.Rate, cfg.Workers = 1000, 4
		cfg.Duration = 990500 * time.Microsecond // no sample falls on the end
		var last Progress
		cfg.Observe = func(p Progress) { last = p }
		r := mustRun(t, cfg)
		byName := make(map[string]series.Series)
		for _, s := range r.Series {
			byName[s.Name] = s
		}
		sum, at := 0.0, 0.0
		for _, p := range byName[SeriesOperations].Points {
			sum += p.V * (p.T - at)
			at = p.T
		}
		// an operation may end after the last sample
		require.InDelta(t, float64(r.Operations), sum, 1.001)
		require.NotEmpty(t, byName[SeriesHeap].Points)
		for _, p := range byName[SeriesHitRatio].Points {
			require.True(t, math.IsNaN(p.V) || p.V == 0)
		}
		require.True(t, last.Finishing)
		require.InDelta(t, r.Operations, last.Operations, 1)
		require.Positive(t, r.Heap.Start)
		require.GreaterOrEqual(t, r.Heap.Peak, r.Heap.Start)
		require.GreaterOrEqual(t, r.Goroutines.Peak, r.Goroutines.Start)
	})
}

// The last sample, which comes when the time is over, is no rate if the one before it was a moment
// ago.
func TestLastSampleIsNoSpike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(scan(t))
		// the third operation is due 0.2 ms after a sample
		cfg.Rate, cfg.Duration = 99, 20400*time.Microsecond
		r := mustRun(t, cfg)
		require.Equal(t, uint64(3), r.Operations)
		for _, s := range r.Series {
			if s.Name == SeriesOperations {
				require.Len(t, s.Points, 1)
				require.InDelta(t, 100, s.Points[0].V, 1)
			}
		}
	})
}

// A run that is shorter than the time between two samples has one all the same.
func TestShortRunHasASample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(scan(t))
		cfg.Rate, cfg.Duration = 1000, 5*time.Millisecond
		for _, s := range mustRun(t, cfg).Series {
			require.Len(t, s.Points, 1, s.Name)
		}
	})
}

// Below 512 entries the cache is a strict LRU: the hits agree one by one, which
// they only do if the trace is replayed in its exact order.
func TestReplayAgreesWithPlainLRU(t *testing.T) {
	tr, err := trace.Load("../../testdata/traces/small.arc", trace.Options{})
	require.NoError(t, err)
	// Above 512 entries, where it is no strict LRU, the cache is mostly better.
	for capacity, points := range map[int]float64{100: 0, 500: 0, 3000: 1} {
		cfg := config(replay(t, tr.IDs...))
		cfg.Cache.Capacity = capacity
		cfg.Duration = time.Hour
		r := mustRun(t, cfg)
		plain, err := PlainLRU(replay(t, tr.IDs...), capacity, 0, r.Operations)
		require.NoError(t, err)
		require.Equal(t, uint64(tr.Len()), r.Operations)
		require.Equal(t, r.Operations, plain.Requests)
		require.InDelta(t, plain.HitRatio, r.HitRatio, points/100+1e-12, "capacity %d", capacity)
		require.Greater(t, r.HitRatio, 0.1)
	}
}

func TestPlainLRU(t *testing.T) {
	c, err := PlainLRU(replay(t, 0, 1, 0, 2, 0, 1), 2, 0, 6)
	require.NoError(t, err)
	require.InDelta(t, 2.0/6, c.HitRatio, 1e-9)
	c, err = PlainLRU(replay(t, 0, 1, 0, 2, 0, 1), 2, 3, 3)
	require.NoError(t, err)
	require.InDelta(t, 1.0/3, c.HitRatio, 1e-9)
	_, err = PlainLRU(replay(t, 0, 1), 2, 0, 3)
	require.ErrorContains(t, err, "ended after 2 of 3")
	_, err = PlainLRU(replay(t, 0), 0, 0, 1)
	require.Error(t, err)
}

// A hit, measured, must cost no memory: it would drown what is measured.
func TestHitsDoNotAllocate(t *testing.T) {
	o, err := origin.New(origin.Config{})
	require.NoError(t, err)
	c, err := cache.New(cache.Options[uint64, []byte]{})
	require.NoError(t, err)
	defer func() { require.NoError(t, errors.Join(o.Close(), c.Close())) }()
	cfg := config(replay(t, 0))
	r := &run{cfg: cfg, ctx: t.Context(), cache: c, origin: o, sampleHits: 1, Clock: pace.Start()}
	r.fetch = r.load
	r.measuring.Store(true)
	w := newWorker(r, new(tally), 0)
	w.do(1, notDue)
	w.do(1, notDue)
	require.Zero(t, testing.AllocsPerRun(1000, func() { w.do(1, notDue) }))
	require.Equal(t, uint64(1), w.counts[Loaded].Load())
}

func TestConfigIsValidated(t *testing.T) {
	for field, spoil := range map[string]func(*Config){
		"Keys":       func(c *Config) { c.Keys = nil },
		"Batch":      func(c *Config) { c.Batch = -1 },
		"Workers":    func(c *Config) { c.Workers = 0 },
		"Rate":       func(c *Config) { c.Rate = math.NaN() },
		"Duration":   func(c *Config) { c.Duration = 0 },
		"Until":      func(c *Config) { c.Until = 2 * c.Duration },
		"Warmup":     func(c *Config) { c.Warmup = -1 },
		"Timeout":    func(c *Config) { c.Timeout = 0 },
		"SampleHits": func(c *Config) { c.SampleHits = -1 },
		"mix":        func(c *Config) { c.Mix = workload.Mix{} },
		"Capacity":   func(c *Config) { c.Cache.Capacity = -1 },
		"Fault.Rate": func(c *Config) { c.Origin.Fault.Rate = 2 },
	} {
		cfg := config(scan(t))
		spoil(&cfg)
		_, err := Run(t.Context(), cfg)
		require.ErrorContains(t, err, field)
	}
}

func BenchmarkMeasuredHit(b *testing.B) {
	o, err := origin.New(origin.Config{})
	require.NoError(b, err)
	c, err := cache.New(cache.Options[uint64, []byte]{})
	require.NoError(b, err)
	defer func() { require.NoError(b, errors.Join(o.Close(), c.Close())) }()
	r := &run{cfg: config(replay(b, 0)), ctx: b.Context(), cache: c, origin: o, sampleHits: 1,
		Clock: pace.Start()}
	r.fetch = r.load
	r.measuring.Store(true)
	w := newWorker(r, new(tally), 0)
	b.ReportAllocs()
	for b.Loop() {
		w.do(1, notDue)
	}
}

// A worker is cheap, so that there can be many: it has no histograms to itself.
func TestManyWorkersTakeLittleMemory(t *testing.T) {
	const workers, each = 2000, 20 << 10
	synctest.Test(t, func(t *testing.T) {
		cfg := config(scan(t))
		cfg.Workers, cfg.Rate, cfg.Duration = workers, 4*workers, 900*time.Millisecond
		cfg.Origin.Latency = fixed(t, 500*time.Millisecond)
		r := mustRun(t, cfg)
		require.Equal(t, map[string]uint64{"loaded": 2 * workers}, tallied(r),
			"each worker must have had its turn, twice")
		require.Equal(t, r.Operations, r.Late.Count)
		require.Less(t, r.Heap.End, r.Heap.Start+workers*each)
	})
}

// A refresh keeps the call of the hit that set it off. It must not make a later
// read by the same worker look as if its own fetch function had run.
func TestARefreshDoesNotMarkLaterReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := origin.New(origin.Config{})
		require.NoError(t, err)
		c, err := cache.New(cache.Options[uint64, []byte]{TTL: 4 * time.Second, RefreshAt: 0.25})
		require.NoError(t, err)
		defer func() { require.NoError(t, errors.Join(o.Close(), c.Close())) }()
		r := &run{cfg: config(replay(t, 0)), ctx: t.Context(), cache: c, origin: o, refreshes: true,
			sampleHits: 1, Clock: pace.Start()}
		r.fetch = r.load
		r.measuring.Store(true)
		w := newWorker(r, new(tally), 0)
		w.do(1, notDue)
		time.Sleep(2 * time.Second)
		w.do(1, notDue) // a hit that sets a refresh off
		synctest.Wait()
		require.Equal(t, uint64(1), w.counts[Hit].Load())
		require.Equal(t, uint64(1), c.Stats().Refreshes)
		require.False(t, w.call.ran.Load())
		require.False(t, w.call.missed())
	})
}
