package clusterload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/snowfence/snowfence/internal/scenario"
)

// pickStruck chooses the nodes that the disturbance is for. The first node is the last one to be
// chosen, so that the name of what others joined is not what is measured.
func (r *run) pickStruck() []int {
	d := r.scenario.Disturb
	if d.Kind == scenario.DisturbNone {
		return nil
	}
	order := r.random(streamDisturb).Perm(len(r.cluster.members))
	first := slices.Index(order, 0)
	order = append(slices.Delete(order, first, first+1), 0)
	struck := order[:min(d.Nodes, len(order))]
	slices.Sort(struck)
	return struck
}

// disturb does the harm at the start of the window, and undoes it at its end. What fails then ends
// the run.
func (r *run) disturb(ctx context.Context) {
	strike, undo := r.blow()
	if strike == nil || r.Until(ctx, r.line.Start) != nil {
		return
	}
	err := strike(ctx)
	if r.scenario.Disturb.Kind == scenario.DisturbKill {
		// Nothing comes back, so the cluster can recover from here on.
		r.over.Store(int64(r.Now()))
	}
	if err == nil && r.Until(ctx, r.line.End) == nil {
		r.over.CompareAndSwap(0, int64(r.Now()))
		err = undo(ctx)
	}
	if err != nil && ctx.Err() == nil {
		r.fail(fmt.Errorf("%s: %w", r.scenario.Disturb.Kind, err))
	}
}

// blow is what the disturbance does and how it is undone.
func (r *run) blow() (strike, undo func(context.Context) error) {
	heal := func(ctx context.Context) error {
		return r.cluster.link(ctx, func(cut map[[2]int]bool) { clear(cut) })
	}
	switch d := r.scenario.Disturb; d.Kind {
	case scenario.DisturbNone:
	case scenario.DisturbKill:
		return r.kill, func(context.Context) error { return nil }
	case scenario.DisturbRestart:
		return r.kill, r.restart
	case scenario.DisturbSplit:
		return r.split, heal
	case scenario.DisturbFlap:
		return r.flap, heal
	case scenario.DisturbSkew:
		return func(ctx context.Context) error { return r.skew(ctx, d.Skew) },
			func(ctx context.Context) error { return r.skew(ctx, 0) }
	}
	return nil, nil
}

func (r *run) eachStruck(f func(*member) error) error {
	var group errgroup.Group
	for _, i := range r.struck {
		group.Go(func() error { return f(r.cluster.members[i]) })
	}
	return group.Wait()
}

func (r *run) kill(context.Context) error {
	return r.eachStruck(func(m *member) error {
		return r.cluster.kill(m, func() { r.ledger.died(m.index, r.Now()) })
	})
}

func (r *run) restart(ctx context.Context) error {
	return r.eachStruck(func(m *member) error { return r.cluster.restart(ctx, m) })
}

func (r *run) split(ctx context.Context) error {
	return r.cluster.link(ctx, func(cut map[[2]int]bool) {
		for _, p := range r.crossing(func(a, b bool) bool { return a != b }) {
			cut[p] = true
		}
	})
}

// flap cuts each link of the nodes with a chance of one half, again and again, until the end of the
// window.
func (r *run) flap(ctx context.Context) error {
	rng := r.random(streamDisturb)
	links := r.crossing(func(a, b bool) bool { return a || b })
	for t := r.line.Start; t < r.line.End; t += r.scenario.Disturb.Period {
		if err := r.Until(ctx, t); err != nil {
			return err
		}
		if err := r.cluster.link(ctx, func(cut map[[2]int]bool) { toss(rng, cut, links) }); err != nil {
			return err
		}
	}
	return nil
}

func toss(rng *rand.Rand, cut map[[2]int]bool, links [][2]int) {
	clear(cut)
	for _, link := range links {
		if rng.IntN(2) == 0 {
			cut[link] = true
		}
	}
}

// crossing returns the links of which wanted says so, given whether their ends are struck.
func (r *run) crossing(wanted func(a, b bool) bool) [][2]int {
	var links [][2]int
	for a := range r.cluster.members {
		for b := a + 1; b < len(r.cluster.members); b++ {
			if wanted(r.isStruck(a), r.isStruck(b)) {
				links = append(links, pair(a, b))
			}
		}
	}
	return links
}

func (r *run) skew(ctx context.Context, d time.Duration) error {
	return r.eachStruck(func(m *member) error {
		n, _ := m.get()
		if n == nil {
			return nil
		}
		return n.Skew(ctx, d)
	})
}
