package clusterbench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/snowfence/snowfence/internal/lab/cutnet"
	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/snowfence/snowfence/registry"
)

// A cluster is some registries in this process, each of which sees all others.
type cluster struct {
	nodes  []*registry.Registry
	setup  setup
	meter  *cutnet.Network // counts all traffic; nil: nobody does
	opened int             // nodes ever
	stops  []func() bool   // each keeps the end of ctx from closing a node
}

// A setup says how a cluster is made.
type setup struct {
	nodes      int
	partitions int  // 0: the registry's default
	gossip     bool // small changes go by gossip, whatever the size of the cluster
	metered    bool // costs a lock for each packet and each piece of a stream
}

// open makes a cluster. Whoever gets one closes it. When ctx ends its nodes are closed as well, so
// that nobody waits for them for ever.
func (s setup) open(ctx context.Context) (*cluster, error) {
	c := &cluster{setup: s}
	if s.metered {
		c.meter = cutnet.New(1)
	}
	for range s.nodes {
		if _, err := c.add(ctx); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	if err := c.assemble(ctx); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// add opens one more node and has it join. It returns when the node has what the others have.
func (c *cluster) add(ctx context.Context) (*registry.Registry, error) {
	var seeds []string
	if len(c.nodes) > 0 {
		seeds = []string{c.nodes[0].Addr()}
	}
	return c.addTo(ctx, seeds)
}

// addTo opens one more node and has it join the seeds, if there are any.
func (c *cluster) addTo(ctx context.Context, seeds []string) (*registry.Registry, error) {
	config := registry.Config{
		NodeName:    fmt.Sprintf("node-%02d", c.opened),
		Seeds:       seeds,
		Partitions:  c.setup.partitions,
		SyncTimeout: time.Hour, // ctx ends before
	}
	if c.setup.gossip {
		config.GossipAbove = -1
	}
	c.opened++
	if c.meter != nil {
		t, err := c.meter.Listen(config.NodeName, "127.0.0.1", 0)
		if err != nil {
			return nil, err
		}
		config.Transport = t
	}
	r, err := registry.Open(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("clusterbench: opening %s: %w", config.NodeName, err)
	}
	c.nodes = append(c.nodes, r)
	// close sees the error again
	c.stops = append(c.stops, context.AfterFunc(ctx, func() { _ = r.Close() }))
	return r, nil
}

// dismiss has the newest node leave, and waits until the others know.
func (c *cluster) dismiss(ctx context.Context) error {
	last := len(c.nodes) - 1
	r := c.nodes[last]
	c.nodes = c.nodes[:last]
	if err := errors.Join(r.Leave(ctx), r.Close()); err != nil {
		return err
	}
	return c.assemble(ctx)
}

// assemble waits until all nodes see each other and no others.
func (c *cluster) assemble(ctx context.Context) error {
	return c.await(ctx, "every node sees all others", func() bool { return c.whole() })
}

func (c *cluster) whole() bool {
	for _, r := range c.nodes {
		if len(r.Members()) != len(c.nodes) {
			return false
		}
	}
	return true
}

// pollEvery is how exact the times are at which something is seen to have happened.
const pollEvery = 500 * time.Microsecond

// await waits for a condition, and fails with what was waited for if ctx ends first.
func (c *cluster) await(ctx context.Context, what string, cond func() bool) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for !cond() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("clusterbench: waiting until %s (%s): %w", what, c.describe(),
				context.Cause(ctx))
		}
	}
	return nil
}

// describe says what each node sees, for errors.
func (c *cluster) describe() string {
	var all []string
	for i, r := range c.nodes {
		all = append(all, fmt.Sprintf("node %d: %d members, %d names", i, len(r.Members()), r.Len()))
	}
	return strings.Join(all, ", ")
}

// visible waits until every node shows n names.
func (c *cluster) visible(ctx context.Context, n int) error {
	return c.await(ctx, fmt.Sprintf("every node shows %d names", n), func() bool {
		for _, r := range c.nodes {
			if r.Len() != n {
				return false
			}
		}
		return true
	})
}

// quiet waits until nothing waits to be sent, repeats of gossip included.
func (c *cluster) quiet(ctx context.Context) error {
	return c.await(ctx, "nothing waits to be sent", func() bool {
		for _, r := range c.nodes {
			s := r.Stats()
			if s.Network.BroadcastDepth > 0 || s.Network.PeerQueueBytes > 0 {
				return false
			}
			for i := range s.Partitions {
				if p := &s.Partitions[i]; p.Queue > 0 || p.Inbox > 0 {
					return false
				}
			}
		}
		return true
	})
}

// check fails if a node was taken for dead meanwhile: what was measured is something else then.
func (c *cluster) check() error {
	if !c.whole() {
		return fmt.Errorf("clusterbench: a node was taken for dead: is the machine too busy? (%s)",
			c.describe())
	}
	return nil
}

// close ends all nodes, at the same time: one that outlived the others would only probe them in
// vain.
func (c *cluster) close() error {
	for _, stop := range c.stops {
		stop()
	}
	errs := make([]error, len(c.nodes))
	var wg sync.WaitGroup
	for i, r := range c.nodes {
		wg.Go(func() { errs[i] = r.Close() })
	}
	wg.Wait()
	c.nodes, c.stops = nil, nil
	return errors.Join(errs...)
}

// moved returns how many bytes all nodes have sent, membership's included.
func (c *cluster) moved() uint64 {
	t := c.meter.Traffic()
	return t.PacketBytes + t.StreamBytes
}

// nameOf returns a name of 16 bytes.
func nameOf(i int) string { return fmt.Sprintf("bench/%010d", i) }

// meta is metadata of 16 bytes.
var meta = []byte("10.20.30.40:5678")

// register registers the names from first to first+n-1 on a node, by some goroutines. The holders
// have no context that ever ends, as one shared by all would be a cost of its own.
func register(r *registry.Registry, first, n, goroutines int) ([]*registry.Registration, error) {
	all := make([]*registry.Registration, n)
	err := inParallel(goroutines, n, func(i int) (err error) {
		all[i], err = r.Register(context.Background(), nameOf(first+i), meta)
		return err
	})
	return all, err
}

// release releases registrations, by some goroutines.
func release(all []*registry.Registration, goroutines int) error {
	return inParallel(goroutines, len(all), func(i int) error { return all[i].Release() })
}

// inParallel calls f with 0 to n-1, each of the goroutines with every goroutines-th number, and
// returns the first error.
func inParallel(goroutines, n int, f func(i int) error) error {
	var group errgroup.Group
	for g := range goroutines {
		group.Go(func() error {
			for i := g; i < n; i += goroutines {
				if err := f(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// A turnover releases the registrations of a node, and registers a new name for each.
type turnover struct {
	node   *registry.Registry
	first  int
	rate   float64       // per second
	done   chan struct{} // closed when the following may be read
	turned int
	took   time.Duration
	err    error
}

func (t *turnover) run(ctx context.Context) {
	defer close(t.done)
	clock := pace.Start()
	defer func() { t.took = clock.Now() }()
	for _, g := range t.node.Registrations() {
		if clock.Until(ctx, pace.Due(uint64(t.turned), t.rate)) != nil {
			return
		}
		if t.err = g.Release(); t.err != nil {
			return
		}
		_, t.err = t.node.Register(context.Background(), nameOf(t.first+t.turned), meta)
		if t.err != nil {
			return
		}
		t.turned++
	}
}

// sums are statistics of some nodes together.
type sums struct {
	queueHigh       int // the deepest of all partitions of all nodes
	pulls, timeouts uint64
	served, resyncs uint64
	checks          uint64
	networkBytes
}

// networkBytes are the bytes that the registry sent, by their path. What gossip repeats is counted
// each time.
type networkBytes struct{ gossip, reliable, packets uint64 }

func (n networkBytes) sent() uint64 { return n.gossip + n.reliable + n.packets }

func (s *sums) add(nodes ...*registry.Registry) {
	for _, r := range nodes {
		stats := r.Stats()
		s.gossip += stats.Network.Gossip.BytesOut
		s.reliable += stats.Network.Reliable.BytesOut
		s.packets += stats.Network.Packets.BytesOut
		for i := range stats.Partitions {
			p := &stats.Partitions[i]
			s.queueHigh = max(s.queueHigh, p.QueueHigh)
			s.pulls += p.Pulls
			s.timeouts += p.PullTimeouts
			s.served += p.Served
			s.resyncs += p.Resyncs
			s.checks += p.Sent.Checks
		}
	}
}
