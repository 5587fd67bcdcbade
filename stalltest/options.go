package stalltest

import (
	"fmt"
	"slices"
	"time"
)

// An Option changes which cases are run, and how.
type Option func(*config)

// config holds the values of all options.
type config struct {
	only, except []string
	callers      int
	timeout      time.Duration
	processes    int
}

// WithCases runs the named cases only. Run also has a subtest per case, for go test -run.
func WithCases(names ...string) Option {
	return func(c *config) { c.only = append(c.only, names...) }
}

// WithoutCases leaves the named cases out: those whose outcome is known and accepted.
func WithoutCases(names ...string) Option {
	return func(c *config) { c.except = append(c.except, names...) }
}

// WithCallers sets the number of callers of a key, from 10 to 10,000. The default is 50.
func WithCallers(n int) Option { return func(c *config) { c.callers = n } }

// WithTimeout sets how long callers without a deadline wait for a load that hangs, before they
// count as hanging: more than the subject's own time-out of a load, and at least 1s. The default is
// 40s.
func WithTimeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// WithProcesses sets how many processes run at a time, from 1 to 256. They mostly wait. The default
// is 16.
func WithProcesses(n int) Option { return func(c *config) { c.processes = n } }

// An OptionError is the error for an option whose value is not allowed.
type OptionError struct {
	Field string // the option
	Value any    // its value
	Want  string // the values that it may have
}

// Error returns a description in one line.
func (e *OptionError) Error() string {
	return fmt.Sprintf("stalltest: %s: %v: want %s", e.Field, e.Value, e.Want)
}

// configOf applies and validates the options.
func configOf(opts []Option) (config, error) {
	c := config{callers: 50, timeout: 40 * time.Second, processes: 16}
	for _, o := range opts {
		o(&c)
	}
	switch {
	case c.callers < 10 || c.callers > 10_000:
		return c, &OptionError{"WithCallers", c.callers, "10 to 10000"}
	case c.timeout < time.Second:
		return c, &OptionError{"WithTimeout", c.timeout, "at least 1s"}
	case c.processes < 1 || c.processes > 256:
		return c, &OptionError{"WithProcesses", c.processes, "1 to 256"}
	}
	for _, list := range [...]struct {
		field string
		names []string
	}{{"WithCases", c.only}, {"WithoutCases", c.except}} {
		for _, name := range list.names {
			if find(name) == nil {
				return c, &OptionError{list.field, name, "the name of one of Cases"}
			}
		}
	}
	return c, nil
}

// cases returns the cases to run.
func (c *config) cases() []Case {
	return slices.DeleteFunc(Cases(), func(x Case) bool {
		return len(c.only) > 0 && !slices.Contains(c.only, x.Name) || slices.Contains(c.except, x.Name)
	})
}
