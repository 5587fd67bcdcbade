package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// A FieldError is one thing that is wrong with a scenario. What Load, Parse, Set
// and Validate return holds one for each; errors.As finds the first.
type FieldError struct {
	File   string // empty if the field's value did not come from a file
	Line   int    // counted from 1; 0 if there is no file
	Field  string // as NameOf has it, such as keys.skew; empty where the whole file is meant
	Reason string
}

// Error returns "file:line: field: reason", without the parts that are empty.
func (e *FieldError) Error() string {
	text := e.Reason
	if e.Field != "" {
		text = e.Field + ": " + text
	}
	if e.File != "" {
		text = fmt.Sprintf("%s:%d: %s", e.File, e.Line, text)
	}
	return text
}

// maxErrors bounds what is printed of a file that is wrong throughout.
const maxErrors = 50

// join returns the errors as one, in the order of their lines and fields.
func join(errs []*FieldError) error {
	if len(errs) == 0 {
		return nil
	}
	slices.SortStableFunc(errs, func(a, b *FieldError) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Field, b.Field))
	})
	var all []error
	for i, e := range errs {
		if i == maxErrors {
			all = append(all, &FieldError{File: e.File, Line: e.Line,
				Reason: fmt.Sprintf("%d more errors from here on", len(errs)-i)})
			break
		}
		all = append(all, e)
	}
	return errors.Join(all...)
}

// FieldError makes an error about a field of the scenario, for rules that only
// some commands have.
func (s *Scenario) FieldError(field, reason string) *FieldError {
	e := &FieldError{Field: s.NameOf(field), Reason: reason}
	e.File, e.Line = s.position(field)
	return e
}
