package cluster

import (
	"fmt"
	"slices"
	"time"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/lab/proc"
	"github.com/snowfence/snowfence/internal/table"
	"github.com/snowfence/snowfence/internal/workload"
)

// Params are the parameters of the experiment. The processes of nodes get them as JSON.
type Params struct {
	Ownerships []Ownership     `name:"ownership" kind:"kind,..." choices:"slot,key,ring,none,all" help:"a run for each of these"`
	Disturb    lab.Disturbance `name:"disturb" choices:"none,kill,restart,pause,split,rolling,origin-slow,origin-fail,poison" help:"what is done; see the topic disturb"`
	lab.Window
	Victims int `name:"victims" help:"nodes that it is done to"`

	Nodes    int              `name:"nodes" min:"1" max:"64" help:"processes that share the cache"`
	Duration time.Duration    `name:"duration" min:"2s" help:"of the load of each run"`
	Rate     float64          `name:"rate" kind:"per-second" above:"0" max:"100000" help:"fetches that begin on each node"`
	Keys     workload.KeySpec `name:"keys" kind:"law" help:"zipf:SKEW, uniform, scan or zipf-scan:SKEW"`
	KeyCount int              `name:"key-count" min:"1" max:"10000000" help:"how many keys there are"`
	Size     workload.Size    `name:"value-size" kind:"size" help:"bytes of a value"`
	TTL      time.Duration    `name:"ttl" min:"0s" help:"of a value" zero:"for ever"`
	Capacity int              `name:"capacity" min:"1" more:"yes" help:"entries of each node's cache"`
	// CopyTTL and PeerTimeout are options of package cluster.
	CopyTTL     time.Duration `name:"copy-ttl" more:"yes" help:"how long a node keeps a copy of another's value; negative: not at all" zero:"the default of the cluster's cache"`
	PeerTimeout time.Duration `name:"peer-timeout" min:"0s" help:"how long an owner may be silent" zero:"the default of the cluster's cache" more:"yes"`
	Timeout     time.Duration `name:"timeout" above:"0s" help:"a caller's own deadline"`

	OriginLatency workload.Latency `name:"origin-latency" kind:"latency" help:"how long a load takes"`
	OriginErrors  float64          `name:"origin-errors" kind:"share" min:"0" max:"1" more:"yes" help:"the part of the loads that fail"`

	Seed uint64 `name:"seed" help:"settles which keys are fetched"`
}

// An Ownership is how a key finds the node that loads it.
type Ownership string

// The ownerships are those of package cluster, and none: each node has a cache of its own.
const (
	BySlot Ownership = "slot"
	ByKey  Ownership = "key"
	ByRing Ownership = "ring"
	None   Ownership = "none"

	everyOwnership Ownership = "all" // in parameters alone
)

// defaults returns a run that goes evenly before a disturbance, which then shows: few keys and a
// short TTL.
func defaults() Params {
	latency, _ := workload.FixedLatency(20 * time.Millisecond) // both are in range
	size, _ := workload.FixedSize(256)
	return Params{
		Ownerships: []Ownership{BySlot, None}, Disturb: lab.Calm,
		Window:  lab.Window{Start: 5 * time.Second, End: 9 * time.Second},
		Victims: 1, Nodes: 3, Duration: 15 * time.Second, Rate: 300,
		Keys: workload.KeySpec{Kind: workload.KindZipf, Skew: 1.1}, KeyCount: 300, Size: size,
		TTL: 3 * time.Second, Capacity: 10_000, Timeout: 2 * time.Second, OriginLatency: latency,
		Seed: 1,
	}
}

// Experiment is "cachebench cluster".
var Experiment = &lab.Experiment[Params, Result]{
	Name:  "cluster",
	Short: "Run a cache that nodes share, and disturb it",
	Long: `Cluster starts processes on this machine that share a cache, and an origin that
counts what it is asked for. Fetches begin on every node at a steady rate. From
--start to --end something is done to the nodes or to the origin. The results
of each --ownership stand side by side:
  slot   a node owns the keys of the slots whose names it holds in the registry
  key    a node owns the keys whose names it holds
  ring   a key has a fixed place on a hash ring of the nodes, without names
  none   no cluster: each node loads for itself, as services do today
  all    one run of each`,
	Example: `  cachebench cluster
  cachebench cluster --ownership all --disturb kill --check --out out/cluster
  cachebench cluster --disturb rolling --duration 30s --start 5s --end 20s`,
	Topics: []lab.Topic{
		{Name: "disturb", Short: "what can be done to the cluster", Text: disturbHelp},
		{Name: "rows", Short: "what the rows of the table say", Text: rowsHelp +
			lab.Glossaries(lab.Glossary(measures))},
		{Name: "promises", Short: "what --check holds the runs to", Text: promisesHelp},
	},
	Defaults: defaults,
	Complete: complete,
	Rules:    rules,
	Run:      Execute,
	Page:     page,
	Child:    Serve,
}

const disturbHelp = `
From --start to --end, with --disturb:

  none         nothing
  kill         nodes end as by kill -9, and stay away
  restart      nodes end as by kill -9, and are started again at the end
  pause        nodes are stopped (SIGSTOP), as a process that hangs
  split        the network between two sides is cut; both reach the origin
  rolling      each node in turn ends in good order and starts again
  origin-slow  loads take ten times as long, at least a second
  origin-fail  every load fails
  poison       the load of the most popular key ends its process, as a crash

Victims of kill, restart, pause and split are the last --victims nodes. A split
has them on one side. In a run of another --duration the window keeps its place
in proportion, unless it is given.`

const rowsHelp = `
Two numbers tell most. The ideal is how many loads one single cache for all
nodes would have needed, had it never failed nor evicted: x1.00 is the best
there is. Without a cluster (none) each node loads what it needs, so that the
origin bears up to as many times the ideal as there are nodes.

`

var promisesHelp = `
With --check the exit code is 1 if a promise was broken: a value was wrong or
stale, a fetch late, an error or a load had no reason, or it took too long
until all was as before. An error has a reason if the origin fails, the node is
a victim of the disturbance, or the key is in quarantine.

The origin notes which node loads which key from when to when. Below the table
stands how many loads had which of these reasons:

` + reasonsHelp() + `
While nodes come, go or are cut off, and for a second after the last of them
has noticed, they may differ in who owns what. Each may then load for itself,
but not twice within a TTL or, where a value has changed its owner, within
--copy-ttl. If nodes die (kill, poison), this is for --ownership slot alone: by
key and by ring all that are left agree on who owns what.`

// complete replaces all by the ownerships, and moves the window in proportion to the duration. A
// run must be seen for a second before it is disturbed.
func complete(p *Params, s *params.Set) {
	if slices.Contains(p.Ownerships, everyOwnership) {
		p.Ownerships = []Ownership{BySlot, ByKey, ByRing, None}
	}
	p.Scale(s, defaults().Duration, p.Duration, time.Second)
}

// pausable is proc.Pausable, but in a test.
var pausable = proc.Pausable

// rules checks what depends on several parameters.
func rules(p *Params, c *params.Checker) {
	c.Check(p.Size.Max() <= 1<<20, "value-size", "must be at most 1MiB, got %s", p.Size)
	c.Check(p.PeerTimeout == 0 || p.PeerTimeout >= time.Millisecond, "peer-timeout",
		"must be 0 or at least 1ms, got %v", p.PeerTimeout)
	c.Unused(slices.Equal(p.Ownerships, []Ownership{None}),
		"with --ownership none no node asks another", "copy-ttl", "peer-timeout")
	if p.Disturb == lab.Calm {
		c.Unused(true, "nothing is disturbed without --disturb", "start", "end", "victims")
		return
	}
	c.Check(p.Start >= time.Second, "start", "must be at least 1s, to know what it was like "+
		"before, got %v", p.Start)
	p.Check(c, p.Duration, 0)
	least := 2
	switch p.Disturb {
	case lab.Rolling:
		c.Unused(true, "--disturb rolling is for all nodes", "victims")
	case lab.Poison:
		c.Unused(true, "--disturb poison is for whatever node loads the key", "victims")
		c.Check(p.TTL > 0 && p.TTL < p.End-p.Start, "ttl",
			"must be above 0 and less than from %s to %s (%v), so that the key is loaded in between, got %v",
			c.Call("start"), c.Call("end"), p.End-p.Start, p.TTL)
		least = 3 // two may die
	case lab.OriginSlow, lab.OriginFail:
		c.Unused(true, fmt.Sprintf("--disturb %s is for the origin", p.Disturb), "victims")
		least = 1
	default:
		c.Check(p.Victims >= 1 && p.Victims < max(2, p.Nodes), "victims",
			"must be at least 1 and below %s (%d), got %d", c.Call("nodes"), p.Nodes, p.Victims)
		c.Check(p.Disturb != lab.Pause || pausable, "disturb",
			"must be another one, since this system lacks SIGSTOP, got %s", p.Disturb)
	}
	c.Check(p.Nodes >= least, "nodes", "must be at least %d for --disturb %s, got %d", least,
		p.Disturb, p.Nodes)
}

// ownershipTerms explains the columns of the table, which are the lines of the charts.
func ownershipTerms(p *Params) []lab.Term {
	meanings := map[Ownership]string{
		BySlot: "the node loads a key that holds, in the registry, the name of the key's hash slot",
		ByKey:  "the node loads a key that holds the name of the key in the registry",
		ByRing: "the node loads a key whose place on a hash ring comes after the key's",
		None:   "each node loads for itself, as services without a shared cache do",
	}
	var terms []lab.Term
	for _, o := range p.Ownerships {
		terms = append(terms, lab.Term{Row: o.column(), Meaning: meanings[o]})
	}
	return terms
}

// page shows the result.
func page(p *Params, r *Result) *lab.Page {
	return &lab.Page{
		Title:    "Cluster cache: " + p.Disturb.Headline(),
		Story:    story(p, r),
		Finding:  r.finding(p),
		Seed:     &p.Seed,
		Partial:  r.Partial,
		Tables:   []*table.Table{r.table(p)},
		Glossary: append(ownershipTerms(p), lab.Glossary(measures)...),
		Charts:   r.charts(p),
		Series:   r.allSeries(),
		Checks:   r.checks(p),
	}
}
