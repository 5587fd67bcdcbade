package churn

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab"
)

// The clock is faked, so the test does not depend on the load of the machine.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Experiment.Defaults()
		p.Duration, p.Rate, p.KeyCount, p.Replace, p.Capacity = 10*time.Second, 2000, 300, 100, 500
		parts := 0
		r, err := Run(t.Context(), &p, lab.Env{Progress: func(part float64, doing string) {
			parts++
			assert.InDelta(t, float64(parts)/100, part, 0.01)
			assert.Contains(t, doing, "entries, heap ")
		}})
		require.NoError(t, err)
		assert.EqualValues(t, 20_000, r.Fetches)
		assert.Equal(t, 1300, r.Keys)
		assert.GreaterOrEqual(t, r.Stats.Loads, uint64(1000), "keys that came were loaded")
		assert.Positive(t, r.Stats.Evictions, "keys that went were forgotten")
		assert.Equal(t, 100, parts)
		for _, c := range page(&p, r).Checks {
			assert.True(t, c.OK, "%s: %s", c.Name, c.Detail)
		}
		assert.InDelta(t, 500, r.Late.Entries, 50)
	})
}

// A check fails if a level grows, and all checks of a stopped run fail.
func TestChecksFail(t *testing.T) {
	p := Experiment.Defaults()
	level := Level{Heap: 100 << 20, Goroutines: 100, Entries: 10}
	for name, spoil := range map[string]func(*Result){
		"the heap does not grow":              func(r *Result) { r.Late.Heap *= 1.2 },
		"goroutines do not grow":              func(r *Result) { r.Late.Goroutines += 31 },
		"the cache stays within its capacity": func(r *Result) { r.Stats.Most = p.Capacity + 1 },
		"no fetch fails":                      func(r *Result) { r.Errors = 1 },
		"no goroutine is left":                func(r *Result) { r.Leftover = 1 },
	} {
		r := &Result{Early: level, Late: level, Seconds: 1}
		spoil(r)
		for _, c := range r.checks(&p) {
			assert.Equal(t, c.Name != name, c.OK, "%s: %s", name, c.Name)
		}
	}
	for _, c := range (&Result{Early: level, Late: level, partial: true}).checks(&p) {
		assert.False(t, c.OK, c.Name)
	}
}

func TestStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		p := Experiment.Defaults()
		r, err := Run(ctx, &p, lab.Env{Progress: func(float64, string) {}})
		require.NoError(t, err)
		assert.InDelta(t, 3, r.Seconds, 0.1)
		shown := page(&p, r)
		assert.True(t, shown.Partial)
		assert.Contains(t, shown.Finding, "stopped before its early and late parts")
		assert.NotContains(t, shown.Finding, "0 goroutines")
	})
}
