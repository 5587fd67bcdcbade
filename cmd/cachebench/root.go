package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/snowfence/snowfence/internal/experiment/churn"
	"github.com/snowfence/snowfence/internal/experiment/cluster"
	"github.com/snowfence/snowfence/internal/experiment/faults"
	"github.com/snowfence/snowfence/internal/experiment/memory"
	"github.com/snowfence/snowfence/internal/experiment/registry"
	"github.com/snowfence/snowfence/internal/experiment/run"
	"github.com/snowfence/snowfence/internal/experiment/snowball"
	"github.com/snowfence/snowfence/internal/experiment/store"
	"github.com/snowfence/snowfence/internal/lab"
)

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return lab.Execute(ctx, newRoot(stdout, stderr), args, stderr)
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	out := &lab.Output{Stdout: stdout, Stderr: stderr}
	root := &cobra.Command{
		Use:   "cachebench",
		Short: "Load, faults and snowballs for the Snowfence cache and its registry",
		Long: `Cachebench runs load against the Snowfence cache and shows what a slow, stuck or
crashing fetch does to its callers, with the courier's fix off and on: the link
that notifies all callers of a fetch at once, however it ends. It also runs
clusters of the name registry, and of the cache that is built on it, disturbs
them, and shows how they recover; and it measures what a cache leaves behind in
memory.

Exit codes: 0, all was well; 1, the run failed or a check did not hold; 2, the
command line or an input file was wrong.`,
		Example: `  cachebench snowball --fault panic --stale --check --out out/snowball
  cachebench run --keys zipf:1.01 --duration 10s
  cachebench run --trace testdata/traces/small.arc
  cachebench faults
  cachebench registry --disturb split --check --out out/registry
  cachebench cluster --ownership all --disturb kill --out out/cluster
  cachebench memory --check --out out/memory`,
		Version: version(),
	}
	lab.Root(root, out, topics,
		lab.Command(run.Experiment, out),
		lab.Command(snowball.Experiment, out),
		lab.Command(faults.Experiment, out),
		lab.Command(registry.Experiment, out),
		lab.Command(cluster.Experiment, out),
		lab.Command(memory.Experiment, out),
		lab.Command(churn.Experiment, out),
		lab.Command(store.Experiment, out),
	)
	return root
}

// topics are the parts of the help that no single command has.
var topics = []lab.Topic{
	{Name: "scenarios", Short: "how to keep a command's flags in a file", Text: `
A scenario file holds the flags of one command by their names, in YAML or JSON:

  experiment: snowball
  description: The fetch function of a few keys panics.
  rate: 2000
  fault: panic
  start: 2s

Run it with "cachebench snowball --scenario FILE". Flags on the command line override
the file, and what neither has keeps the command's default. A relative path in a
file starts at the file's folder. --check, --out, --json and --quiet are for the command
line alone. Unknown names, wrong types and values out of range
are refused, all of them at once, with file, line and field. result.json and the
report of each run hold the parameters of that run as such a file has them.

Files to start from are in testdata/scenarios.`},
	{Name: "values", Short: "how laws, times and sizes are written", Text: `
  --keys            zipf:SKEW: the key of rank r has a weight of 1/r^SKEW;
                    uniform: all keys are alike; scan: one after the other;
                    zipf-scan:SKEW[,SHARE[,LENGTH]]: zipf with scans of LENGTH
                    keys (a tenth of all), a SHARE of all requests (0.3)
  --origin-latency  5ms; uniform:1ms..10ms; exp:MEAN; lognormal:MEDIAN,P99
  --value-size      100B; uniform:64B..4KiB; lognormal:MEDIAN,P99[,LARGEST]
  --mix             read:95,write:4,delete:1, the weights of operations

Sizes are in B, KiB, MiB, kB or MB.`},
	{Name: "json", Short: "what --json prints and result.json holds", Text: `
Each command prints one object:

  command      the command line, as it could be typed again
  experiment   the name of the command
  params       a scenario of the same run, without what has no effect
  environment  the machine and the program
  partial      whether the run was stopped before its end
  finding      what came out, in words
  checks       what --check found: name, ok, detail; null without it
  result       what was measured
  files        the files that --out wrote; null without it

Times are in seconds and have names that end in _seconds; a number that does not
exist is null.`},
}
