package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snowfence/snowfence/internal/clusterload"
	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/progress"
	"github.com/snowfence/snowfence/internal/scenario"
)

// registryFlags are the flags of "cachebench registry".
type registryFlags struct {
	fields *overrides // flags that stand for fields of a scenario

	scenario string
	dir      string
	check    bool
}

func newRegistry(out *output) *cobra.Command {
	f := &registryFlags{}
	cmd := &cobra.Command{
		Use:   "registry",
		Short: "Run a cluster of registries, disturb it, and show how it comes to agree again",
		Long: `Registry starts a cluster of name registries on this machine, over sockets of the
loopback interface, and registers the names that are there from the start. Then
changes come at a steady rate, whether or not the cluster keeps up with them:
each registers a name on some node, or has its holder release it. Within a window
of time the cluster is disturbed, and two nodes at a time claim the same name.

Every claim is kept account of. So it is known when each node showed it, which
claim had to be kept where there were two, and, when all is over, whether any
node still shows what is gone.

Disturbances, from --disturb-start to --disturb-end:
  none      nothing; names are still claimed by two nodes at the same moment
  kill      nodes end as by kill -9, and stay away
  restart   nodes end as by kill -9, and come back at the end of the window
  split     nodes are cut off from the others; each side registers names
  flap      links of nodes are cut or not at random, anew every --flap-period
  skew      the clocks of nodes are off by --skew

Nodes are in one process, or with --processes in one each; all disturbances work
with both. --partitions 1,16 runs the same load with each of these numbers of
partitions, one run after the other, and shows them side by side.

Without --scenario the run is the one that belongs to --disturb, which is a file
in testdata/scenarios as well as a part of this program. Flags override its
fields.

What the rows of the table say:
` + glossary(registryTerms()) + `

With --check the exit code is 1 if a name has two holders or the wrong one, if
there is a zombie, if nodes disagree, if a loser was not told, if a claim was lost
without a reason, if the cluster was not whole again in the time that the scenario
allows, or if a queue was deeper than it allows.

--json prints what result.json holds: command, scenario, environment, finding,
checks, and under runs one object for each number of partitions. Times are in
seconds and have names that end in _seconds; what does not exist is null.`,
		Example: `  cachebench registry
  cachebench registry --disturb kill --processes --check
  cachebench registry --disturb flap --nodes 9 --out out/flap
  cachebench registry --scenario testdata/scenarios/registry-partitions.yaml
  cachebench registry --disturb none --partitions 1,16 --names 20000 --rate 4000 --churn 0
  cachebench registry --resolver oldest --contested 500 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, out) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.fields = newOverrides(flags)
	add := f.fields.add

	flags.StringVar(&f.scenario, "scenario", "",
		"read the run from this `file`; flags override its fields")
	add("disturb", "disturb.kind", "kind", "split", "what is done to the cluster: "+
		strings.Join(scenario.Disturbances(), ", "))
	flags.BoolVar(&f.check, "check", false, "exit with 1 if the result is not what it must be")
	flags.StringVar(&f.dir, "out", "",
		"write report.html, registry.svg, series.csv, tables.md and result.json into this `folder`")
	add("seed", "seed", "number", "1", "settles which names, nodes and links, and when")
	add("duration", "duration", "duration", "8s",
		"how long the load takes; the window keeps its place in proportion")
	add("nodes", "registry.nodes", "n", "5", "the nodes of the cluster")
	add("processes", "registry.processes", "bool", "false", "a process of its own for each node")
	flags.Lookup("processes").NoOptDefVal = "true"
	add("partitions", "registry.partitions", "n,...", "16",
		"into how many partitions names are spread; of several numbers each is a run")
	add("resolver", "registry.resolver", "kind", "newest", "which claim is kept: "+
		strings.Join(scenario.Resolvers(), " or "))
	add("names", "registry.names", "n", "2000", "names that are there from the start")
	add("rate", "registry.rate", "per-second", "500", "changes per second, on all nodes together")
	add("churn", "registry.churn", "share", "0.5",
		"the part of the changes that release a name; 0: names only grow")
	add("contested", "registry.contested", "n", "1000",
		"names that two nodes claim each, within the window; in a split one on either side")
	add("struck", "disturb.nodes", "n", "2", "to how many nodes it is done")
	add("disturb-start", "disturb.start", "duration", "2s", "start of the window")
	add("disturb-end", "disturb.end", "duration", "5s", "end of the window")
	add("flap-period", "disturb.period", "duration", "200ms",
		"of flap: how long a link stays as it is")
	add("skew", "disturb.skew", "duration", "2s",
		"of skew: how far ahead a clock is; behind if negative")
	add("queue", "registry.queue", "n", "0",
		"how many names of a partition may wait to be sent; 0: the registry's default")
	add("gossip", "registry.gossip", "duration", "100ms", "time between two rounds of gossip")
	add("probe", "registry.probe", "duration", "200ms",
		"time between two checks of whether a node is there")

	completeValues(cmd, "disturb", scenario.Disturbances()...)
	completeValues(cmd, "resolver", scenario.Resolvers()...)
	completeValues(cmd, "partitions", "1", "16", "1,16")
	completeScenario(cmd)
	completeOut(cmd)
	return cmd
}

func registryTerms() [][2]string {
	var terms [][2]string
	for _, term := range clusterload.Glossary() {
		terms = append(terms, [2]string{term.Row, term.Meaning})
	}
	return terms
}

func (f *registryFlags) run(cmd *cobra.Command, out *output) error {
	s, err := f.plan()
	if err != nil {
		return usage(err)
	}
	if err := reportFolder(f.dir); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	line := out.progress()
	line.Start("registry")
	began := time.Now()
	result, failed := clusterload.Execute(cmd.Context(), clusterload.Config{
		Scenario: s, Command: []string{self, nodeCommand},
		Progress: func(p clusterload.Progress) { showRegistry(line, p) },
	})
	line.Done()
	if result == nil {
		return failed
	}
	o, err := newRegistryOutput(cmd, s, result, time.Since(began))
	if err != nil {
		return err
	}
	if f.check {
		o.Checks = result.Checks(s)
	}
	return out.conclude(o, f.dir, failed, result.Partial, o.Checks)
}

func showRegistry(line *progress.Line, p clusterload.Progress) {
	part := 0.0
	switch p.Doing {
	case clusterload.Filling:
		part = 0.05
	case clusterload.Running, clusterload.Settling:
		part = 0.1 + 0.8*float64(p.Elapsed)/float64(p.Duration)
	}
	text := p.Doing
	if p.Doing != clusterload.Starting {
		text += fmt.Sprintf(": %s names, %s views behind, queue %s",
			human.Count(int64(p.Names)), human.Count(int64(p.Behind)), human.Count(int64(p.Queue)))
	}
	if p.Runs > 1 {
		text = fmt.Sprintf("partitions %d  %s", p.Partitions, text)
	}
	line.Update((float64(p.Run)+part)/float64(p.Runs), text)
}
