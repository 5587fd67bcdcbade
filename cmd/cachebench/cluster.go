package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/experiment/cluster"
	"github.com/snowfence/snowfence/internal/progress"
)

// clusterFlags are the flags of "cachebench cluster".
type clusterFlags struct {
	config cluster.Config
	flags  *pflag.FlagSet

	dir   string
	check bool
}

func newCluster(out *output) *cobra.Command {
	f := &clusterFlags{config: cluster.DefaultConfig()}
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Run a cache that nodes share, disturb it, and count what the origin has to bear",
		Long: `Cluster starts real processes on this machine, which share a cache over sockets of
the loopback interface, and an origin that counts what it is asked for. Fetches
begin on every node at a steady rate, whether or not those before have ended.
Within a window of time something is done to the nodes or to the origin. The same
is run once for each --ownership, and the results stand side by side.

How a key finds the node that loads it (--ownership):
  key       the node that holds the key's name in the registry
  slot      the node that holds the name of the slot which the key hashes to
  ring      a fixed place on a hash ring of the nodes that are there, no names
  none      no cluster: each node loads for itself, as services do today

Two numbers tell most. The ideal is how many loads one single cache for all nodes
would have needed, had it never failed nor evicted: x1.00 is the best there is.
Without a cluster (none) each node loads what it needs, so that the origin bears
up to as many times the ideal as there are nodes.

Disturbances, from --start to --end:
  none         nothing
  kill         nodes end as by kill -9, and stay away
  restart      nodes end as by kill -9, and are started again at the end
  pause        nodes are stopped (SIGSTOP), as a process that hangs
  split        the network between two sides is cut; both reach the origin
  rolling      all nodes, one after the other, end in good order and start again
  origin-slow  loads take ten times as long, at least a second
  origin-fail  every load fails
  poison       the load of the most popular key ends its process, as a crash would

What the rows of the table say:
` + glossary(clusterTerms()) + `

With --check the exit code is 1 if a promise was broken: a value was wrong or stale,
a fetch late, an error or a load had no reason, or it took too long until all was as
before. An error has a reason if the origin fails, the node is a victim of the
disturbance, or the key is in quarantine.

The origin notes which node loads which key from when to when. Below the table
stands how many loads had which of these reasons:
  of new keys                                no node had loaded the key
  after the TTL                              of the value that was there
  after a load that failed or was given up   so there was no value
  lost with a node                           the node with the value had ended
  as nodes came or went                      see below
  for a node that did not deliver            it was asked in vain, or passed over
  beside a late load                         which had let a caller down
  had by another node                        without a cluster only
Any other load fails the check, which names key, nodes and times.

While nodes come, go or are cut off, and for a second after the last of them has
noticed, they may differ in who owns what. Each may then load for itself, but not
twice within a TTL or, where a value has changed its owner, within --copy-ttl. If
nodes die (kill, poison), this is for --ownership slot alone: by key and by ring all
that are left agree on who owns what.

--json prints what result.json holds: command, config, environment, finding,
checks, and under runs one object for each ownership. Times are in seconds and
have names that end in _seconds; what does not exist is null.`,
		Example: `  cachebench cluster                                  # calm: one load per key in the whole cluster
  cachebench cluster --ownership all --disturb kill   # side by side with none and with a ring
  cachebench cluster --nodes 5 --victims 2 --disturb split --check --out out/split
  cachebench cluster --disturb rolling --duration 30s --start 5s --end 20s
  cachebench cluster --disturb origin-slow --origin-latency 100ms --deadline 2s --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, out) },
	}
	f.define(cmd)
	return cmd
}

func clusterTerms() [][2]string {
	var terms [][2]string
	for _, term := range cluster.Glossary() {
		terms = append(terms, [2]string{term.Row, term.Meaning})
	}
	return terms
}

func (f *clusterFlags) run(cmd *cobra.Command, out *output) error {
	c, err := f.plan()
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
	c.Command = []string{self, clusterNodeCommand}
	line := out.progress()
	c.Progress = func(p cluster.Progress) { showCluster(line, p) }
	line.Start("cluster")
	began := time.Now()
	result, failed := cluster.Execute(cmd.Context(), c)
	line.Done()
	if result == nil {
		return failed
	}
	o := newClusterOutput(cmd, c, result, time.Since(began))
	if f.check {
		o.Checks = result.Checks(c)
	}
	return out.conclude(o, f.dir, failed, result.Partial, o.Checks)
}

func showCluster(line *progress.Line, p cluster.Progress) {
	part := 0.0
	switch p.Doing {
	case cluster.Running:
		part = 0.1 + 0.8*float64(p.Elapsed)/float64(max(p.Duration, 1))
	case cluster.Settling:
		part = 0.9
	}
	text := string(p.Ownership) + "  " + p.Doing
	if p.Doing != cluster.Starting {
		text += fmt.Sprintf(": %s fetches, %s loads",
			human.Count(int64(p.Fetches)), human.Count(int64(p.Loads))) //nolint:gosec // far below
	}
	line.Update((float64(p.Run)+part)/float64(max(p.Runs, 1)), text)
}

// clusterNodeCommand is the name of the command that is a node's process.
const clusterNodeCommand = "cluster-node"

// newClusterNode is one node of "cachebench cluster". It is not for people.
func newClusterNode() *cobra.Command {
	return &cobra.Command{
		Use:    clusterNodeCommand,
		Short:  "One node of a cluster that shares a cache, driven by its standard input",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// As with newNode: the parent ends this process, so an interrupt of the terminal is left to it.
			return cluster.Serve(cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}
