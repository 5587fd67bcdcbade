// Package pace schedules the operations of a run.
package pace

import (
	"context"
	"iter"
	"math"
	"time"
)

// A Clock counts the time of a run from its start.
type Clock struct{ Zero time.Time }

// Start returns the clock of a run that starts now.
func Start() Clock { return Clock{Zero: time.Now()} }

// Now returns the time of the run. It is negative before the start.
func (c Clock) Now() time.Duration { return time.Since(c.Zero) }

// Until blocks until time t of the run. If ctx ends before, or has ended, it returns the cause.
func (c Clock) Until(ctx context.Context, t time.Duration) error { return Sleep(ctx, t-c.Now()) }

// Due returns the time at which the operation with the given number, from 0 on, is due at a rate
// per second. Rounding errors do not add up.
func Due(number uint64, rate float64) time.Duration {
	return time.Duration(math.Round(float64(number) / rate * float64(time.Second)))
}

// Open returns an open loop: it yields the due time of each operation at that time, whether or not
// earlier operations have ended. An operation that is late is yielded at once. The first is the one
// that is due nearest to from. The loop ends at time until of the run, or with ctx.
func (c Clock) Open(
	ctx context.Context, rate float64, from, until time.Duration,
) iter.Seq[time.Duration] {
	first := uint64(math.Round(max(0, from.Seconds()) * rate))
	return func(yield func(time.Duration) bool) {
		for number := first; ; number++ {
			due := Due(number, rate)
			if due >= until || c.Until(ctx, due) != nil || !yield(due) {
				return
			}
		}
	}
}

// Every yields the time from, and then each multiple of interval after it, when it comes. Multiples
// that pass while the body of the loop runs are left out. The loop ends after the time until, or
// with ctx.
func (c Clock) Every(
	ctx context.Context, interval, from, until time.Duration,
) iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		for at := from; at <= until; at = c.Now().Truncate(interval) + interval {
			if c.Until(ctx, at) != nil || !yield(at) {
				return
			}
		}
	}
}

// Sleep blocks for d. If ctx ends before, or has ended, it returns the cause.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 || ctx.Err() != nil {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
