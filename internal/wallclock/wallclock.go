// Package wallclock lets a program that tests clusters give a registry a wall clock that is wrong.
//
// The clock travels in the context with which a registry is opened, so that it is no part of the
// public API. Without one the system's clock is used.
package wallclock

import (
	"context"
	"time"
)

type key struct{}

// With returns a context that carries a wall clock. Now must be safe for concurrent use.
func With(ctx context.Context, now func() time.Time) context.Context {
	return context.WithValue(ctx, key{}, now)
}

// From returns the wall clock that ctx carries, or else the system's, as nanoseconds since the Unix
// epoch. It returns a function that is safe for concurrent use, and keeps no hold of ctx.
func From(ctx context.Context) func() int64 {
	if now, ok := ctx.Value(key{}).(func() time.Time); ok {
		return func() int64 { return now().UnixNano() }
	}
	return func() int64 { return time.Now().UnixNano() }
}
