package clusterload

import (
	"fmt"

	"github.com/snowfence/snowfence/internal/scenario"
	"github.com/snowfence/snowfence/testdata/scenarios"
)

// Builtin returns the scenario that belongs to a disturbance.
func Builtin(disturbance string) (*scenario.Scenario, error) {
	var d scenario.Disturbance
	if err := d.UnmarshalText([]byte(disturbance)); err != nil {
		return nil, err
	}
	file := "registry-" + d.String() + ".yaml"
	text, err := scenarios.Files.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("clusterload: %w", err)
	}
	s, err := scenario.Parse(file, text)
	if err != nil {
		return nil, err
	}
	s.Forget()
	return s, nil
}
