package clusterbench

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// A Plan says how large the measurements are.
type Plan struct {
	Rounds int // of each measurement

	Names      int           // of a single node's measurements
	Spread     [2]int        // names that spread to two other nodes
	Join       int           // names that the cluster of a join holds
	Steps      int           // names that are registered one at a time
	Few, Many  int           // names that go in packets, and over connections
	BigCluster int           // nodes of the large cluster, for traffic
	Settle     time.Duration // how long a cluster is left alone before its traffic is counted
	Idle       time.Duration // how long idle nodes are listened to
	Partitions [2]int        // of two idle nodes
	Lookups    time.Duration // how long lookups go on
	Churn      int           // names that each of 48 goroutines registers
	ChurnRate  int           // registrations per second where they come at a rate
}

// DefaultPlan takes about five minutes on two processors.
var DefaultPlan = Plan{
	Rounds: 5, Names: 100_000, Spread: [2]int{10_000, 100_000}, Join: 100_000, Steps: 200,
	Few: 64, Many: 20_000, BigCluster: 16, Settle: 3 * time.Second, Idle: 5 * time.Second,
	Partitions: [2]int{16, 4096},
	Lookups:    300 * time.Millisecond, Churn: 2000, ChurnRate: 5000,
}

const (
	churnWorkers = 16 // on each of three nodes
	churnKeep    = 500
)

func (p Plan) sections() []section {
	return []section{
		{
			name: "single", title: "One node, nobody else in the cluster",
			variants: []variant{{"per second", func(ctx context.Context) ([]figure,
				error) {
				return alone(ctx, p.Names)
			}}},
			notes: []string{fmt.Sprintf("%d names of 16 bytes with metadata of 16 bytes.", p.Names)},
		},
		p.lookups(),
		{
			name: "three", title: "Three nodes, until a change is seen on all",
			variants: []variant{{"", func(ctx context.Context) ([]figure, error) {
				figures, err := pipelined(ctx, 3, p.Names)
				if err != nil {
					return nil, err
				}
				more, err := oneByOne(ctx, 3, p.Steps)
				return append(figures, more...), err
			}}},
			notes: []string{"A change waits 2 ms before it is sent, for what else changes to share a " +
				"packet with it."},
		},
		{
			name: "spread", title: "Names of one node spread to two others",
			variants: []variant{{"", func(ctx context.Context) ([]figure, error) {
				var all []figure
				for _, n := range p.Spread {
					figures, err := spreading(ctx, 3, n)
					if err != nil {
						return nil, err
					}
					all = append(all, figures...)
				}
				return all, nil
			}}},
		},
		{
			name: "join", title: fmt.Sprintf("A node joins two others that hold %d names", p.Join),
			once: true,
			variants: []variant{{"", func(ctx context.Context) ([]figure,
				error) {
				return joining(ctx, p.Join, p.Rounds)
			}}},
		},
		{
			name: "heap", title: fmt.Sprintf("Heap of %d names", p.Names),
			variants: []variant{{"", func(ctx context.Context) ([]figure,
				error) {
				return holderHeap(ctx, p.Names)
			}}},
			notes: []string{"With the registrations and their contexts, but not what the holders keep " +
				"themselves."},
		},
		p.churn("flood", "One partition against sixteen: as fast as it goes", 0),
		p.churn("rate", fmt.Sprintf("One partition against sixteen: %d registrations per second",
			p.ChurnRate), p.ChurnRate),
		p.traffic(),
		{
			name: "idle", title: fmt.Sprintf("%d nodes while nothing happens", p.BigCluster),
			variants: []variant{{"", func(ctx context.Context) ([]figure, error) {
				return idle(ctx, setup{nodes: p.BigCluster}, p.Few, 0, p.Idle)
			}}},
			notes: []string{"The membership's share holds the frames in which it sends ours."},
		},
		p.resting(),
	}
}

func (p Plan) lookups() section {
	s := section{
		name: "lookup", title: "Lookups on one node",
		notes: []string{fmt.Sprintf("Among %d names in random order, one goroutine on each core.",
			p.Names)},
	}
	for cores := 1; cores <= min(2, runtime.NumCPU()); cores++ {
		title := "1 core"
		if cores > 1 {
			title = fmt.Sprintf("%d cores", cores)
		}
		s.variants = append(s.variants, variant{title, func(ctx context.Context) ([]figure, error) {
			return lookups(ctx, cores, p.Names, p.Lookups)
		}})
	}
	return s
}

func (p Plan) churn(name, title string, perSecond int) section {
	s := section{
		name: name, title: title,
		notes: []string{fmt.Sprintf(
			"Three nodes with %d goroutines each; every goroutine holds up to %d names and releases the "+
				"oldest "+
				"for each new one.", churnWorkers, churnKeep)},
	}
	for _, n := range []int{1, 16} {
		title := "1 partition"
		if n > 1 {
			title = fmt.Sprintf("%d partitions", n)
		}
		load := churn{nodes: 3, partitions: n, workers: churnWorkers, keep: churnKeep, ops: p.Churn,
			rate: perSecond}
		s.variants = append(s.variants, variant{title, load.run})
	}
	return s
}

func (p Plan) resting() section {
	s := section{name: "resting", title: "Two nodes while nothing happens"}
	for _, n := range p.Partitions {
		s.variants = append(s.variants,
			variant{fmt.Sprintf("%d partitions", n), func(ctx context.Context) ([]figure, error) {
				return idle(ctx, setup{nodes: 2, partitions: n}, p.Few, p.Settle, p.Idle)
			}})
	}
	return s
}

func (p Plan) traffic() section {
	s := section{
		name: "bytes", title: "Bytes on the wire for each name",
		notes: []string{"From the first registration on one node until all nodes show all names and " +
			"gossip repeats none of them any more. " +
			"Gossip is for clusters larger than these, see Config.GossipAbove."},
	}
	for _, c := range []setup{{nodes: 3}, {nodes: p.BigCluster}, {nodes: p.BigCluster, gossip: true}} {
		title := fmt.Sprintf("%d nodes", c.nodes)
		if c.gossip {
			title += ", by gossip"
		}
		s.variants = append(s.variants, variant{title, func(ctx context.Context) ([]figure, error) {
			return bytesPerName(ctx, c, p.Settle, []int{p.Few, p.Many})
		}})
	}
	return s
}
