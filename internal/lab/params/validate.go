package params

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// A FieldError is one thing that is wrong with the parameters. What ReadFile, ApplyFlags and
// Validate return holds one for each; errors.As finds the first.
type FieldError struct {
	File   string // empty if the value did not come from a file
	Line   int    // counted from 1; 0 without a file
	Field  string // such as rate, or --rate if a flag gave the value; empty: the whole file
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

func (s *Set) fieldError(f *field, reason string) *FieldError {
	e := &FieldError{Field: s.Call(f.name), Reason: reason}
	if f.source == fromFile {
		e.File, e.Line = s.file, f.line
	}
	return e
}

// Call returns what errors call a field: its name if the file gave its value, and else its flag.
func (s *Set) Call(name string) string {
	switch f := s.field(name); f.source {
	case fromFile:
		return name
	case fromRule:
		return "--" + name + " (in proportion)"
	default:
		return "--" + name
	}
}

// A Checker collects what is wrong with parameters, for the rules of an experiment.
type Checker struct {
	Held bool // the result is to be held to its checks: --check

	set  *Set
	errs []*FieldError
}

// Check adds an error about a field unless ok. The reason says what the value must be: "must be
// after --start (2s), got 1s".
func (c *Checker) Check(ok bool, name, format string, args ...any) {
	if !ok {
		c.errs = append(c.errs, c.set.fieldError(c.set.field(name), fmt.Sprintf(format, args...)))
	}
}

// Unused adds an error about each of the fields that was given though it means nothing, if
// ignored is true. why says what takes its meaning: "nothing is disturbed without --disturb".
func (c *Checker) Unused(ignored bool, why string, names ...string) {
	for _, name := range names {
		f := c.set.field(name)
		f.unused = f.unused || ignored
		if ignored && c.set.Given(name) {
			c.errs = append(c.errs, c.set.fieldError(f, "has no effect: "+why))
		}
	}
}

// Given reports whether a flag or the file gave the field its value.
func (c *Checker) Given(name string) bool { return c.set.Given(name) }

// Call returns what errors call a field.
func (c *Checker) Call(name string) string { return c.set.Call(name) }

// Validate holds each field to its bounds and then, if these hold, all of them to the rules of
// the experiment, which may be nil; held is for these. What is wrong is returned in full, each a
// *FieldError.
func (s *Set) Validate(held bool, rules func(*Checker)) error {
	c := &Checker{Held: held, set: s}
	for _, f := range s.fields {
		if reason := f.outOfBounds(); reason != "" {
			c.Check(false, f.name, "%s", reason)
		}
	}
	if len(c.errs) == 0 && rules != nil {
		rules(c)
	}
	return join(c.errs)
}

// bounds are the tags of a number, by what compares with them.
var bounds = []struct {
	tag, must string
	ok        func(order int) bool // of the value and the bound
}{
	{"min", "at least", func(order int) bool { return order >= 0 }},
	{"above", "above", func(order int) bool { return order > 0 }},
	{"max", "at most", func(order int) bool { return order <= 0 }},
	{"below", "below", func(order int) bool { return order < 0 }},
}

// outOfBounds returns what is wrong with the field's value, or nothing. Of a list that is each of
// its values.
func (f *field) outOfBounds() string {
	values := []reflect.Value{f.value}
	if f.value.Kind() == reflect.Slice {
		values = nil
		for i := range f.value.Len() {
			values = append(values, f.value.Index(i))
		}
	}
	for _, v := range values {
		broken, must := false, ""
		for _, b := range bounds {
			text, ok := f.tag.Lookup(b.tag)
			if !ok {
				continue
			}
			bound := reflect.New(v.Type()).Elem()
			if err := parse(bound, text); err != nil {
				panic(fmt.Sprintf("params: %s: %s: %v", f.name, b.tag, err))
			}
			broken = broken || !b.ok(compare(v, bound))
			if must != "" {
				must += " and "
			}
			must += b.must + " " + format(bound)
		}
		low, high := f.tag.Get("min"), f.tag.Get("max")
		if low != "" && high != "" {
			must = "from " + low + " to " + high
		}
		if broken {
			return fmt.Sprintf("must be %s, got %s", must, format(v))
		}
	}
	return ""
}

func compare(a, b reflect.Value) int {
	switch {
	case a.CanInt():
		return cmp.Compare(a.Int(), b.Int())
	case a.CanUint():
		return cmp.Compare(a.Uint(), b.Uint())
	default:
		return cmp.Compare(a.Float(), b.Float())
	}
}
