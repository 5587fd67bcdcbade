package registry

import (
	"time"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/testdata/scenarios"
)

// Params are the parameters of the experiment.
type Params struct {
	Seed       uint64          `name:"seed" help:"settles which names, nodes and links, and when"`
	Duration   time.Duration   `name:"duration" min:"500ms" max:"24h" help:"how long the load takes"`
	Nodes      int             `name:"nodes" min:"1" max:"64" help:"the nodes of the cluster"`
	Processes  bool            `name:"processes" help:"a process of its own for each node"`
	Partitions []int           `name:"partitions" min:"1" max:"4096" help:"into how many partitions names are spread; each number is a run"`
	Resolver   string          `name:"resolver" choices:"newest,oldest" more:"y" help:"which of two claims on a name is kept: newest or oldest"`
	Names      int             `name:"names" min:"0" max:"1000000" help:"names that are there from the start"`
	Rate       float64         `name:"rate" kind:"per-second" min:"0" max:"1000000" help:"changes on all nodes together"`
	Churn      float64         `name:"churn" kind:"share" min:"0" below:"1" more:"y" help:"the part of the changes that release a name; the others register one"`
	Contested  int             `name:"contested" min:"0" max:"1000000" help:"names that two nodes claim each, within the window"`
	Disturb    lab.Disturbance `name:"disturb" choices:"none,kill,restart,split,flap,skew" help:"none, kill, restart, split, flap or skew"`
	Victims    int             `name:"victims" min:"1" help:"to how many nodes it is done"`
	lab.Window
	FlapPeriod time.Duration `name:"flap-period" min:"1ms" max:"1m" more:"y" help:"of flap: how long a link stays as it is"`
	Skew       time.Duration `name:"skew" min:"-1h" max:"1h" more:"y" help:"of skew: how far ahead a clock is; behind if negative"`
	Queue      int           `name:"queue" min:"0" more:"y" zero:"the registry's default" help:"how many names of a partition may wait to be sent"`
	Gossip     time.Duration `name:"gossip" min:"1ms" max:"1m" more:"y" help:"time between two rounds of gossip"`
	Probe      time.Duration `name:"probe" min:"1ms" max:"1m" more:"y" help:"time between two checks of whether a node is there"`

	WholeWithin time.Duration `name:"whole-within" min:"0s" more:"y" zero:"not checked" help:"with --check: the longest time from the end of the disturbance (kill: from its start; none: from the end of the load) until all nodes show what they must"`
	QueueAtMost int           `name:"queue-at-most" min:"0" more:"y" zero:"as many as fit in" help:"with --check: the most names in the queue of any partition"`
}

// Experiment is "cachebench registry".
var Experiment = &lab.Experiment[Params, Result]{
	Name:  "registry",
	Short: "Run a cluster of registries, and disturb it",
	Long: `Registry starts a cluster of name registries on this machine. Names are
registered and released at a steady rate; within a window of time nodes are
disturbed, and two nodes at a time claim the same name. Every claim is kept
account of, so that it is known at the end whether all nodes show what was
really done.`,
	Example: `  cachebench registry --disturb split --check --out out/split
  cachebench registry --disturb kill --processes
  cachebench registry --disturb flap --nodes 9
  cachebench registry --scenario testdata/scenarios/registry-partitions.yaml
  cachebench registry --disturb none --partitions 1,16 --rate 4000 --churn 0`,
	Topics: []lab.Topic{
		{Name: "course", Short: "what a run does, and what --check wants", Text: course},
		{Name: "rows", Short: "how to read the tables", Text: lab.Glossaries(lab.Glossary(measures))},
	},
	Defaults: defaults,
	Base:     base,
	Complete: complete,
	Rules:    rules,
	Run:      execute,
	Page:     page,
	Child:    Serve,
}

const course = `
The nodes talk over sockets of the loopback interface. They are in one process,
or with --processes in one each; all disturbances work with both. The names
that are there from the start are registered first, and the run begins when all
nodes show them. Then changes come at a steady rate, whether or not the cluster
keeps up with them: each registers a name on some node, or makes its holder
release it.

Disturbances, from --start to --end:
  none      nothing; names are still claimed by two nodes at the same moment
  kill      victims end as by kill -9, and stay away
  restart   victims end as by kill -9, and come back at the end of the window
  split     victims are cut off from the others; each side registers names
  flap      links of victims are cut or not at random, anew every --flap-period
  skew      the clocks of victims are off by --skew

Each has a scenario file, testdata/scenarios/registry-KIND.yaml, which is a
part of this program too: without --scenario its values are the defaults.
--partitions 1,16 runs the same load with each of these numbers of partitions,
one run after the other, and shows them side by side.

With --check the exit code is 1 if a name has two holders or the wrong one, if
a node shows a holder that is gone (a zombie), if nodes disagree, if the holder
of a claim that lost was not told, if a claim was lost without a reason, if an
operation failed, if the cluster was not whole again within --whole-within, or
if a queue was deeper than --queue-at-most.`

// defaults returns the parameters of testdata/scenarios/registry-split.yaml.
func defaults() Params {
	return Params{
		Seed: 1, Duration: 8 * time.Second, Nodes: 5, Partitions: []int{16}, Resolver: "newest",
		Names: 2000, Rate: 500, Churn: 0.5, Contested: 1000, Disturb: lab.Split, Victims: 2,
		Window:     lab.Window{Start: 2 * time.Second, End: 5 * time.Second},
		FlapPeriod: 200 * time.Millisecond, Skew: 2 * time.Second,
		Gossip: 100 * time.Millisecond, Probe: 200 * time.Millisecond,
		WholeWithin: 12 * time.Second, QueueAtMost: 2000,
	}
}

// base makes the scenario of a disturbance the defaults.
func base(p *Params, s *params.Set) error {
	file := "registry-" + string(p.Disturb) + ".yaml"
	text, err := scenarios.Files.ReadFile(file)
	if err != nil {
		return err
	}
	defer s.Forget()
	return s.Parse(file, text, "registry")
}

// complete fits what was not given to a run of another length and to a cluster of another size.
func complete(p *Params, s *params.Set) {
	p.Scale(s, defaults().Duration, p.Duration, 0)
	if !s.Given("nodes") {
		return
	}
	switch {
	case s.Given("victims"):
	case p.Disturb == lab.Flap:
		p.Victims = p.Nodes // all of them, as in its scenario
	default:
		p.Victims = max(1, min(p.Victims, p.Nodes-1))
	}
	if !s.Given("contested") && p.Nodes == 1 {
		p.Contested = 0
	}
}

// The limits of what can be measured.
const (
	minWindow = 100 * time.Millisecond
	mostRuns  = 8
)

// rules checks what the bounds of single fields can't say.
func rules(p *Params, c *params.Checker) {
	p.Check(c, p.Duration, minWindow)
	c.Check(len(p.Partitions) <= mostRuns, "partitions", "must be at most %d numbers", mostRuns)
	c.Check(p.Contested == 0 || p.Nodes > 1, "contested",
		"needs two nodes that claim a name, and %s is 1", c.Call("nodes"))
	most := p.Nodes - 1
	switch {
	case p.Disturb == lab.Calm:
		most = p.Victims
	case p.Nodes == 1:
		c.Check(false, "disturb", "%s needs at least 2 nodes, and %s is 1", p.Disturb, c.Call("nodes"))
		most = p.Victims
	case p.Disturb == lab.Flap:
		most = p.Nodes // a link has two ends
	}
	c.Check(p.Victims <= most, "victims", "must leave a node alone: at most %d of %d (%s), got %d",
		most, p.Nodes, c.Call("nodes"), p.Victims)
	c.Unused(p.Disturb == lab.Calm, "with --disturb none no node is disturbed", "victims")
	c.Unused(p.Disturb == lab.Calm && p.Contested == 0,
		"with --disturb none and --contested 0 nothing happens in the window", "start", "end")
	c.Unused(p.Disturb != lab.Flap, "links flap with --disturb flap alone", "flap-period")
	c.Unused(p.Disturb != lab.Skew, "clocks are off with --disturb skew alone", "skew")
}

// page shows a result.
func page(p *Params, r *Result) *lab.Page {
	title := "Registry: " + p.Disturb.Headline()
	if p.Disturb == lab.Calm && len(p.Partitions) > 1 {
		title = "Registry: one load, several numbers of partitions"
	}
	return &lab.Page{
		Title: title, Story: story(p), Finding: r.finding(p),
		Seed: &p.Seed, Partial: r.partial,
		Tables: r.tables(p), Glossary: lab.Glossary(measures),
		Charts: r.charts(p), Series: r.series(), Checks: r.checks(p),
	}
}

func partitionsText(n int) string { return human.Plural(n, "partition", "partitions") }
