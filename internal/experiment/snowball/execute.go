package snowball

import (
	"context"
	"errors"
	"runtime"
)

// Prepare returns the error that Execute would return before it runs anything.
func Prepare(c Config) error {
	if err := Validate(c.Scenario); err != nil {
		return err
	}
	v, err := newService(c, On)
	if err != nil {
		return err
	}
	return errors.Join(v.origin.Close(), v.cache.Close())
}

// Execute runs the scenario with the fix off and then with it on, and once more with stale
// values if the scenario has them. It blocks for the scenario's duration, as often as it runs,
// and a little more. If ctx ends it stops, and
// returns what was measured so far as a partial result and no error. An error
// says that the scenario can't be run, which it does before anything is, or
// that a run could not be cleaned up; what was measured is then returned as a partial result.
func Execute(ctx context.Context, c Config) (*Result, error) {
	if err := Prepare(c); err != nil {
		return nil, err
	}
	r := &Result{Seed: c.Scenario.Seed}
	fixes := fixesOf(c.Scenario)
	for i, fix := range fixes {
		if stopped(ctx) {
			break
		}
		service, err := newService(c, fix)
		if err != nil {
			return nil, err
		}
		service.number, service.of = i, len(fixes)
		// The first run's garbage is not the second one's.
		runtime.GC()
		run, err := service.run(ctx)
		switch fix {
		case Off:
			r.Off = run
		case On:
			r.On = run
		case Stale:
			r.Stale = run
		}
		if err != nil {
			r.Partial = true
			return r, err
		}
	}
	r.Partial = stopped(ctx)
	return r, nil
}

func stopped(ctx context.Context) bool { return ctx.Err() != nil }
