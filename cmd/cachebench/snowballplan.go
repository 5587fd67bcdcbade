package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/scenario"
	"github.com/snowfence/snowfence/internal/experiment/snowball"
	"github.com/snowfence/snowfence/internal/trace"
	"github.com/snowfence/snowfence/internal/workload"
)

// merged is the scenario, from a file or our own, with the flags in it. It is
// not validated.
func (f *snowballFlags) merged() (*scenario.Scenario, error) {
	given := f.fields.flags.Changed
	var s *scenario.Scenario
	var err error
	if f.scenario != "" {
		s, err = scenario.Load(f.scenario)
	} else if s, err = snowball.Builtin(f.fault); err != nil {
		err = fmt.Errorf("--fault: %w", err)
	}
	if err != nil {
		return nil, err
	}
	usual := s.Duration
	errs := []error{f.fields.apply(s)}
	if f.scenario != "" && given("fault") {
		if err := s.Fault.Kind.UnmarshalText([]byte(f.fault)); err != nil {
			errs = append(errs, fmt.Errorf("--fault: %w", err))
		}
		instead(s, "--fault", "fault.kind")
	}
	if given("keys") {
		errs = append(errs, f.setKeys(s))
	}
	if given("duration") && !given("fault-start") && !given("fault-end") {
		scaleWindow(s, usual)
		f.fields.moved(s, "fault.start", "fault.end")
	}
	if f.fault == origin.FaultNone.String() {
		errs = append(errs, f.fields.refuse("no load fails with --fault none", "fault.rate"))
	}
	f.setStale(s)
	if s.Cache.StaleFor == 0 {
		errs = append(errs, f.fields.refuse("no caller can have a stale value without --stale",
			"cache.soft_timeout"))
	}
	if n := s.Events.Workers; s.Cache.MaxWaitingPerKey >= n {
		why := fmt.Sprintf("no more than %d callers can wait, one for each of --workers", n)
		errs = append(errs, f.fields.refuse(why, "cache.max_waiting_per_key"))
	}
	if s.Keys.Kind == workload.KindTrace {
		errs = append(errs, f.fields.refuse("a trace has keys of its own", "keys.count"))
	}
	return s, errors.Join(errs...)
}

// setStale makes a scenario one with stale values or without, if the flag says so.
func (f *snowballFlags) setStale(s *scenario.Scenario) {
	if !f.fields.flags.Changed("stale") {
		return
	}
	switch {
	case !f.stale:
		s.Cache.StaleFor = 0
	case s.Cache.StaleFor == 0:
		s.Cache.StaleFor = s.Duration
	}
	instead(s, "--stale", "cache.stale_for")
}

func (f *snowballFlags) setKeys(s *scenario.Scenario) error {
	var spec workload.KeySpec
	if err := spec.UnmarshalText([]byte(f.keys)); err != nil {
		return fmt.Errorf("--keys: %w", err)
	}
	k := &s.Keys
	k.SetLaw(spec)
	instead(s, "--keys", lawFields...)
	// Of keys that are all alike a share can't be asked for, and one that the
	// scenario brings was not asked for.
	alike := k.Kind == workload.KindUniform || k.Kind == workload.KindScan
	if alike && !f.fields.given("fault.share") {
		s.Fault.Share = 0
	}
	if k.Kind == workload.KindTrace {
		return s.Set("keys.trace", spec.Path) // so that it starts at the current folder
	}
	return nil
}

// scaleWindow gives the fault window the place in the run that it had when the
// run took as long as usual.
func scaleWindow(s *scenario.Scenario, usual time.Duration) {
	scale := float64(s.Duration) / float64(usual)
	s.Fault.Start = time.Duration(float64(s.Fault.Start) * scale).Round(time.Millisecond)
	s.Fault.End = min(time.Duration(float64(s.Fault.End)*scale).Round(time.Millisecond), s.Duration)
}

func snowballTrace(path string) ([]uint32, error) {
	t, err := trace.Load(path, trace.Options{})
	if err != nil {
		return nil, err
	}
	return t.IDs, nil
}
