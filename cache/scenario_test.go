package cache_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/experiment/snowball"
	"github.com/snowfence/snowfence/internal/origin"
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
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		if !strings.Contains(string(text), "\nexperiment: snowball\n") {
			continue
		}
		p, err := snowball.Experiment.Parse("--scenario", path)
		require.NoError(t, err)
		t.Run(filepath.Base(path), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runScenario(t, p) })
		})
	}
}

func runScenario(t *testing.T, p *snowball.Params) {
	t.Helper()
	space, err := p.Space(p.Seed, true)
	require.NoError(t, err)
	targets, _, err := p.Targets(space)
	require.NoError(t, err)
	cfg := p.Origin.Config(p.Seed)
	cfg.Fault, err = p.Fault.Of(targets)
	require.NoError(t, err)
	cfg.CountKeys = true
	if cfg.Fault.Rate > 0 {
		cfg.Fault.Rate = 1 // so that each load within the window is known to fail
	}
	cfg.Latency, err = workload.FixedLatency(latency)
	require.NoError(t, err)
	o, err := origin.New(cfg)
	require.NoError(t, err)

	c := newCache(t, cache.Options[string, string]{
		Capacity: p.Capacity, TTL: p.TTL, TTLJitter: p.Jitter,
		Courier: []courier.Option{courier.WithTimeout(p.FetchTimeout),
			courier.WithMaxConcurrent(p.MaxConcurrent)},
	})
	defer func() { require.NoError(t, o.Close()) }() // before the cache: it releases functions that hang

	faulty, healthy := targets[0], uint64(0)
	for cfg.Fault.Match(healthy) {
		healthy++
	}

	name := func(key uint64) string { return strconv.FormatUint(key, 10) }
	// herd makes all workers of the scenario fetch one key, each with the
	// scenario's patience.
	herd := func(key uint64, check func(v string, err error, took time.Duration)) {
		c.Delete(name(key))
		loads := o.KeyLoads(key)
		ctx, cancel := context.WithTimeout(t.Context(), p.Timeout)
		defer cancel()
		var wg sync.WaitGroup
		var mu sync.Mutex // for check
		for range p.Workers {
			wg.Go(func() {
				began := time.Now()
				v, err := c.Fetch(ctx, name(key), func(ctx context.Context, _ string) (string, error) {
					v, err := o.Load(ctx, key)
					return string(v), err
				})
				took := time.Since(began)
				mu.Lock()
				defer mu.Unlock()
				check(v, err, took)
			})
		}
		wg.Wait()
		require.Equal(t, loads+1, o.KeyLoads(key), "loads of key %d", key)
	}
	good := func(key uint64) func(string, error, time.Duration) {
		return func(v string, err error, took time.Duration) {
			if err == nil {
				err = o.Check(key, []byte(v))
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

	time.Sleep(p.Start - time.Since(began))
	strikes := p.Fault.Rate > 0
	for time.Since(began) < p.End-time.Second && c.Stats().Courier.AbandonedTotal < 4 {
		if strikes {
			herd(faulty, func(v string, err error, took time.Duration) { checkFault(t, p, v, err, took) })
			_, ok := c.Get(name(faulty))
			if p.Fault.Kind != origin.FaultSlow {
				require.False(t, ok, "nothing is stored")
			}
		} else {
			herd(faulty, good(faulty))
		}
		herd(healthy, good(healthy))
		time.Sleep(100 * time.Millisecond)
	}
	require.Equal(t, strikes, o.Stats().Faults > 0, "the fault has struck")

	time.Sleep(p.End - time.Since(began))
	herd(faulty, good(faulty)) // although the functions still hang
	herd(healthy, good(healthy))
}

// checkFault checks the result of one caller against the scenario's fault.
func checkFault(t *testing.T, p *snowball.Params, v string, err error, took time.Duration) {
	t.Helper()
	within, ok := latency, false
	var panicked *courier.PanicError
	switch p.Fault.Kind {
	case origin.FaultError:
		ok = errors.Is(err, origin.ErrInjected)
	case origin.FaultPanic, origin.FaultChild:
		ok = errors.As(err, &panicked) && errors.Is(err, origin.ErrInjected)
	case origin.FaultGoexit:
		ok = errors.Is(err, courier.ErrGoexit)
	case origin.FaultHang:
		within, ok = p.FetchTimeout, errors.Is(err, courier.ErrTimeout)
	case origin.FaultSlow:
		if within += p.Fault.Slow; within < p.FetchTimeout {
			ok = err == nil
		} else {
			within, ok = p.FetchTimeout, errors.Is(err, courier.ErrTimeout)
		}
	case origin.FaultNone:
	}
	if !ok || took != within {
		t.Errorf("%v: got %d bytes, %v after %v", p.Fault.Kind, len(v), err, took)
	}
}
