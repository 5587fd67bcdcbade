package cache_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/scenario"
	"github.com/snowfence/snowfence/internal/workload"
)

// latency replaces the origin's latency in each scenario. It is constant, so the time at which
// callers get the outcome of a fault is known to the nanosecond.
const latency = 5 * time.Millisecond

// In the scenarios of cachebench, callers get the outcome of each fault at once, before, within and
// after its window, and the keys recover.
func TestScenarios(t *testing.T) {
	paths, err := filepath.Glob("../testdata/scenarios/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		s, err := scenario.Load(path)
		require.NoError(t, err)
		if s.Keys.Kind == workload.KindTrace {
			continue // no fault depends on where keys come from
		}
		t.Run(s.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runScenario(t, s) })
		})
	}
}

func runScenario(t *testing.T, s *scenario.Scenario) {
	t.Helper()
	space, err := s.NewSpace(nil, false)
	require.NoError(t, err)
	cfg, _, err := s.OriginConfig(space)
	require.NoError(t, err)
	cfg.Go = courier.Go
	cfg.CountKeys = true
	if cfg.Fault.Rate > 0 {
		cfg.Fault.Rate = 1 // so that each load within the window is known to fail
	}
	cfg.Latency, err = workload.FixedLatency(latency)
	require.NoError(t, err)
	o, err := origin.New(cfg)
	require.NoError(t, err)

	c := newCache(t, cache.Options[uint64, []byte]{
		Capacity:  s.Cache.Capacity,
		TTL:       s.Cache.TTL,
		TTLJitter: s.Cache.Jitter,
		Courier: []courier.Option{courier.WithTimeout(s.Cache.FetchTimeout),
			courier.WithMaxConcurrent(s.Cache.MaxConcurrent)},
	})
	defer func() { require.NoError(t, o.Close()) }() // before the cache: it releases functions that hang

	faulty, healthy := uint64(0), uint64(0)
	if s.Fault.Kind != origin.FaultNone {
		keys, _, err := space.Targets(s.Fault.Keys, s.Fault.Share)
		require.NoError(t, err)
		faulty = keys[0]
		for cfg.Fault.Match(healthy) {
			healthy++
		}
	}

	// herd makes all workers of the scenario fetch one key, each with the
	// scenario's patience.
	herd := func(key uint64, check func(v []byte, err error, took time.Duration)) {
		c.Delete(key)
		loads := o.KeyLoads(key)
		ctx, cancel := context.WithTimeout(t.Context(), s.Events.Timeout)
		defer cancel()
		var wg sync.WaitGroup
		var mu sync.Mutex // for check
		for range s.Events.Workers {
			wg.Go(func() {
				began := time.Now()
				v, err := c.Fetch(ctx, key, o.Load)
				took := time.Since(began)
				mu.Lock()
				defer mu.Unlock()
				check(v, err, took)
			})
		}
		wg.Wait()
		require.Equal(t, loads+1, o.KeyLoads(key), "loads of key %d", key)
	}
	good := func(key uint64) func([]byte, error, time.Duration) {
		return func(v []byte, err error, took time.Duration) {
			if err == nil {
				err = o.Check(key, v)
			}
			if err != nil || took != latency {
				t.Errorf("key %d: %v after %v", key, err, took)
			}
		}
	}

	o.Start()
	began := time.Now()
	herd(faulty, good(faulty)) // the window has not begun
	herd(healthy, good(healthy))

	time.Sleep(s.Fault.Start - time.Since(began))
	strikes := s.Fault.Kind != origin.FaultNone && s.Fault.Rate > 0
	for time.Since(began) < s.Fault.End-time.Second && c.Stats().Courier.AbandonedTotal < 4 {
		if strikes {
			herd(faulty, func(v []byte, err error, took time.Duration) { checkFault(t, s, v, err, took) })
			_, ok := c.Get(faulty)
			if s.Fault.Kind != origin.FaultSlow {
				require.False(t, ok, "nothing is stored")
			}
		} else {
			herd(faulty, good(faulty))
		}
		herd(healthy, good(healthy))
		time.Sleep(100 * time.Millisecond)
	}
	require.Equal(t, strikes, o.Stats().Faults > 0, "the fault has struck")

	time.Sleep(s.Fault.End - time.Since(began))
	herd(faulty, good(faulty)) // although the functions still hang
	herd(healthy, good(healthy))
}

// checkFault checks the result of one caller against the scenario's fault.
func checkFault(t *testing.T, s *scenario.Scenario, v []byte, err error, took time.Duration) {
	t.Helper()
	within, ok := latency, false
	var panicked *courier.PanicError
	switch s.Fault.Kind {
	case origin.FaultError:
		ok = errors.Is(err, origin.ErrInjected)
	case origin.FaultPanic, origin.FaultChild:
		ok = errors.As(err, &panicked) && errors.Is(err, origin.ErrInjected)
	case origin.FaultGoexit:
		ok = errors.Is(err, courier.ErrGoexit)
	case origin.FaultHang:
		within, ok = s.Cache.FetchTimeout, errors.Is(err, courier.ErrTimeout)
	case origin.FaultSlow:
		if within += s.Fault.Slow; within < s.Cache.FetchTimeout {
			ok = err == nil
		} else {
			within, ok = s.Cache.FetchTimeout, errors.Is(err, courier.ErrTimeout)
		}
	case origin.FaultNone:
	}
	if !ok || took != within {
		t.Errorf("%v: got %d bytes, %v after %v", s.Fault.Kind, len(v), err, took)
	}
}
