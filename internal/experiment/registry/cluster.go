package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// A cluster holds the nodes of a run.
type cluster struct {
	command []string // of a node's process; nil: nodes are in this process
	config  nodeConfig
	members []*member
}

// A member is a place in the cluster, at which one node after the other may live.
type member struct {
	index int
	name  string

	mu   sync.Mutex // guards all below
	node node       // nil while it is down
	addr string     // of the last one
}

// A link is between two members, the smaller number first.
type link [2]int

// startTimeout is how long a node may take to start and join.
const startTimeout = 20 * time.Second

func newCluster(p *Params, partitions int, command []string) *cluster {
	c := &cluster{config: nodeConfig{Params: *p, Partitions: partitions}}
	if p.Processes {
		c.command = command
	}
	for i := range p.Nodes {
		c.members = append(c.members, &member{index: i, name: nodeName(i)})
	}
	return c
}

// nodeName returns names that sort as their numbers do: ties between claims are resolved by name.
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
	n, addr, err := open(ctx, c.command, config)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.node, m.addr = n, addr
	return nil
}

// get returns the member's node, nil while it is down.
func (m *member) get() node {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.node
}

// up returns the members that have a node.
func (c *cluster) up() []*member {
	return slices.DeleteFunc(slices.Clone(c.members), func(m *member) bool { return m.get() == nil })
}

// take returns the member's node, nil while it is down, and takes it away from others.
func (m *member) take() node {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.node
	m.node = nil
	return n
}

func (m *member) address() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.addr
}

// restart starts a node that was killed, under its old name and at its old address.
func (c *cluster) restart(ctx context.Context, m *member) error {
	port, err := portOf(m.address())
	if err != nil {
		return fmt.Errorf("node %s: %w", m.name, err)
	}
	var seeds []string
	for _, other := range c.up() {
		seeds = append(seeds, other.address())
	}
	return c.open(ctx, m, port, seeds)
}

// cut cuts these links and no others.
func (c *cluster) cut(ctx context.Context, links []link) error {
	var errs []error
	for _, m := range c.members {
		n := m.get()
		if n == nil {
			continue
		}
		var addrs []string
		for _, l := range links {
			if i := slices.Index(l[:], m.index); i >= 0 {
				addrs = append(addrs, c.members[l[1-i]].address())
			}
		}
		_, err := n.do(ctx, request{Op: opCut, Addrs: addrs})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// views asks every node for all that it shows. A node that is down has none.
func (c *cluster) views(ctx context.Context) ([]map[string]claimID, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*observeTimeout)
	defer cancel()
	views := make([]map[string]claimID, len(c.members))
	for i, m := range c.members {
		n := m.get()
		if n == nil {
			continue
		}
		a, err := n.do(ctx, request{Op: opView})
		if err != nil {
			return nil, fmt.Errorf("the view of %s: %w", m.name, err)
		}
		views[i] = a.View
	}
	return views, nil
}

// close ends all nodes that run.
func (c *cluster) close() error {
	var group sync.WaitGroup
	errs := make([]error, len(c.members))
	for i, m := range c.members {
		if n := m.take(); n != nil {
			group.Go(func() { errs[i] = n.close() })
		}
	}
	group.Wait()
	return errors.Join(errs...)
}
