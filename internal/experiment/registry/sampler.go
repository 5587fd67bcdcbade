package registry

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/snowfence/snowfence/internal/lab/sample"
	"github.com/snowfence/snowfence/internal/measured"
)

const (
	observeTimeout = 5 * time.Second
	mostSamples    = 200
	minInterval    = 100 * time.Millisecond
	settleInterval = 50 * time.Millisecond
	// patience is how long the cluster may take to agree after the load, at the least.
	patience = 15 * time.Second
	// calm is for how many samples in a row all must agree before a run is over.
	calm = 3
)

// A sampler watches a run. It belongs to the goroutine that executes the run.
type sampler struct {
	*sample.Sampler

	r      *run
	nodes  []node      // of each member, that its view and its counters are of
	first  []Totals    // of each node, at the start of the run
	last   []nodeCount // of each node
	ended  Totals      // of nodes that are gone
	before Totals      // at the last sample that is in the series

	whole, settled agreement
	peaks          Peaks
}

func newSampler(r *run) *sampler {
	n := len(r.cluster.members)
	return &sampler{
		r: r, nodes: make([]node, n), first: make([]Totals, n), last: make([]nodeCount, n),
		Sampler: sample.New(), whole: newAgreement(never), settled: newAgreement(never),
	}
}

// observed holds one look at the whole cluster.
type observed struct {
	last        time.Duration    // when a node saw the last change
	least, most int              // names that a node shows
	names       []measured.Value // that each node shows; none if it is down
	expected    int              // names that must be visible
	behind, old int              // see views.behind
	queue       int
	total       Totals
}

// observe asks all nodes what has happened, and compares what they show with the ledger.
func (s *sampler) observe(ctx context.Context) (observed, error) {
	members := s.r.cluster.members
	seen := make([]*observation, len(members))
	nodes := make([]node, len(members))
	var group errgroup.Group
	limited, cancel := context.WithTimeout(ctx, observeTimeout)
	defer cancel()
	for i, m := range members {
		group.Go(func() error {
			n := m.get()
			nodes[i] = n
			if n == nil {
				return nil
			}
			a, err := n.do(limited, request{Op: opObserve})
			if m.get() != n {
				return nil // killed meanwhile
			}
			if err != nil {
				return fmt.Errorf("observing %s: %w", m.name, err)
			}
			seen[i] = &a.Observation
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return observed{}, err
	}
	return s.takeIn(seen, nodes), nil
}

// takeIn adds what the nodes have observed to the ledger; nil stands for a node that is down.
func (s *sampler) takeIn(seen []*observation, nodes []node) observed {
	o := observed{last: noChange, least: -1, names: make([]measured.Value, len(seen))}
	l := s.r.ledger
	for i, x := range seen {
		if nodes[i] != s.nodes[i] || x == nil && l.up[i] {
			s.turn(i, nodes[i], x != nil)
		}
		if x == nil {
			o.names[i] = measured.None()
			continue
		}
		for _, lost := range x.Lost {
			l.lost(lost, s.r.Now())
		}
		o.last = max(o.last, l.apply(i, *x))
		s.last[i] = x.Count
		o.names[i] = measured.Value(x.Count.Names)
		if o.least < 0 || x.Count.Names < o.least {
			o.least = x.Count.Names
		}
		o.most = max(o.most, x.Count.Names)
		o.queue = max(o.queue, x.Count.Queue)
		s.peaks.note(x.Count)
	}
	o.least = max(o.least, 0)
	o.behind, o.old = l.behind(s.whole.until)
	o.expected = l.expected()
	o.total = s.total()
	return o
}

// turn starts the counters of a member anew: it has another node, or none.
func (s *sampler) turn(i int, n node, up bool) {
	if s.r.ledger.up[i] {
		s.ended.add(s.last[i].since(s.first[i]))
	}
	s.nodes[i], s.first[i], s.last[i] = n, Totals{}, nodeCount{}
	s.r.ledger.set(i, up)
}

// note raises the peaks to those of a node.
func (p *Peaks) note(c nodeCount) {
	p.QueuePeak = max(p.QueuePeak, c.QueueHigh)
	p.HeapPeak = max(p.HeapPeak, c.Heap)
	for i, depth := range c.ByPart {
		if i == len(p.QueuePeaks) {
			p.QueuePeaks = append(p.QueuePeaks, 0)
		}
		p.QueuePeaks[i] = max(p.QueuePeaks[i], depth)
	}
}

// total returns what was counted in the run, over all nodes.
func (s *sampler) total() Totals {
	sum := s.ended
	for i := range s.last {
		if s.r.ledger.up[i] {
			sum.add(s.last[i].since(s.first[i]))
		}
	}
	return sum
}

// begin starts the run: what was counted until now is no part of it.
func (s *sampler) begin(ctx context.Context) error {
	if _, err := s.observe(ctx); err != nil {
		return err
	}
	for i := range s.last {
		s.first[i] = s.last[i].Totals
	}
	s.ended = Totals{}
	s.r.ledger.recent.Reset()
	return nil
}

// run takes samples until a time.
func (s *sampler) run(ctx context.Context, until time.Duration) {
	interval := max(minInterval, until/mostSamples)
	for range s.r.Every(ctx, interval, interval, until) {
		if !s.sample(ctx, "running", interval) {
			return
		}
	}
}

// settle takes samples until all views are as they must be and stay so, or patience is over.
func (s *sampler) settle(ctx context.Context) {
	now := s.r.Now()
	s.settled = newAgreement(now)
	inARow := 0
	for range s.r.Every(ctx, settleInterval, now, now+max(patience, s.r.p.WholeWithin)) {
		if !s.sample(ctx, "settling", settleInterval) {
			return
		}
		inARow++
		if !s.settled.reached() || s.r.ledger.unsettled() > 0 {
			inARow = 0
		}
		if inARow == calm {
			return
		}
	}
}

// sample observes the cluster and notes what it sees; interval is the time between two samples. It
// returns false if the run can't go on.
func (s *sampler) sample(ctx context.Context, doing string, interval time.Duration) bool {
	if at := s.r.over.Load(); at > 0 && s.whole.until == never {
		s.whole = newAgreement(time.Duration(at))
	}
	o, err := s.observe(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.r.fail(err)
		}
		return false
	}
	now := s.r.Now()
	s.whole.see(now, o.last, o.old == 0)
	s.settled.see(now, o.last, o.behind == 0)
	s.peaks.BehindPeak = max(s.peaks.BehindPeak, o.behind)
	s.note(now, interval, o)
	s.r.tell(doing, 0.1+0.8*min(1, now.Seconds()/s.r.p.Duration.Seconds()), &o)
	return true
}

// note adds a sample to the series.
func (s *sampler) note(now, interval time.Duration, o observed) {
	if !s.Next(now, interval) {
		return
	}
	d := o.total.since(s.before)
	s.before = o.total
	s.Gauge(seriesExpected, float64(o.expected))
	s.Gauge(seriesLeast, float64(o.least))
	s.Gauge(seriesMost, float64(o.most))
	for i, n := range o.names {
		s.Gauge(seriesNamesOf+nodeName(i), float64(n))
	}
	s.Gauge(seriesBehind, float64(o.behind))
	s.Gauge(seriesVisible50, float64(s.r.ledger.recent.Quantile(50)))
	s.Gauge(seriesVisible99, float64(s.r.ledger.recent.Quantile(99)))
	s.r.ledger.recent.Reset()
	s.Gauge(seriesQueue, float64(o.queue))
	s.Rate(seriesMessages, d.Sent.all())
	s.Rate(seriesBytes, d.WireBytes)
	s.Rate(seriesConflicts, d.Lost)
	s.Rate(seriesRepairs, d.Pulls)
}
