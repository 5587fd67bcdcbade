package clusterbench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/registry"
)

// alone measures one node that nobody else has joined.
func alone(ctx context.Context, names int) ([]figure, error) {
	var figures []figure
	for _, goroutines := range []int{1, 4} {
		err := setup{nodes: 1}.with(ctx, func(c *cluster) error {
			start := time.Now()
			all, err := register(c.nodes[0], 0, names, goroutines)
			if err != nil {
				return err
			}
			registered := time.Since(start)
			start = time.Now()
			if err := release(all, goroutines); err != nil {
				return err
			}
			who := fmt.Sprintf(", %d goroutine", goroutines)
			if goroutines > 1 {
				who += "s"
			}
			figures = append(figures,
				figure{"register" + who, perSecond, rate(names, registered)},
				figure{"release" + who, perSecond, rate(names, time.Since(start))})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return figures, nil
}

// pipelined has all nodes register names at the same time, and release them, and counts those that
// all nodes have seen come and go.
func pipelined(ctx context.Context, nodes, names int) (figures []figure, err error) {
	const goroutines = 4 // on each node
	err = setup{nodes: nodes}.with(ctx, func(c *cluster) error {
		each := names / nodes
		held := make([][]*registry.Registration, nodes)
		start := time.Now()
		err := inParallel(nodes, nodes, func(i int) (err error) {
			held[i], err = register(c.nodes[i], i*each, each, goroutines)
			return err
		})
		if err == nil {
			err = c.visible(ctx, each*nodes)
		}
		if err != nil {
			return err
		}
		registered := time.Since(start)
		start = time.Now()
		err = inParallel(nodes, nodes, func(i int) error { return release(held[i], goroutines) })
		if err == nil {
			err = c.visible(ctx, 0)
		}
		figures = append(figures,
			figure{"register on all nodes at once, until all show it", perSecond,
				rate(each*nodes, registered)},
			figure{"release on all nodes at once, until none shows it", perSecond,
				rate(each*nodes, time.Since(start))})
		return err
	})
	return figures, err
}

// oneByOne registers and releases one name, each time when all nodes have seen what was before.
func oneByOne(ctx context.Context, nodes, times int) (figures []figure, err error) {
	err = setup{nodes: nodes}.with(ctx, func(c *cluster) error {
		s := newStepper(ctx, c)
		defer s.close()
		registered, released := measured.Fine(), measured.Fine()
		start := time.Now()
		for range times {
			if err := s.step(ctx, registered, released); err != nil {
				return err
			}
		}
		figures = append(figures, figure{"register and release one at a time", perSecond,
			rate(times, time.Since(start))})
		figures = append(figures, figuresOf(registered, "one at a time: register until all show it", 50,
			99)...)
		figures = append(figures, figuresOf(released, "one at a time: release until none shows it", 50,
			99)...)
		return nil
	})
	return figures, err
}

// A stepper registers and releases one name on the first node, and sees it on the others.
type stepper struct {
	first    *registry.Registry
	name     string
	watchers []*registry.Watcher
}

func newStepper(ctx context.Context, c *cluster) *stepper {
	s := &stepper{first: c.nodes[0], name: nameOf(0)}
	for _, r := range c.nodes[1:] {
		s.watchers = append(s.watchers, r.Watch(ctx, registry.WatchNames(s.name)))
	}
	return s
}

func (s *stepper) step(ctx context.Context, registered, released *measured.Times) error {
	start := time.Now()
	g, err := s.first.RegisterFor(ctx, context.Background(), s.name, metaOf())
	if err != nil {
		return err
	}
	if err := s.see(ctx, registry.Registered); err != nil {
		return errors.Join(err, g.Release())
	}
	registered.Add(time.Since(start))
	start = time.Now()
	if err := g.Release(); err != nil {
		return err
	}
	if err := s.see(ctx, registry.Unregistered); err != nil {
		return err
	}
	released.Add(time.Since(start))
	return nil
}

// see waits for the next event of all watchers, which must be of a kind.
func (s *stepper) see(ctx context.Context, kind registry.EventKind) error {
	for _, w := range s.watchers {
		e, err := w.Next(ctx)
		if err != nil {
			return err
		}
		if e.Kind != kind {
			return fmt.Errorf("clusterbench: want an event %v, got %v", kind, e)
		}
	}
	return nil
}

func (s *stepper) close() {
	for _, w := range s.watchers {
		w.Close()
	}
}
