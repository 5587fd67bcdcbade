package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Failure is a world that violates an invariant, as small as it could be made.
type Failure struct {
	Setup     Setup
	Steps     []Step
	Violation *Violation
	Drawn     int // steps before minimising
	Runs      int // of the minimiser
}

// minimiserRuns bounds the minimiser's work.
const minimiserRuns = 3000

// Minimise removes from a world what the violation does not need, by delta debugging: steps, nodes,
// partitions, bad weather.
func Minimise(s Setup, steps []Step, v *Violation) *Failure {
	f := &Failure{Setup: s, Steps: steps, Violation: v, Drawn: len(steps)}
	if f.Drawn == 0 {
		return f
	}
	f.fewerSteps()
	f.simplerSetup()
	f.fewerSteps()
	return f
}

// try keeps a variant that violates the same invariant, and reports whether it does.
func (f *Failure) try(s Setup, steps []Step) bool {
	if f.Runs >= minimiserRuns {
		return false
	}
	f.Runs++
	if v := Run(s, steps); v != nil && v.Invariant == f.Violation.Invariant {
		f.Setup, f.Steps, f.Violation = s, steps, v
		return true
	}
	return false
}

// fewerSteps removes runs of steps, long ones first, until none can be removed.
func (f *Failure) fewerSteps() {
	for size := (len(f.Steps) + 1) / 2; size > 0; {
		shorter := false
		for i := 0; i < len(f.Steps); {
			rest := append([]Step(nil), f.Steps[:i]...)
			rest = append(rest, f.Steps[min(i+size, len(f.Steps)):]...)
			if f.try(f.Setup, rest) {
				shorter = true
			} else {
				i += size
			}
		}
		switch {
		case size > 1:
			size /= 2
		case !shorter:
			return
		}
	}
}

// simplerSetup makes the world smaller and its weather fair.
func (f *Failure) simplerSetup() {
	for k := f.Setup.Nodes - 1; k >= 0; k-- {
		// Without the node the run differs: the violation may need another seed.
		for offset := range uint64(8) {
			if s, steps := f.without(k); s.Nodes < 2 {
				break
			} else if s.SeedOffset = offset; f.try(s, steps) {
				break
			}
		}
	}
	for i, step := range f.Steps {
		if step.Kind == Burst {
			steps := slices.Clone(f.Steps)
			for steps[i].Arg = 1; steps[i].Arg < step.Arg &&
				!f.try(f.Setup, slices.Clone(steps)); steps[i].Arg *= 2 {
			}
		}
	}
	for _, change := range []func(*Setup){
		func(s *Setup) { s.Partitions = 1 },
		func(s *Setup) { s.Skew = make([]time.Duration, s.Nodes) },
		func(s *Setup) { s.Drop = 0 },
		func(s *Setup) { s.Double = 0 },
		func(s *Setup) { s.Straggle = 0 },
		func(s *Setup) { s.GossipLoss = 0 },
		func(s *Setup) { s.Fanout = 0 },
		func(s *Setup) { s.Shared = false },
		func(s *Setup) { s.Resolver = Newest },
		func(s *Setup) { s.Retake = false },
		func(s *Setup) { s.Churn = Churn{} },
		func(s *Setup) { s.FlushBytes, s.FlushMax = 1300, 0 },
		func(s *Setup) { s.Limits.ChunkBytes = 256 << 10 },
		func(s *Setup) { s.Limits.Tombstones = 1024 },
		func(s *Setup) { s.Limits.Buffered = 64 },
	} {
		s := f.Setup
		change(&s)
		f.try(s, f.Steps)
	}
}

// without removes node k from the world; the nodes after it move up.
func (f *Failure) without(k int) (Setup, []Step) {
	s := f.Setup
	s.Nodes--
	s.Drawn = slices.Delete(slices.Clone(s.Drawn), k, k+1)
	s.Skew = slices.Delete(slices.Clone(s.Skew), k, k+1)
	var steps []Step
	for _, step := range f.Steps {
		if step.Node == k && step.Kind != Split || step.Other == k && step.Kind.pairs() {
			continue
		}
		if step.Node > k {
			step.Node--
		}
		if step.Other > k {
			step.Other--
		}
		if step.Kind == Split {
			step.Arg = step.Arg&(1<<k-1) | step.Arg>>(k+1)<<k
		}
		steps = append(steps, step)
	}
	return s, steps
}

// String returns the setup, the steps, the messages, and the violation.
func (f *Failure) String() string {
	t := &trace{most: 200, brief: true}
	v, _ := run(f.Setup, f.Steps, t)
	var b strings.Builder
	fmt.Fprintf(&b, "%v\n\n%s\n\n%d steps of %d:\n", f.Violation, &f.Setup, len(f.Steps), f.Drawn)
	for _, s := range f.Steps {
		fmt.Fprintf(&b, "  %v\n", s)
	}
	fmt.Fprintf(&b, "\nwhat happened:\n%s\n%v\n", t, v)
	return b.String()
}
