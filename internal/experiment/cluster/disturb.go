package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/snowfence/snowfence/internal/lab/pace"
)

// disturb does to the nodes what the configuration says, when it says. The victims are the last
// ones; the first node is never one, so that there is somebody to join.
func (r *run) disturb(ctx context.Context) error {
	if r.c.Disturb == Calm {
		return nil
	}
	if err := r.Until(ctx, r.c.Start); err != nil {
		return err
	}
	victims := make([]int, 0, r.c.Victims)
	for i := r.c.Nodes - r.c.Victims; i < r.c.Nodes; i++ {
		victims = append(victims, i)
	}
	switch r.c.Disturb {
	case Kill, Restart:
		r.strike(victims...)
		for _, i := range victims {
			r.remove(i).kill()
		}
		if r.c.Disturb == Kill {
			r.over(r.Now())
			return nil
		}
		if err := r.Until(ctx, r.c.End); err != nil {
			return err
		}
		for _, i := range victims {
			if err := r.again(ctx, i); err != nil {
				return err
			}
		}
	case Pause:
		r.strike(victims...)
		if err := r.pause(true, victims); err != nil {
			return err
		}
		slept := r.Until(ctx, r.c.End)
		if err := errors.Join(slept, r.pause(false, victims)); err != nil {
			return err
		}
	case Split:
		r.strike(victims...)
		if err := r.split(victims); err != nil {
			return err
		}
		slept := r.Until(ctx, r.c.End)
		if err := errors.Join(slept, r.split(nil)); err != nil {
			return err
		}
	case Rolling:
		if err := r.roll(ctx); err != nil {
			return err
		}
	case OriginSlow, OriginFail:
		r.origin.set(r.c.Disturb == OriginSlow, r.c.Disturb == OriginFail)
		err := r.Until(ctx, r.c.End)
		r.origin.set(false, false)
		if err != nil {
			return err
		}
	case Poison:
		return r.poison(ctx)
	case Calm:
	}
	r.over(r.Now())
	return nil
}

// quarantine returns that of the nodes: the key is tried again when it is harmless.
func (c Config) quarantine() time.Duration {
	if c.Disturb == Poison {
		return c.End - c.Start
	}
	return 0
}

// poison makes the load of one key end its process, until End, and takes out the nodes that die of
// it.
func (r *run) poison(ctx context.Context) error {
	r.order(true)
	for r.Now() < r.c.End {
		if err := pace.Sleep(ctx, tick/2); err != nil {
			return err
		}
		r.reap()
	}
	r.order(false)
	r.over(r.Now())
	for { // until the load is over
		if err := pace.Sleep(ctx, tick/2); err != nil {
			return err
		}
		r.reap()
	}
}

// order tells all nodes whether the key is poisoned. One that has just died does not hear it.
func (r *run) order(poisoned bool) {
	for _, p := range r.living() {
		_ = p.Send(order{Poison: &poisoned})
	}
}

// reap takes out the nodes whose process has ended.
func (r *run) reap() {
	for i := range r.c.Nodes {
		r.mu.Lock()
		p := r.nodes[i]
		r.mu.Unlock()
		if p == nil {
			continue
		}
		select {
		case <-p.Gone():
			r.remove(i).mark() // some time after it has ended
			r.strike(i)
		default:
		}
	}
}

// roll restarts one node after the other, evenly over the time there is; longer if they need it.
func (r *run) roll(ctx context.Context) error {
	each := (r.c.End - r.c.Start) / time.Duration(r.c.Nodes)
	for i := range r.c.Nodes {
		if err := r.Until(ctx, r.c.Start+time.Duration(i)*each); err != nil {
			return err
		}
		r.strike(i)
		if err := r.remove(i).leave(); err != nil {
			return err
		}
		if err := r.again(ctx, i); err != nil {
			return err
		}
	}
	return r.Until(ctx, r.c.End)
}

// again starts a node once more, and has it take up its load.
func (r *run) again(ctx context.Context, i int) error {
	if err := r.start(ctx, i); err != nil {
		return err
	}
	return r.nodes[i].Send(order{Begin: r.Zero.UnixNano(), Duration: r.c.Duration})
}

// split cuts the links between the victims and the others, at both ends; nil makes all whole.
func (r *run) split(victims []int) error {
	side := make(map[int]bool)
	for _, i := range victims {
		side[i] = true
	}
	for i, p := range r.nodes {
		cut := &cutOrder{Registry: []string{}, HTTP: []string{}}
		for j, other := range r.nodes {
			if side[i] != side[j] {
				cut.Registry = append(cut.Registry, other.registry)
				cut.HTTP = append(cut.HTTP, other.http)
			}
		}
		if err := p.Send(order{Cut: cut}); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) pause(stop bool, victims []int) error {
	for _, i := range victims {
		if err := r.nodes[i].pause(stop); err != nil {
			return err
		}
	}
	return nil
}

// remove takes a node out, for its process to be ended.
func (r *run) remove(i int) *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.nodes[i]
	r.nodes[i] = nil
	return p
}

func (r *run) strike(nodes ...int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, i := range nodes {
		r.struck = append(r.struck, nodeName(i))
	}
}

func (r *run) over(at time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = at
}
