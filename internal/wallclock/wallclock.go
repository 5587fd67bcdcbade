// Package wallclock replaces the wall clock of a registry, so that programs that test clusters can
// run it with a wrong one.
//
// The clock travels in the context with which a registry is opened, so that it is no part of the
// public API. Without one the system's clock is used.
package wallclock

import (
	"context"
	"time"
)

type key struct{}

// With returns a context that carries the wall clock now, which must be safe for concurrent use.
func With(ctx context.Context, now func() time.Time) context.Context {
	return context.WithValue(ctx, key{}, now)
}

// From returns the wall clock that ctx carries, or else the system's. The function returns
// nanoseconds since the Unix epoch, is safe for concurrent use, and does not retain ctx.
func From(ctx context.Context) func() int64 {
	if now, ok := ctx.Value(key{}).(func() time.Time); ok {
		return func() int64 { return now().UnixNano() }
	}
	return func() int64 { return time.Now().UnixNano() }
}
