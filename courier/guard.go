package courier

import (
	"bytes"
	"context"
	"fmt"
	"runtime/debug"
)

// ending is the way in which a goroutine ended.
type ending uint8

const (
	returned ending = iota
	answered        // returned an error that is no failure: WithIsFailure
	panicked
	exited // by runtime.Goexit
)

// An outcome holds how a function of the user ended.
type outcome[V any] struct {
	value V
	err   error
	how   ending
}

// assumeGoexit returns the outcome to assume until the function returns: if its goroutine ends
// before, Goexit has ended it.
func assumeGoexit[V any]() outcome[V] { return outcome[V]{how: exited, err: ErrGoexit} }

// run calls f and sets o to its outcome, whatever ends it. If f returns an error, run calls
// isFailure with it, unless that is nil, as a part of f. The caller reads o in a deferred function,
// since after Goexit run does not return.
//
// It takes two frames and no closure of the caller's: a goroutine starts with a small stack, and
// the rest of it decides whether a fetch has to pay for a larger one.
func (o *outcome[V]) run(
	ctx context.Context, f func(context.Context) (V, error), isFailure func(error) bool,
) {
	// A panic is recovered in a function of its own, so that the code below is reached after a
	// panic (even panic(nil) under GODEBUG=panicnil=1) but not after Goexit.
	func() {
		defer func() {
			if o.how != exited {
				return
			}
			if v := recover(); v != nil { // even if it panicked on its way out of Goexit
				o.how, o.err = panicked, &PanicError{Value: v, Stack: panicStack()}
			}
		}()
		v, err := f(ctx)
		how := returned
		if err != nil && isFailure != nil && !isFailure(err) {
			how = answered
		}
		*o = outcome[V]{v, err, how}
	}()
	if o.how == exited {
		o.how, o.err = panicked, &PanicError{}
	}
}

// A PanicError is the outcome of a fetch function or linked child that
// panicked.
type PanicError struct {
	// Value was given to panic. For panic(nil) it is a
	// *runtime.PanicNilError.
	Value any
	// Stack is the stack of the goroutine that panicked, as it was when it
	// panicked, in the form of runtime/debug.Stack. It begins at the panic.
	Stack []byte
}

// Error describes the PanicError in one line, without its stack.
func (e *PanicError) Error() string { return fmt.Sprintf("courier: fetch panicked: %v", e.Value) }

// Unwrap returns Value if it is an error, so that errors.Is and errors.As
// reach it.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
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
