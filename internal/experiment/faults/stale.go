package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/verdict"
)

// withStale changes options for a trial with a stale value. Callers wait for soft or, if it is 0,
// until the load ends.
func withStale(options *cache.Options[string, string], cfg Params, soft time.Duration) {
	options.TTL, options.StaleFor = 24*time.Hour, 24*time.Hour
	options.SoftTimeout = soft
	options.StaleRetry = cfg.SoftTimeout // the default of a second for each fault would take long
}

// makeStale stores a stale value.
func (t *trial) makeStale() {
	t.cache.Set(key, old)
	t.cache.Expire(key)
}

// get fetches the key, and returns the value and the kind of the outcome.
func (t *trial) get(
	ctx context.Context, fetch func(context.Context, string) (string, error),
) (string, verdict.Kind) {
	r, err := t.cache.FetchResult(ctx, key, fetch)
	if r.Stale {
		return r.Value, verdict.Stale
	}
	return r.Value, verdict.Of(err)
}

// freshAgain fetches the key repeatedly until it gets a fresh value, for ten times a caller's own
// deadline at most. It returns the time that this took, or nil if it gave up.
func (t *trial) freshAgain(ctx context.Context) (took *measured.Value) {
	look := max(1, t.cfg.SoftTimeout/50)
	began := time.Now()
	t.within(ctx, 10*t.cfg.Timeout, func(own context.Context) {
		for own.Err() == nil {
			if _, kind := t.get(own, t.good); kind == verdict.Value {
				s := measured.Of(time.Since(began))
				took = &s
				return
			}
			time.Sleep(look) // loads get to run
		}
	})
	return took
}

// wantStale returns the wanted outcomes of callers that can have a stale value. In a stream, fresh
// callers got a fresh value: callers after the first wave do not wait for the fresh flight, but may
// find its value.
func (f *fault) wantStale(callers, fresh int) map[verdict.Kind]int {
	switch {
	case f.stream:
		fresh = min(fresh, callers-callers/waves(callers))
		return map[verdict.Kind]int{verdict.Stale: callers - fresh, verdict.Value: fresh}
	case f.fails:
		return map[verdict.Kind]int{verdict.Stale: callers}
	}
	return f.want(callers)
}

// count returns the number of callers with an outcome of that kind.
func (c *Cell) count(kind verdict.Kind) int {
	for _, seen := range c.Saw {
		if seen.Kind == kind {
			return seen.Count
		}
	}
	return 0
}

// staleProblems returns the problems with the cell of a trial with a stale value.
func (c *Cell) staleProblems(f *fault, callers int) []string {
	texts := c.wrongKinds(f.wantStale(callers, c.count(verdict.Value)))
	next, loads := f.wantNext, f.wantLoads
	switch {
	case f.fails && f.soft() && c.Next.Kind == verdict.Value:
		// A caller that finds a late flight starts a fresh one, and gets its value if that arrives
		// before the stale one.
	case f.fails:
		next = old
	}
	if c.Next.Value != next {
		texts = append(texts, fmt.Sprintf("the next caller got %q, wanted: %q", c.Next.text(), next))
	}
	if c.FreshAfter == nil {
		texts = append(texts, "no caller got a fresh value afterwards")
	}
	return append(texts, c.wrongLoads(loads)...)
}
