package clusterload

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
	views  *views
	lives  []int         // of each member, that its view and its counters are of
	first  []Totals      // of each life, at the start of the run
	last   []nodeCount   // of each life
	ended  Totals        // of lives that are over
	at     time.Duration // of the sample before, also one that is not in the series
	before Totals        // at the last sample that is in the series

	whole, settled agreement
	queuePeak      int
	queueByPart    []int
	heapPeak       uint64
	behindPeak     int
}

func newSampler(r *run) *sampler {
	n := len(r.cluster.members)
	return &sampler{
		r: r, views: newViews(r.ledger, r.line), lives: make([]int, n),
		first: make([]Totals, n), last: make([]nodeCount, n), Sampler: sample.New(),
		whole: newAgreement(never), settled: newAgreement(never),
	}
}

// observed is one look at the whole cluster.
type observed struct {
	last        time.Duration // when a node saw the last change
	least, most int           // names that a node shows
	names       []int         // that each node shows; -1: it is down
	expected    int           // names that must be visible
	behind, old int           // see views.behind
	queue       int
	total       Totals
}

// observe asks all nodes what has happened, and compares what they show with the ledger.
func (s *sampler) observe(ctx context.Context) (observed, error) {
	members := s.r.cluster.members
	seen := make([]*observation, len(members))
	lives := make([]int, len(members))
	var group errgroup.Group
	limited, cancel := context.WithTimeout(ctx, observeTimeout)
	defer cancel()
	for i, m := range members {
		group.Go(func() error {
			n, life := m.get()
			lives[i] = life
			if n == nil {
				return nil
			}
			o, err := n.Observe(limited)
			if _, now := m.get(); now != life {
				return nil // killed meanwhile
			}
			if err != nil {
				return fmt.Errorf("observing %s: %w", m.name, err)
			}
			seen[i] = &o
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return observed{}, err
	}
	return s.takeIn(seen, lives), nil
}

// takeIn takes over what the nodes have observed; nil stands for one that is down.
func (s *sampler) takeIn(seen []*observation, lives []int) observed {
	o := observed{last: noChange, least: -1, names: make([]int, len(seen))}
	for i, x := range seen {
		if lives[i] != s.lives[i] || x == nil && s.views.up[i] {
			s.turn(i, lives[i], x != nil)
		}
		if x == nil {
			o.names[i] = -1
			continue
		}
		for _, l := range x.Lost {
			s.r.ledger.lost(l, s.r.Now())
		}
		o.last = max(o.last, s.views.apply(i, *x))
		s.last[i] = x.Count
		o.names[i] = x.Count.Names
		if o.least < 0 || x.Count.Names < o.least {
			o.least = x.Count.Names
		}
		o.most = max(o.most, x.Count.Names)
		o.queue = max(o.queue, x.Count.Queue)
		s.peaks(x.Count)
	}
	o.least = max(o.least, 0)
	o.behind, o.old = s.views.behind(s.whole.until)
	o.expected = s.r.ledger.expected()
	o.total = s.total()
	return o
}

// turn notes that one life of a member has ended, and perhaps another begun.
func (s *sampler) turn(i, life int, up bool) {
	if s.views.up[i] {
		s.ended.add(s.last[i].since(s.first[i]))
	}
	s.lives[i], s.first[i], s.last[i] = life, Totals{}, nodeCount{}
	s.views.set(i, up)
}

func (s *sampler) peaks(c nodeCount) {
	s.queuePeak = max(s.queuePeak, c.QueueHigh)
	s.heapPeak = max(s.heapPeak, c.Heap)
	for len(s.queueByPart) < len(c.ByPart) {
		s.queueByPart = append(s.queueByPart, 0)
	}
	for i, depth := range c.ByPart {
		s.queueByPart[i] = max(s.queueByPart[i], depth)
	}
}

// total is what was counted in the run, over all nodes.
func (s *sampler) total() Totals {
	sum := s.ended
	for i := range s.last {
		if s.views.up[i] {
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
	s.views.recent.Reset()
	return nil
}

// run takes samples until a time.
func (s *sampler) run(ctx context.Context, until time.Duration) {
	interval := max(minInterval, until/mostSamples)
	for range s.r.Every(ctx, interval, interval, until) {
		if !s.sample(ctx, Running, interval) {
			return
		}
	}
}

// settle takes samples until all views are as they must be and stay so, or patience is over.
func (s *sampler) settle(ctx context.Context) {
	now := s.r.Now()
	s.settled = newAgreement(now)
	inARow := 0
	for range s.r.Every(ctx, settleInterval, now,
		now+max(patience, s.r.scenario.Expect.WholeWithin)) {
		if !s.sample(ctx, Settling, settleInterval) {
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

// sample looks at the cluster and notes what it sees, interval being the time between two samples.
// It returns false if the run can't go on.
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
	s.behindPeak = max(s.behindPeak, o.behind)
	s.note(now, interval, o)
	s.at = now
	s.r.tell(doing, o)
	return true
}

// note puts a sample into the series.
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
		v := measured.None()
		if n >= 0 {
			v = Value(n)
		}
		s.Gauge(seriesNamesOf+s.r.cluster.members[i].name, float64(v))
	}
	s.Gauge(seriesBehind, float64(o.behind))
	s.Gauge(seriesVisible50, float64(s.views.recent.Quantile(50)))
	s.Gauge(seriesVisible99, float64(s.views.recent.Quantile(99)))
	s.views.recent.Reset()
	s.Gauge(seriesQueue, float64(o.queue))
	s.Rate(seriesMessages, d.Sent.All())
	s.Rate(seriesBytes, d.WireBytes)
	s.Rate(seriesConflicts, d.Lost)
	s.Rate(seriesRepairs, d.Pulls)
}
