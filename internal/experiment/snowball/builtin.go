package snowball

import (
	"fmt"
	"slices"
	"strings"

	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/scenario"
	"github.com/snowfence/snowfence/testdata/scenarios"
)

// Faults returns the names of the faults that have a scenario of their own: all
// kinds, the one that shows most first.
func Faults() []string {
	var names []string
	for _, kind := range origin.FaultKinds() {
		if kind != origin.FaultNone {
			names = append(names, kind.String())
		}
	}
	return append(names, origin.FaultNone.String())
}

// Builtin returns the scenario that belongs to a fault.
func Builtin(fault string) (*scenario.Scenario, error) {
	if !slices.Contains(Faults(), fault) {
		return nil, fmt.Errorf("%q: must be one of %s", fault, strings.Join(Faults(), ", "))
	}
	file := "snowball-" + fault + ".yaml"
	if fault == origin.FaultNone.String() {
		file = "none.yaml"
	}
	text, err := scenarios.Files.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("snowball: %w", err)
	}
	s, err := scenario.Parse(file, text)
	if err != nil {
		return nil, err
	}
	s.Forget()
	return s, nil
}
