// Package async lets package singleflight, and no other package, call a courier without waiting.
package async

import "context"

// Start does what courier.Courier.Do does for a context that never ends, but does not block. When
// it returns, the flight has begun or was joined, or done was called. It calls done once with the
// outcome, from any goroutine and without a lock, so done must be quick and must not panic. c is a
// *courier.Courier[string, any]. Package courier sets Start.
var Start func(
	c any, key string, fetch func(context.Context) (any, error),
	done func(v any, shared bool, err error),
)
