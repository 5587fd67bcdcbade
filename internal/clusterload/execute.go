package clusterload

import (
	"context"
	"errors"
	"runtime"
)

// Execute runs the scenario once for each of its numbers of partitions. It blocks for their
// durations, the time that the nodes need to start, and the time until they agree at the end. If
// ctx ends it stops, and returns what was measured so far as a partial result and no error. An
// error says that the scenario can't be run, or that a node could not be started, was lost or could
// not be closed; what was measured before is then returned as a partial result.
func Execute(ctx context.Context, c Config) (*Result, error) {
	if err := Validate(c.Scenario); err != nil {
		return nil, err
	}
	if c.Scenario.Registry.Processes && len(c.Command) == 0 {
		return nil, errors.New("clusterload: no command for the nodes' processes")
	}
	result := &Result{Seed: c.Scenario.Seed}
	for i, partitions := range c.Scenario.Registry.Partitions {
		if stopped(ctx) {
			break
		}
		// The garbage of one run is not the next one's.
		runtime.GC()
		r := newRun(c, i, partitions)
		done, err := r.execute(ctx)
		if done != nil {
			result.Runs = append(result.Runs, done)
		}
		if err != nil && !stopped(ctx) {
			if len(result.Runs) == 0 {
				return nil, err
			}
			result.Partial = true
			return result, err
		}
	}
	result.Partial = stopped(ctx)
	return result, nil
}

func stopped(ctx context.Context) bool { return ctx.Err() != nil }
