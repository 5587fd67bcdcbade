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

// FlightKey is the context key of the flight that a context belongs to. The value is the Flight, or
// has a method Flight that returns it, or nil.
type FlightKey struct{}

// FlightOf returns the flight that ctx belongs to, or nil.
func FlightOf(ctx context.Context) Flight {
	switch v := ctx.Value(FlightKey{}).(type) {
	case Flight:
		return v
	case interface{ Flight() Flight }:
		return v.Flight()
	default:
		return nil
	}
}
