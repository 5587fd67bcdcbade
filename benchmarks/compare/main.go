// Compare runs the benchmarks of Snowfence and of other libraries turn by turn,
// and writes what came out as Markdown and as a page of its own with charts.
//
//	go run ./compare            # everything, 5 rounds
//	go run ./compare -h         # what can be chosen
//	go run ./compare check      # this revision against an older one
//
// In each round every library has its turn at each benchmark, in a process of
// its own, so that neither heaps nor slow moments of the machine are shared
// unequally. A ratio is taken within a round; the table shows the median of the
// rounds and how far they were apart.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// errUsage is what is wrong about the command line. It ends with exit code 2.
var errUsage = errors.New("wrong usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:])
	stop()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "check" {
		return checkCommand(ctx, args[1:])
	}
	return compareCommand(ctx, args)
}
