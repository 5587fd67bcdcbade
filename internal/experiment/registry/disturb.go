package registry

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/snowfence/snowfence/internal/lab"
)

// pickVictims chooses the members that the disturbance is for. The first node is the last one to
// be chosen, so that the loss of the seed that others joined is not what is measured.
func (r *run) pickVictims() []int {
	if r.p.Disturb == lab.Calm {
		return nil
	}
	order := r.random(streamDisturb).Perm(r.p.Nodes)
	first := slices.Index(order, 0)
	order = append(slices.Delete(order, first, first+1), 0)
	victims := order[:min(r.p.Victims, len(order))]
	slices.Sort(victims)
	return victims
}

// disturb starts the disturbance at the start of the window, and ends it at the window's end. An
// error in either ends the run.
func (r *run) disturb(ctx context.Context) {
	if r.p.Disturb == lab.Calm || r.Until(ctx, r.p.Start) != nil {
		return
	}
	err := r.startDisturbance(ctx)
	if r.p.Disturb == lab.Kill {
		// Nothing comes back, so the cluster can recover from here on.
		r.over.Store(int64(r.Now()))
	}
	if err == nil && r.Until(ctx, r.p.End) == nil {
		r.over.CompareAndSwap(0, int64(r.Now()))
		err = r.endDisturbance(ctx)
	}
	if err != nil && ctx.Err() == nil {
		r.fail(fmt.Errorf("%s: %w", r.p.Disturb, err))
	}
}

// startDisturbance starts the disturbance. Links flap until the end of the window.
func (r *run) startDisturbance(ctx context.Context) error {
	switch r.p.Disturb { //nolint:exhaustive // the others are no choices
	case lab.Split:
		return r.cluster.cut(ctx, r.links(func(a, b bool) bool { return a != b }))
	case lab.Flap:
		return r.flap(ctx)
	case lab.Skew:
		return r.skew(ctx, r.p.Skew)
	default: // lab.Kill, lab.Restart
		return r.kill()
	}
}

// endDisturbance ends the disturbance.
func (r *run) endDisturbance(ctx context.Context) error {
	switch r.p.Disturb { //nolint:exhaustive // what is killed stays away
	case lab.Restart:
		return r.eachVictim(func(m *member) error { return r.cluster.restart(ctx, m) })
	case lab.Split, lab.Flap:
		return r.cluster.cut(ctx, nil)
	case lab.Skew:
		return r.skew(ctx, 0)
	}
	return nil
}

func (r *run) eachVictim(f func(*member) error) error {
	var group errgroup.Group
	for _, i := range r.victims {
		group.Go(func() error { return f(r.cluster.members[i]) })
	}
	return group.Wait()
}

func (r *run) kill() error {
	return r.eachVictim(func(m *member) error {
		n := m.take()
		r.ledger.died(m.index, r.Now()) // while it still runs
		if n == nil {
			return nil
		}
		return n.kill()
	})
}

func (r *run) skew(ctx context.Context, d time.Duration) error {
	return r.eachVictim(func(m *member) error {
		n := m.get()
		if n == nil {
			return nil
		}
		_, err := n.do(ctx, request{Op: opSkew, Skew: d})
		return err
	})
}

// flap cuts each link of the victims with a chance of one half, again and again, until the end of
// the window.
func (r *run) flap(ctx context.Context) error {
	rng := r.random(streamDisturb)
	links := r.links(func(a, b bool) bool { return a || b })
	for t := r.p.Start; t < r.p.End; t += r.p.FlapPeriod {
		if err := r.Until(ctx, t); err != nil {
			return err
		}
		var cut []link
		for _, l := range links {
			if rng.IntN(2) == 0 {
				cut = append(cut, l)
			}
		}
		if err := r.cluster.cut(ctx, cut); err != nil {
			return err
		}
	}
	return nil
}

// links returns the links that are wanted, given whether their ends are victims.
func (r *run) links(wanted func(a, b bool) bool) []link {
	var links []link
	for a := range r.p.Nodes {
		for b := a + 1; b < r.p.Nodes; b++ {
			if wanted(r.isVictim(a), r.isVictim(b)) {
				links = append(links, link{a, b})
			}
		}
	}
	return links
}
