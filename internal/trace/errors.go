package trace

import (
	"errors"
	"fmt"
	"strings"
)

// ErrLimit is wrapped by a [*SyntaxError] whose cause is one of the limits in
// [Options].
var ErrLimit = errors.New("trace: limit exceeded")

// ErrEmpty is wrapped by the error that [Load] returns for a trace without a
// single request.
var ErrEmpty = errors.New("no requests in the trace")

// A SyntaxError is an error in the text of a trace.
type SyntaxError struct {
	File   string // the name that was given to Open or NewReader
	Line   int    // the line, counted from 1
	Field  string // the field, such as "field 2 (count)"; empty for the whole line
	Reason string // a description for people
	Err    error  // the cause, such as ErrLimit or io.ErrUnexpectedEOF; may be nil
}

// Error returns "file:line: field: reason".
func (e *SyntaxError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: ", e.File, e.Line)
	if e.Field != "" {
		b.WriteString(e.Field)
		b.WriteString(": ")
	}
	b.WriteString(e.Reason)
	return b.String()
}

// Unwrap returns the cause.
func (e *SyntaxError) Unwrap() error { return e.Err }
