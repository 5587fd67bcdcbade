package courier

import (
	"bytes"
	"fmt"
	"runtime/debug"
)

// ending is how a goroutine came to its end.
type ending int

const (
	returned ending = iota
	panicked
	exited // by runtime.Goexit
)

// guard runs body and reports its end, whatever ends it. If body returned, err
// is what it returned.
func guard(body func() error, report func(how ending, err error)) {
	how, err := exited, ErrGoexit
	var caught *PanicError
	defer func() {
		if caught != nil { // even if it panicked on its way out of Goexit
			how, err = panicked, caught
		}
		report(how, err)
	}()

	// A panic is recovered in a function of its own, so that what follows it
	// is reached after a panic (even panic(nil) under GODEBUG=panicnil=1) but
	// not after Goexit.
	func() {
		defer func() {
			if how == returned {
				return
			}
			if v := recover(); v != nil {
				caught = &PanicError{Value: v, Stack: panicStack()}
			}
		}()
		err = body()
		how = returned
	}()
	if how != returned && caught == nil {
		caught = &PanicError{}
	}
}

// A PanicError is the outcome of a fetch function or linked child that
// panicked.
type PanicError struct {
	// Value is what was given to panic. For panic(nil) it is a
	// *runtime.PanicNilError.
	Value any
	// Stack is the stack of the goroutine that panicked, as it was when it
	// panicked, in the form of runtime/debug.Stack. It begins at the panic.
	Stack []byte
}

// Error is one line. The stack is left out: print Stack where it is wanted.
func (e *PanicError) Error() string { return fmt.Sprintf("courier: fetch panicked: %v", e.Value) }

// Unwrap returns Value if it is an error, so that errors.Is and errors.As
// reach it.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// panicStack is the stack from the innermost panic on, without the frames of
// the recovery itself. It is called while panicking.
func panicStack() []byte {
	stack := debug.Stack()
	head := bytes.IndexByte(stack, '\n') + 1
	if at := bytes.Index(stack, []byte("\npanic(")); at >= head {
		return append(stack[:head:head], stack[at+1:]...)
	}
	return stack
}
