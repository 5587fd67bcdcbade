package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/internal/clusterload"
	"github.com/snowfence/snowfence/internal/scenario"
)

// plan is the scenario, from a file or our own, with the flags in it, valid.
func (f *registryFlags) plan() (*scenario.Scenario, error) {
	given := f.fields.given
	var s *scenario.Scenario
	var err error
	if f.scenario != "" {
		s, err = scenario.Load(f.scenario)
	} else if s, err = clusterload.Builtin(
		f.fields.flags.Lookup("disturb").Value.String()); err != nil {
		err = fmt.Errorf("--disturb: %w", err)
	}
	if err != nil {
		return nil, err
	}
	if s.Kind != scenario.KindRegistry {
		return nil, s.FieldError("kind",
			fmt.Sprintf("must be registry, got %s: a scenario of another command", s.Kind))
	}
	usual := s.Duration
	if err := f.fields.apply(s); err != nil {
		return nil, err
	}
	if given("duration") && !given("disturb.start") && !given("disturb.end") {
		scale := float64(s.Duration) / float64(usual)
		s.Disturb.Start = time.Duration(float64(s.Disturb.Start) * scale).Round(time.Millisecond)
		s.Disturb.End = min(time.Duration(float64(s.Disturb.End)*scale).Round(time.Millisecond),
			s.Duration)
		f.fields.moved(s, "disturb.start", "disturb.end")
	}
	f.fit(s)
	if err := errors.Join(f.refuse(s), clusterload.Validate(s)); err != nil {
		return nil, err
	}
	return s, nil
}

// refuse returns an error for each flag that means nothing beside the others.
func (f *registryFlags) refuse(s *scenario.Scenario) error {
	var errs []error
	refuse := func(ignored bool, why string, fields ...string) {
		if ignored {
			errs = append(errs, f.fields.refuse(why, fields...))
		}
	}
	kind := s.Disturb.Kind
	refuse(kind == scenario.DisturbNone, "with --disturb none no node is disturbed", "disturb.nodes")
	refuse(kind == scenario.DisturbNone && s.Registry.Contested == 0,
		"with --disturb none and --contested 0 nothing happens in the window", "disturb.start",
		"disturb.end")
	refuse(kind != scenario.DisturbFlap, "links flap with --disturb flap alone", "disturb.period")
	refuse(kind != scenario.DisturbSkew, "clocks are off with --disturb skew alone", "disturb.skew")
	return errors.Join(errs...)
}

// fit makes what was not asked for go with a cluster of another size.
func (f *registryFlags) fit(s *scenario.Scenario) {
	given := f.fields.given
	if !given("registry.nodes") {
		return
	}
	n := s.Registry.Nodes
	if !given("disturb.nodes") && n > 1 {
		most := n - 1
		if s.Disturb.Kind == scenario.DisturbFlap {
			s.Disturb.Nodes, most = n, n // all of them, as in its scenario
		}
		s.Disturb.Nodes = min(s.Disturb.Nodes, most)
	}
	if !given("registry.contested") && n == 1 {
		s.Registry.Contested = 0
	}
}
