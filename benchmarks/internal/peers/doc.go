// Package peers sets up other libraries as their documentation advises, each as a cache that loads
// a missing key once. The programs of this module measure Snowfence beside them.
//
// loaders.go has the libraries that call a loader themselves, around.go those around which their
// users put x/sync's singleflight.
package peers

import (
	"context"
	"time"
)

// A Setup says what a cache is for.
type Setup[V any] struct {
	Capacity int
	TTL      time.Duration // above 0
	Load     func(ctx context.Context, key uint64) (V, error)

	// RefreshAfter is the age at which a value that is asked for is loaded anew in the background.
	// 0 means never. It is for Otter and Sturdyc.
	RefreshAfter time.Duration

	// StaleFor is the time past its TTL for which a value is given if a load fails. It is for
	// Sturdyc, with RefreshAfter.
	StaleFor time.Duration
}

// A Cache is a library's cache, ready for use.
type Cache[V any] struct {
	Fetch func(ctx context.Context, key uint64) (V, error)
	Set   func(key uint64, value V)
	Close func() // ends its goroutines, if the library can end them
}
