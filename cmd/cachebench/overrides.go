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

// apply puts the flags that were given into s, whose errors then name flags instead of fields
// where a value did not come from a file. It does not validate.
func (o *overrides) apply(s *scenario.Scenario) error {
	var errs []error
	for _, value := range o.order {
		s.Call(value.field, "--"+o.byField[value.field])
		if o.given(value.field) {
			errs = append(errs, s.Set(value.field, value.text))
		}
	}
	return errors.Join(errs...)
}

// refuse returns an error for each of the fields whose flag was given though it means nothing, for
// the reason why.
func (o *overrides) refuse(why string, fields ...string) error {
	var errs []error
	for _, field := range fields {
		if o.given(field) {
			errs = append(errs, refused(o.flags, o.byField[field], why))
		}
	}
	return errors.Join(errs...)
}

// refused returns the error for a flag that was given though it means nothing.
func refused(flags *pflag.FlagSet, name, why string) error {
	return fmt.Errorf("--%s %s: has no effect: %s", name, flagText(flags.Lookup(name).Value), why)
}

// moved notes that a change of --duration moved the window between two fields.
func (o *overrides) moved(s *scenario.Scenario, fields ...string) {
	for _, field := range fields {
		s.Call(field, "--"+o.byField[field]+" (in proportion to --duration)")
	}
	s.Overridden(fields...)
}

// instead notes that a flag which is no override gave fields their values.
func instead(s *scenario.Scenario, flag string, fields ...string) {
	for _, field := range fields {
		s.Call(field, flag)
	}
	s.Overridden(fields...)
}
