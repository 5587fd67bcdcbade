// Package errgroup has the API of golang.org/x/sync/errgroup for functions that may die: change the
// import path, and a function that panics or calls runtime.Goexit ends its group at once, with an
// error.
//
// What is the same: Go and TryGo call functions in goroutines of their own, at most as many at a
// time as SetLimit says; Wait waits for all of them and returns the first error; and the first
// error cancels the context of WithContext.
//
// # Functions that die
//
// In x/sync a panic ends the process, and a function that waits for one which has called Goexit
// makes Wait block for ever. Here the group is over as soon as a function dies:
//
//   - Wait returns a *courier.PanicError, with the stack of the panic, or courier.ErrGoexit. It
//     does so even while other functions hang, or if another function has returned an error before.
//   - The context of WithContext is cancelled with that error as its cause, unless an error has
//     cancelled it before.
//   - Go, also one that waits for the limit, calls no further function and does not block. TryGo
//     returns false.
//
// Wait does not wait for the functions that still run then. They run on until they return, so a
// caller that has got such an error must not use what they write.
//
// A function that hangs, without any that dies, still makes Wait block. It should end with the
// context. Inside a flight the callers are helped by the time-out of the flight.
//
// # Inside a flight
//
// If the context that WithContext is given belongs to a flight of package courier (see
// courier.InFlight), each function runs in a goroutine that is linked to the flight, as by
// courier.Go. So a function that runs on when the flight is over is counted as abandoned, and
// courier.Courier.Shutdown waits for it.
//
//   - An error that a function returns is returned by Wait, and the fetch function decides what
//     its callers get.
//   - A panic or Goexit ends the flight as well, before Wait returns: all its callers get the error
//     at once, even if the fetch function waits for something else than Wait, and whatever it
//     returns later. A function whose panic is to end less than that has to recover it.
//
// A zero Group has no context, so its functions belong to no flight.
package errgroup
