// Compare runs the benchmarks of Snowfence and other libraries in rounds, and writes the results as
// Markdown and as a page with charts.
//
//	go run ./compare            # everything, 5 rounds
//	go run ./compare -h         # what can be chosen
//	go run ./compare check      # this revision against an older one
//
// In each round every library runs each benchmark, in a process of its own, so that libraries do
// not share a heap, and slow phases of the machine affect all. Ratios are computed within a round;
// the table shows the median of the rounds and their extremes.
package main

import (
	"context"
	"os"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

func main() {
	cli.Main("compare", func(ctx context.Context) error {
		return command(ctx, os.Args[1:])
	})
}

func command(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "check" {
		return checkCommand(ctx, args[1:])
	}
	return compareCommand(ctx, args)
}
