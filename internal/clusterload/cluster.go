package clusterload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/snowfence/snowfence/internal/scenario"
)

// A cluster is the nodes of a run.
type cluster struct {
	command []string // of a node's process; nil: nodes are in this process
	config  nodeConfig
	members []*member

	linking sync.Mutex      // serialises changes of links
	cut     map[[2]int]bool // the links that are cut, the smaller number first; guarded by linking
}

// A member is a place in the cluster, at which one node after the other may live.
type member struct {
	index int
	name  string

	mu   sync.Mutex // guards all below
	node node       // nil while it is down
	life int        // counts its nodes
	addr string     // of the last one
}

// startTimeout is how long a node may take to start and join.
const startTimeout = 20 * time.Second

func newCluster(s *scenario.Scenario, partitions int, command []string) *cluster {
	r := s.Registry
	c := &cluster{
		config: nodeConfig{
			Partitions: partitions, Oldest: r.Resolver == scenario.Oldest, Queue: r.Queue, Gossip: r.Gossip,
			Probe: r.Probe,
		},
		cut: make(map[[2]int]bool),
	}
	if r.Processes {
		c.command = command
	}
	for i := range r.Nodes {
		c.members = append(c.members, &member{index: i, name: nodeName(i)})
	}
	return c
}

// nodeName is such that names are ordered as their numbers are: ties between claims fall to the
// name.
func nodeName(i int) string { return fmt.Sprintf("node-%02d", i+1) }

// start starts all nodes; the first one is the seed of the others. If it fails, those that run are
// to be closed.
func (c *cluster) start(ctx context.Context) error {
	if err := c.open(ctx, c.members[0], 0, nil); err != nil {
		return err
	}
	seeds := []string{c.members[0].addr}
	group, ctx := errgroup.WithContext(ctx)
	for _, m := range c.members[1:] {
		group.Go(func() error { return c.open(ctx, m, 0, seeds) })
	}
	return group.Wait()
}

func (c *cluster) open(ctx context.Context, m *member, port int, seeds []string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	config := c.config
	config.Name, config.Port, config.Seeds = m.name, port, seeds
	var n node
	var err error
	if c.command != nil {
		n, err = openProcess(ctx, c.command, config)
	} else {
		n, err = openLocal(ctx, config)
	}
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.node, m.addr = n, n.Addr()
	m.life++
	return nil
}

// get returns the member's node and which of its lives it is, or nil while it is down.
func (m *member) get() (node, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.node, m.life
}

// kill takes a node away without a word. Gone is called when it is no longer to be had and still
// runs.
func (c *cluster) kill(m *member, gone func()) error {
	m.mu.Lock()
	n := m.node
	m.node = nil
	m.life++
	m.mu.Unlock()
	gone()
	if n == nil {
		return nil
	}
	return n.Kill()
}

// restart starts a node that was killed, under its old name and at its old address.
func (c *cluster) restart(ctx context.Context, m *member) error {
	port, err := portOf(m.addr)
	if err != nil {
		return fmt.Errorf("node %s: %w", m.name, err)
	}
	var seeds []string
	for _, other := range c.members {
		if n, _ := other.get(); n != nil {
			seeds = append(seeds, n.Addr())
		}
	}
	return c.open(ctx, m, port, seeds)
}

// link cuts links or brings them up again, and tells all nodes.
func (c *cluster) link(ctx context.Context, change func(cut map[[2]int]bool)) error {
	c.linking.Lock()
	defer c.linking.Unlock()
	change(c.cut)
	var errs []error
	for _, m := range c.members {
		n, _ := m.get()
		if n == nil {
			continue
		}
		var addrs []string
		for _, other := range c.members {
			if c.cut[pair(m.index, other.index)] {
				other.mu.Lock()
				addrs = append(addrs, other.addr)
				other.mu.Unlock()
			}
		}
		errs = append(errs, n.Cut(ctx, addrs))
	}
	return errors.Join(errs...)
}

// pair names the link between two members.
func pair(a, b int) [2]int { return [2]int{min(a, b), max(a, b)} }

// close ends all nodes that run.
func (c *cluster) close() error {
	var group sync.WaitGroup
	errs := make([]error, len(c.members))
	for i, m := range c.members {
		m.mu.Lock()
		n := m.node
		m.node = nil
		m.mu.Unlock()
		if n != nil {
			group.Go(func() { errs[i] = n.Close() })
		}
	}
	group.Wait()
	return errors.Join(errs...)
}
