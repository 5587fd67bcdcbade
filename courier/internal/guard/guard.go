// Package guard calls a function of the user so that its end is noticed, whatever ends it, and lets
// packages beside package courier start goroutines that are linked to a flight.
package guard

import (
	"bytes"
	"context"
	"runtime/debug"
)

// An Ending is the way in which a function ended.
type Ending uint8

// The endings. Up to Answered the function has returned.
const (
	Returned Ending = iota
	Answered        // returned an error that is no failure
	Panicked
	Exited // by runtime.Goexit
)

// An Outcome holds how a function ended.
type Outcome[V any] struct {
	Value V
	Err   error  // that was returned
	Panic *Panic // if How is Panicked
	How   Ending
}

// A Panic holds what a function panicked with.
type Panic struct {
	Value any
	Stack []byte // of its goroutine, as it panicked; it begins at the panic
}

// AssumeGoexit sets o, which is zero, to the outcome to assume until the function returns: if its
// goroutine ends before, Goexit has ended it.
func (o *Outcome[V]) AssumeGoexit() { o.How = Exited }

// Run calls f and sets o, for which AssumeGoexit was called, to its outcome, whatever ends it. If f
// returns an error, Run calls isFailure with it, unless that is nil, as a part of f. The caller
// reads o in a deferred function, since after Goexit Run does not return.
//
// It takes two frames and no closure of the caller's: a goroutine starts with a small stack, and
// the rest of it decides whether a fetch has to pay for a larger one.
func (o *Outcome[V]) Run(
	ctx context.Context, f func(context.Context) (V, error), isFailure func(error) bool,
) {
	// A panic is recovered in a function of its own, so that the code below is reached after a
	// panic (even panic(nil) under GODEBUG=panicnil=1) but not after Goexit.
	func() {
		defer func() {
			if o.How != Exited {
				return
			}
			if v := recover(); v != nil { // even if it panicked on its way out of Goexit
				o.How, o.Panic = Panicked, &Panic{Value: v, Stack: panicStack()}
			}
		}()
		v, err := f(ctx)
		how := Returned
		if err != nil && isFailure != nil && !isFailure(err) {
			how = Answered
		}
		o.Value, o.Err, o.How = v, err, how // a literal would take as much stack once more
	}()
	if o.How == Exited {
		o.How, o.Panic = Panicked, &Panic{}
	}
}

// panicStack returns the stack from the innermost panic on, without the frames of the recovery
// itself. It is called while panicking.
func panicStack() []byte {
	stack := debug.Stack()
	head := bytes.IndexByte(stack, '\n') + 1
	if at := bytes.Index(stack, []byte("\npanic(")); at >= head {
		return append(stack[:head:head], stack[at+1:]...)
	}
	return stack
}
