package run

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/snowfence/snowfence/internal/lab/traffic"
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

// replay returns the keys of a trace.
func replay(ids ...uint32) traffic.Keys {
	return traffic.Keys{Trace: "test", Replay: &trace.Trace{IDs: ids}}
}

// scan returns keys of which each comes once.
func scan() traffic.Keys {
	return traffic.Keys{Law: workload.KeySpec{Kind: workload.KindScan}, Count: 1 << 40}
}

// space returns the keys from their beginning.
func space(tb testing.TB, keys traffic.Keys) *workload.Space {
	tb.Helper()
	s, err := keys.Space(1, false)
	require.NoError(tb, err)
	return s
}

// config returns parameters without a fault. If they get one, it strikes the most popular key.
func config(keys traffic.Keys) *Params {
	return &Params{
		Keys: keys, Mix: workload.Mix{Read: 1}, Seed: 1, Workers: 1, Duration: time.Minute,
		Timeout: time.Second, Fault: traffic.Fault{Keys: 1, Rate: 1},
	}
}

// quiet reports no progress.
var quiet = lab.Env{Progress: func(float64, string) {}}

func tallied(r *Result) map[string]uint64 {
	m := make(map[string]uint64)
	for _, l := range r.Outcomes {
		m[l.Outcome.String()] = l.Count
	}
	return m
}

func mustRun(t *testing.T, cfg *Params) *Result {
	t.Helper()
	r, err := Execute(t.Context(), cfg, quiet)
	require.NoError(t, err)
	return r
}

func TestOutcomesOfAReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(replay(0, 1, 0, 1, 2))
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
		require.False(t, r.Partial)
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
		cfg := config(replay(0, 0, 0, 0))
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
	cfg := config(replay(make([]uint32, 1000)...))
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
		cfg := config(scan())
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
		cfg := config(scan())
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
		kind         origin.FaultKind
		fetchTimeout time.Duration
		unlinked     bool
		want         verdict.Kind
		took         time.Duration
	}{
		{origin.FaultError, 0, false, verdict.Failed, 10 * time.Millisecond},
		{origin.FaultPanic, 0, false, verdict.Panic, 10 * time.Millisecond},
		{origin.FaultGoexit, 0, false, verdict.Goexit, 10 * time.Millisecond},
		{origin.FaultChild, 0, false, verdict.Panic, 10 * time.Millisecond},
		{origin.FaultHang, 300 * time.Millisecond, false, verdict.TimedOut, 300 * time.Millisecond},
		{origin.FaultHang, 0, false, verdict.Deadline, time.Second},
		{origin.FaultPanic, 0, true, verdict.Deadline, time.Second},
	} {
		t.Run(c.kind.String()+" "+string(c.want), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config(replay(7, 7, 7, 7, 7, 7))
				cfg.Workers = 6
				cfg.FetchTimeout, cfg.Unlinked = c.fetchTimeout, c.unlinked
				cfg.Origin.Latency = fixed(t, 10*time.Millisecond)
				cfg.Fault.Kind = c.kind
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
		cfg := config(scan())
		cfg.Workers = 3
		cfg.Timeout = time.Hour
		cfg.Origin.Latency = fixed(t, 30*time.Millisecond)
		r, err := Execute(ctx, cfg, quiet)
		require.NoError(t, err)
		require.True(t, r.Partial)
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
		cfg := config(scan())
		cfg.Rate, cfg.Workers = 1, 4
		r, err := Execute(ctx, cfg, quiet)
		require.NoError(t, err)
		require.True(t, r.Partial)
		require.Equal(t, uint64(2), r.Operations)
		require.Zero(t, r.Missed)
	})
}

func TestInterruptedInTheWarmUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		cfg := config(scan())
		cfg.Rate, cfg.Warmup = 10, time.Minute
		r, err := Execute(ctx, cfg, quiet)
		require.NoError(t, err)
		require.True(t, r.Partial)
		require.Zero(t, r.Operations)
		require.Zero(t, r.PerSecond)
		require.Zero(t, r.Elapsed)
	})
}

func TestWarmUpIsNotMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(replay(make([]uint32, 1000)...))
		cfg.Rate, cfg.Workers = 10, 2
		cfg.Warmup, cfg.Duration = 950*time.Millisecond, time.Second
		cfg.Fault.Kind = origin.FaultError
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
		cfg := config(scan())
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
		cfg := config(replay(make([]uint32, 100)...))
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
	cfg := config(replay(ids...))
	cfg.SampleHits = 10
	r := mustRun(t, cfg)
	require.Equal(t, uint64(998), r.Outcome(Hit).Count)
	require.InDelta(t, 100, r.Outcome(Hit).Timed, 2)
	require.Equal(t, uint64(2), r.Outcome(Loaded).Timed)
}

func TestSeriesAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(scan())
		cfg.Rate, cfg.Workers = 1000, 4
		cfg.Duration = 990500 * time.Microsecond // no sample falls on the end
		var last string
		r, err := Execute(t.Context(), cfg,
			lab.Env{Progress: func(_ float64, doing string) { last = doing }})
		require.NoError(t, err)
		byName := make(map[string]series.Series)
		for _, s := range r.Series {
			byName[s.Name] = s
		}
		sum, at := 0.0, 0.0
		for _, p := range byName[seriesOperations].Points {
			sum += p.V * (p.T - at)
			at = p.T
		}
		// an operation may end after the last sample
		require.InDelta(t, float64(r.Operations), sum, 1.001)
		require.NotEmpty(t, byName[seriesHeap].Points)
		for _, p := range byName[seriesHitRatio].Points {
			require.True(t, math.IsNaN(p.V) || p.V == 0)
		}
		require.Equal(t, "no operation begins any more", last)
		require.Positive(t, r.Heap.Start)
		require.GreaterOrEqual(t, r.Heap.Peak, r.Heap.Start)
		require.GreaterOrEqual(t, r.Goroutines.Peak, r.Goroutines.Start)
	})
}

// The last sample, which comes when the time is over, is no rate if the one before it was a moment
// ago.
func TestLastSampleIsNoSpike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(scan())
		// the third operation is due 0.2 ms after a sample
		cfg.Rate, cfg.Duration = 99, 20400*time.Microsecond
		r := mustRun(t, cfg)
		require.Equal(t, uint64(3), r.Operations)
		for _, s := range r.Series {
			if s.Name == seriesOperations {
				require.Len(t, s.Points, 1)
				require.InDelta(t, 100, s.Points[0].V, 1)
			}
		}
	})
}

// A run that is shorter than the time between two samples has one all the same.
func TestShortRunHasASample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(scan())
		cfg.Rate, cfg.Duration = 1000, 5*time.Millisecond
		for _, s := range mustRun(t, cfg).Series {
			require.Len(t, s.Points, 1, s.Name)
		}
	})
}

// The hit ratio is near that of a strict LRU or better, which it only is if the trace is replayed in
// its order.
func TestReplayAgreesWithPlainLRU(t *testing.T) {
	tr, err := trace.Load("../../../testdata/traces/small.arc", trace.Options{})
	require.NoError(t, err)
	// The trace ends before a large cache has learned much.
	for capacity, points := range map[int]float64{100: 1, 500: 1, 3000: 4} {
		cfg := config(replay(tr.IDs...))
		cfg.Cache.Capacity = capacity
		cfg.Duration = time.Hour
		r := mustRun(t, cfg)
		plain, err := plainLRU(space(t, replay(tr.IDs...)), capacity, 0, r.Operations)
		require.NoError(t, err)
		require.Equal(t, uint64(tr.Len()), r.Operations)
		require.Equal(t, r.Operations, plain.Requests)
		require.Greater(t, r.HitRatio, plain.HitRatio-points/100, "capacity %d", capacity)
		require.Greater(t, r.HitRatio, 0.1)
	}
}

func TestPlainLRU(t *testing.T) {
	c, err := plainLRU(space(t, replay(0, 1, 0, 2, 0, 1)), 2, 0, 6)
	require.NoError(t, err)
	require.InDelta(t, 2.0/6, c.HitRatio, 1e-9)
	c, err = plainLRU(space(t, replay(0, 1, 0, 2, 0, 1)), 2, 3, 3)
	require.NoError(t, err)
	require.InDelta(t, 1.0/3, c.HitRatio, 1e-9)
	_, err = plainLRU(space(t, replay(0, 1)), 2, 0, 3)
	require.ErrorContains(t, err, "ended after 2 of 3")
	_, err = plainLRU(space(t, replay(0)), 0, 0, 1)
	require.Error(t, err)
}

// A hit, measured, must cost no memory: it would drown what is measured.
func TestHitsDoNotAllocate(t *testing.T) {
	o, err := origin.New(origin.Config{})
	require.NoError(t, err)
	c, err := cache.New(cache.Options[uint64, []byte]{})
	require.NoError(t, err)
	defer func() { require.NoError(t, errors.Join(o.Close(), c.Close())) }()
	cfg := config(replay(0))
	r := &run{params: cfg, space: space(t, cfg.Keys), ctx: t.Context(), cache: c, origin: o,
		sampleHits: 1, Clock: pace.Start()}
	r.fetch = r.load
	r.measuring.Store(true)
	w := newWorker(r, new(tally), 0)
	w.do(1, notDue)
	w.do(1, notDue)
	require.Zero(t, testing.AllocsPerRun(1000, func() { w.do(1, notDue) }))
	require.Equal(t, uint64(1), w.counts[Loaded].Load())
}

func BenchmarkMeasuredHit(b *testing.B) {
	o, err := origin.New(origin.Config{})
	require.NoError(b, err)
	c, err := cache.New(cache.Options[uint64, []byte]{})
	require.NoError(b, err)
	defer func() { require.NoError(b, errors.Join(o.Close(), c.Close())) }()
	r := &run{params: config(replay(0)), space: space(b, replay(0)), ctx: b.Context(), cache: c, origin: o,
		sampleHits: 1, Clock: pace.Start()}
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
		cfg := config(scan())
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
		r := &run{params: config(replay(0)), space: space(t, replay(0)), ctx: t.Context(), cache: c, origin: o,
			refreshes:  true,
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
