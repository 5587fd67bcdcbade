package run

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/verdict"
	"github.com/snowfence/snowfence/internal/workload"
)

func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Four batches: all missing, one missing, none, and the rest of the trace.
		cfg := config(replay(0, 1, 2, 0, 1, 3, 3, 2, 1, 0, 4))
		cfg.Batch = 3
		cfg.Origin.Latency = fixed(t, 9*time.Millisecond)
		var parts []float64
		var texts []string
		r, err := Execute(t.Context(), cfg, lab.Env{Progress: func(part float64, doing string) {
			parts, texts = append(parts, part), append(texts, doing)
		}})
		require.NoError(t, err)
		require.Equal(t, map[string]uint64{"hit": 1, "loaded": 3}, tallied(r))
		require.Equal(t, uint64(4), r.Operations, "an operation is a batch")
		require.Equal(t, uint64(4), r.Reads)
		require.Equal(t, uint64(3), r.OriginLoads, "what is missing is one load")
		require.Equal(t, 1.0, r.LoadsPerMiss)
		require.Equal(t, &Keys{Asked: 11, PerSecond: 11 / 0.027, Hit: 6, Loaded: 5}, r.Keys)
		require.InDelta(t, 6.0/11, r.HitRatio, 1e-9, "of keys")
		require.Equal(t, 9*time.Millisecond, r.Outcome(Loaded).Max.Duration())
		require.Zero(t, r.Outcome(Hit).Max)
		require.Equal(t, 5, r.Entries)
		require.Equal(t, "3 operations, 150/s, hit ratio 66.67 %", texts[0], "after 20 ms")
		require.InDelta(t, 9.0/11, parts[0], 1e-9)
		for _, s := range r.Series {
			if s.Name == seriesHitRatio {
				require.NotEmpty(t, s.Points)
			}
		}
	})
}

func TestBatchesAreAllTimed(t *testing.T) {
	cfg := config(replay(make([]uint32, 100)...))
	cfg.Batch, cfg.SampleHits = 2, 10
	r := mustRun(t, cfg)
	require.Equal(t, uint64(49), r.Outcome(Hit).Timed)
}

// Batches that overlap join each other's loads, key by key.
func TestBatchesThatJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(replay(0, 1, 0, 1, 0, 1, 0, 1))
		cfg.Workers, cfg.Batch = 4, 2
		cfg.Origin.Latency = fixed(t, 10*time.Millisecond)
		r := mustRun(t, cfg)
		require.Equal(t, uint64(4), r.Operations)
		require.Equal(t, uint64(2), r.Keys.Loaded)
		require.Equal(t, uint64(6), r.Keys.Joined)
		require.Zero(t, r.Keys.Hit)
		require.Equal(t, 10*time.Millisecond, r.Elapsed.Duration())
	})
}

func TestKeyThatStandsInABatchTwice(t *testing.T) {
	r := mustRun(t, func() *Params {
		cfg := config(replay(5, 5, 5, 5))
		cfg.Batch = 4
		return cfg
	}())
	require.Equal(t, Keys{Asked: 4, PerSecond: r.Keys.PerSecond, Loaded: 1, Joined: 3}, *r.Keys)
}

// Whatever happens to a load of many keys is an error of each of them, but for an error, which
// the origin returns key by key.
func TestErrorsOfBatches(t *testing.T) {
	for _, c := range []struct {
		kind         origin.FaultKind
		fetchTimeout time.Duration
		unlinked     bool
		want         map[verdict.Kind]uint64
		took         time.Duration
	}{
		{origin.FaultError, 0, false, map[verdict.Kind]uint64{verdict.Failed: 1}, 10 * time.Millisecond},
		{origin.FaultPanic, 0, false, map[verdict.Kind]uint64{verdict.Panic: 3}, 10 * time.Millisecond},
		{origin.FaultGoexit, 0, false, map[verdict.Kind]uint64{verdict.Goexit: 3}, 10 * time.Millisecond},
		{origin.FaultChild, 0, false, map[verdict.Kind]uint64{verdict.Panic: 3}, 10 * time.Millisecond},
		{
			origin.FaultHang, 300 * time.Millisecond, false,
			map[verdict.Kind]uint64{verdict.TimedOut: 3}, 300 * time.Millisecond,
		},
		{origin.FaultHang, 0, false, map[verdict.Kind]uint64{verdict.Deadline: 3}, time.Second},
		{
			origin.FaultPanic, 0, true,
			map[verdict.Kind]uint64{verdict.Deadline: 3}, time.Second,
		},
	} {
		t.Run(c.kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config(replay(0, 1, 2))
				cfg.Batch = 3
				cfg.FetchTimeout, cfg.Unlinked = c.fetchTimeout, c.unlinked
				cfg.Origin.Latency = fixed(t, 10*time.Millisecond)
				cfg.Fault.Kind = c.kind
				r := mustRun(t, cfg)
				require.Equal(t, map[string]uint64{"error": 1}, tallied(r))
				require.Equal(t, c.want, r.Errors)
				require.Equal(t, c.took, r.Outcome(Error).Max.Duration())
				failed := uint64(0)
				for _, n := range c.want {
					failed += n
				}
				require.Equal(t, Keys{Asked: 3, PerSecond: r.Keys.PerSecond, Loaded: 3 - failed,
					Failed: failed}, *r.Keys)
			})
		})
	}
}

func TestBatchesOfAnOpenLoopAmongWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(scan())
		cfg.Rate, cfg.Workers, cfg.Batch = 100, 8, 10
		cfg.Mix = workload.Mix{Read: 1, Write: 1}
		cfg.Duration = 999 * time.Millisecond
		cfg.Origin.Latency = fixed(t, 50*time.Millisecond)
		r := mustRun(t, cfg)
		require.Equal(t, uint64(100), r.Operations, "a batch is one operation")
		require.Equal(t, 10*r.Reads, r.Keys.Asked)
		require.Equal(t, r.Keys.Asked, r.Keys.Loaded)
		require.Equal(t, 100-r.Reads, r.Outcome(Write).Count)
		require.Equal(t, 50*time.Millisecond, r.Outcome(Loaded).Max.Duration())
		byName := make(map[string]series.Series)
		for _, s := range r.Series {
			byName[s.Name] = s
		}
		for _, p := range byName[seriesHitRatio].Points {
			require.False(t, p.V > 0, "%v", p) //nolint:testifylint // the test ends with it anyway
		}
	})
}

func TestInterruptedBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		cfg := config(scan())
		cfg.Workers, cfg.Batch, cfg.Timeout = 3, 5, time.Hour
		cfg.Origin.Latency = fixed(t, 30*time.Millisecond)
		r, err := Execute(ctx, cfg, quiet)
		require.NoError(t, err)
		require.True(t, r.Partial)
		require.Equal(t, uint64(9), r.Operations)
		require.Equal(t, uint64(3), r.CutOff)
		require.Equal(t, uint64(45), r.Keys.Asked)
		require.Empty(t, r.Errors)
	})
}

func TestWarmUpOfBatchesIsNotMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(replay(make([]uint32, 1000)...))
		cfg.Rate, cfg.Batch = 10, 4
		cfg.Warmup, cfg.Duration = 950*time.Millisecond, time.Second
		r := mustRun(t, cfg)
		require.Equal(t, uint64(10), r.Skipped)
		require.Equal(t, Keys{Asked: 40, PerSecond: 40, Hit: 40}, *r.Keys)
	})
}

// A load that fails, or is late, leaves the last good value, which is an outcome of its own.
func TestStaleReads(t *testing.T) {
	for _, batch := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			ids := make([]uint32, 40*batch)
			if batch == 2 {
				for i := range ids {
					ids[i] = uint32(i % 2)
				}
			}
			cfg := config(replay(ids...))
			cfg.Rate, cfg.Batch = 10, batch
			cfg.Cache.TTL, cfg.Cache.StaleFor = time.Second, time.Minute
			cfg.SoftTimeout = 30 * time.Millisecond
			cfg.Origin.Latency = fixed(t, 10*time.Millisecond)
			cfg.Fault.Kind, cfg.Fault.Keys, cfg.Start = origin.FaultPanic, batch, 500*time.Millisecond
			r := mustRun(t, cfg)
			require.Empty(t, r.Errors)
			require.Greater(t, r.Stale, uint64(25*batch), "all but the first second")
			require.Zero(t, r.Outcome(Error).Count)
			require.GreaterOrEqual(t, r.InjectedLoads, uint64(2), "it is tried again now and then")
			if batch == 1 {
				require.Equal(t, r.Stale, r.Outcome(Stale).Count)
				require.LessOrEqual(t, r.Outcome(Stale).Max.Duration(), cfg.Cache.SoftTimeout)
			}
		})
	}
}
