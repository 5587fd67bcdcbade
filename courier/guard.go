package courier

import (
	"fmt"

	"github.com/snowfence/snowfence/courier/internal/guard"
)

// failure returns the error that an outcome means for the callers of a flight; nil: none.
func failure[V any](o *guard.Outcome[V]) error {
	switch o.How {
	case guard.Panicked:
		return (*PanicError)(o.Panic)
	case guard.Exited:
		return ErrGoexit
	case guard.Returned, guard.Answered:
	}
	return o.Err
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
