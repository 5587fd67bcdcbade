package clusterbench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/snowfence/snowfence/internal/lab/cutnet"
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

// with runs f on a cluster.
func (s setup) with(ctx context.Context, f func(*cluster) error) (err error) {
	c, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := f(c); err != nil {
		return err
	}
	return c.check()
}
