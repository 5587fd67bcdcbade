package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/snowfence/snowfence/internal/scenario"
)

// overrides are flags that stand for fields of a scenario. Their text is
// understood as it would be in a file, so both have the same rules and limits.
type overrides struct {
	flags   *pflag.FlagSet
	byField map[string]string // the flag's name
	order   []*override
}

// An override is the value of one such flag.
type override struct {
	field string
	text  string
	kind  string // the placeholder in help
}

func (o *override) String() string { return o.text }
func (o *override) Type() string   { return o.kind }
func (o *override) Set(text string) error {
	o.text = text
	return nil
}

func newOverrides(flags *pflag.FlagSet) *overrides {
	return &overrides{flags: flags, byField: make(map[string]string)}
}

// add defines a flag for a field. The default is what help shows.
func (o *overrides) add(name, field, kind, byDefault, help string) {
	value := &override{field: field, text: byDefault, kind: kind}
	o.flags.Var(value, name, help)
	o.byField[field] = name
	o.order = append(o.order, value)
}

// given reports whether the flag for a field was given.
func (o *overrides) given(field string) bool { return o.flags.Changed(o.byField[field]) }

// apply puts the flags that were given into s. It does not validate.
func (o *overrides) apply(s *scenario.Scenario) error {
	var errs []error
	for _, value := range o.order {
		if o.given(value.field) {
			errs = append(errs, o.inFlags(s.Set(value.field, value.text)))
		}
	}
	return errors.Join(errs...)
}

// inFlags has the errors of a scenario name flags instead of fields, where a
// field's value did not come from a file.
func (o *overrides) inFlags(err error) error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, e := range joined.Unwrap() {
			errs = append(errs, o.inFlags(e))
		}
		return errors.Join(errs...)
	}
	var field *scenario.FieldError
	if !errors.As(err, &field) || field.File != "" {
		return err
	}
	if name, ok := o.byField[field.Field]; ok {
		return fmt.Errorf("--%s: %s", name, field.Reason)
	}
	return err
}
