package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// A Setup describes a world before its steps. Together with the steps it determines the run to the
// last message.
type Setup struct {
	Seed       uint64
	SeedOffset uint64 // changes the dice of the run, but not its setup; for the minimiser
	Nodes      int
	Drawn      []int // the numbers of the nodes before minimising, which their dice depend on
	Partitions int
	Resolver   Resolver
	Shared     bool // names that begin with "s" are shared
	Limits     replica.Limits
	Compared   bool // nodes compare all cores at once, instead of each core by itself

	MaxSkew time.Duration   // that the nodes' clocks tolerate
	Skew    []time.Duration // of each node's wall clock, at the start

	Weather                     // of all links, until a step changes it
	GossipLoss float64          // share of broadcast packets that are lost, even when calm
	Fanout     int              // nodes that an update is relayed to
	FlushBytes int              // size of a packet
	FlushMax   int              // packets handed out at a time
	Backlog    int              // pending names from which on all are sent reliably
	TickEvery  time.Duration    // the longest time between two ticks; the shortest is half of it
	Indirect   bool             // members are probed through third nodes, too
	Down, Up   [2]time.Duration // within which others detect that a node is down or up
	Retake     bool             // after each calm, names are released and registered elsewhere
	Churn      Churn            // during the steps, and after them

	MaxMessages int           // sent in all
	Bound       time.Duration // within which a calm world must come to rest
}

// Weather describes the faults of messages between connected nodes.
type Weather struct {
	Drop, Double float64          // shares of messages
	Delay        [2]time.Duration // from, to
	Straggle     float64          // share of messages that take up to two seconds
}

// NewSetup draws a world's setup from a seed.
func NewSetup(seed uint64) Setup {
	d := fork(dice(seed), 1)
	s := Setup{
		Seed:       seed,
		Nodes:      2 + d.intn(6),
		Partitions: 1 + d.intn(2),
		Resolver:   oneOf(&d, Newest, Newest, Oldest, Priority),
		Shared:     d.chance(0.25),
		Limits: replica.Limits{
			ChunkBytes:   oneOf(&d, 100, 300, 1000, 256<<10),
			Tombstones:   oneOf(&d, 1, 2, 4, 16, 1024),
			Buffered:     oneOf(&d, 1, 2, 8, 64),
			Pulls:        oneOf(&d, 1, 2, 8),
			SummaryEvery: oneOf(&d, 300*time.Millisecond, 600*time.Millisecond, time.Second),
			GapPatience:  oneOf(&d, 20*time.Millisecond, 100*time.Millisecond),
			PullTimeout:  oneOf(&d, 200*time.Millisecond, time.Second),
			VectorEvery:  oneOf(&d, 100*time.Millisecond, 500*time.Millisecond),
			ForgetAfter:  oneOf(&d, 2*time.Second, 20*time.Second, 10*time.Minute),
		},
		MaxSkew: oneOf(&d, 200*time.Millisecond, 2*time.Second, 10*time.Second),
		Weather: Weather{
			Drop:   oneOf(&d, 0, 0, 0.05, 0.3),
			Double: oneOf(&d, 0, 0, 0.05, 0.3),
			Delay: oneOf(&d, [2]time.Duration{50e3, 1e6}, [2]time.Duration{1e6, 20e6},
				[2]time.Duration{1e6, 300e6}),
			Straggle: oneOf(&d, 0, 0, 0.02, 0.2),
		},
		GossipLoss:  oneOf(&d, 0, 0.02, 0.2, 0.6),
		Fanout:      d.intn(4),
		FlushBytes:  oneOf(&d, 60, 200, 1300),
		FlushMax:    oneOf(&d, 1, 4, 0),
		Backlog:     oneOf(&d, 4, 32, 1000),
		TickEvery:   oneOf(&d, 100*time.Millisecond, 200*time.Millisecond),
		Indirect:    d.chance(0.5),
		Down:        oneOf(&d, [2]time.Duration{50e6, 500e6}, [2]time.Duration{200e6, 3e9}),
		Up:          oneOf(&d, [2]time.Duration{1e6, 50e6}, [2]time.Duration{50e6, 1500e6}),
		Retake:      d.chance(0.5),
		MaxMessages: 100_000,
		Bound:       2 * time.Minute,
	}
	if d.chance(0.05) {
		s.churn(&d)
	}
	s.Drawn = numbers(s.Nodes)
	s.Skew = make([]time.Duration, s.Nodes)
	spread := oneOf(&d, 0, 0, time.Millisecond, 100*time.Millisecond, 3*time.Second)
	for i := range s.Skew {
		s.Skew[i] = d.between(0, 2*spread+1) - spread
	}
	if spread > 0 && d.chance(0.2) {
		s.Skew[d.intn(s.Nodes)] += oneOf(&d, time.Hour, 365*24*time.Hour)
	}
	s.Compared = d.chance(0.5)
	return s
}

// churn makes the setup one in which names change all the time: so many that tombstones run out
// while a node catches up, on few enough nodes to bear it.
func (s *Setup) churn(d *dice) {
	s.Nodes = 2 + d.intn(2)
	s.Churn = Churn{
		Every: oneOf(d, 20*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond),
		Names: oneOf(d, 20, 60, 160),
		Lag:   5 * time.Second,
	}
	s.Limits.Tombstones = oneOf(d, 1, 4, 16, 64)
	s.Limits.ChunkBytes = oneOf(d, 200, 500, 2000)
	s.Limits.BlockRecords = oneOf(d, 1, 4, 16)
	s.Delay = oneOf(d, [2]time.Duration{50e3, 1e6}, [2]time.Duration{1e6, 20e6})
	// Longer than answers take, or records would come twice.
	s.Limits.PullTimeout = 100 * time.Millisecond
	// A chunk must hold several times the changes until the next one can come.
	inChunk := time.Duration(max(1, s.Limits.ChunkBytes/40))
	s.Churn.Every = max(s.Churn.Every, 8*2*s.Delay[1]/inChunk)
	s.MaxMessages = 1_000_000
}

// honest reports whether all wall clocks agree at the start.
func (s *Setup) honest() bool {
	for _, d := range s.Skew {
		if d != 0 {
			return false
		}
	}
	return true
}

func (s *Setup) shared(name string) bool { return s.Shared && strings.HasPrefix(name, "s") }

// String describes the setup in a few lines.
func (s *Setup) String() string {
	l := s.Limits
	return fmt.Sprintf("seed %d: %d nodes, %d partitions, resolver %s, shared names %v, compared at "+
		"once %v, skew %v of at most %v, members seen down after %v, up after %v, through others %v\n"+
		"network: drop %.2f, double %.2f, delay %v, straggle %.2f, broadcast loss %.2f, fanout %d, "+
		"packets of %d bytes, %d at a time, backlog %d, tick %v\n"+
		"churn %v; limits: chunk %d, tombstones %d, buffered %d, pulls %d, summary %v, gap %v, pull "+
		"%v, vector %v, forget %v",
		s.Seed, s.Nodes, s.Partitions, s.Resolver, s.Shared, s.Compared, s.Skew, s.MaxSkew, s.Down, s.Up,
		s.Indirect,
		s.Drop, s.Double, s.Delay, s.Straggle, s.GossipLoss, s.Fanout, s.FlushBytes, s.FlushMax,
		s.Backlog, s.TickEvery,
		s.Churn, l.ChunkBytes, l.Tombstones, l.Buffered, l.Pulls, l.SummaryEvery, l.GapPatience,
		l.PullTimeout, l.VectorEvery, l.ForgetAfter)
}

func numbers(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}
