package guard

import "context"

// A Flight is a flight of package courier, as the packages beside it use it.
type Flight interface {
	// Spawn starts f in a goroutine that is linked to the flight, as courier.Go does. When f has
	// ended, and the flight with it if that was a failure, the goroutine calls ended, unless that
	// is nil, with the way in which f has ended and the error that a flight's callers get for it.
	// Spawn does not block.
	Spawn(ctx context.Context, f func(context.Context) error, ended func(Ending, error))
}

// FlightOf returns the flight that ctx belongs to, or nil. Package courier sets it when it is
// initialised: the key of a flight in its context is not exported.
var FlightOf func(ctx context.Context) Flight
