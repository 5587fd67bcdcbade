package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/pace"
)

// disturb does to the nodes what the configuration says, when it says. The victims are the last
// ones; the first node is never one, so that there is somebody to join.
func (r *run) disturb(ctx context.Context) error {
	if r.p.Disturb == lab.Calm {
		return nil
	}
	if err := r.Until(ctx, r.p.Start); err != nil {
		return err
	}
	victims := make([]int, 0, r.p.Victims)
	for i := r.p.Nodes - r.p.Victims; i < r.p.Nodes; i++ {
		victims = append(victims, i)
	}
	switch r.p.Disturb {
	case lab.Kill, lab.Restart:
		r.hit(victims...)
		for _, i := range victims {
			r.remove(i).kill()
		}
		if r.p.Disturb == lab.Kill {
			r.over(r.Now())
			return nil
		}
		if err := r.Until(ctx, r.p.End); err != nil {
			return err
		}
		for _, i := range victims {
			if err := r.again(ctx, i); err != nil {
				return err
			}
		}
	case lab.Pause:
		r.hit(victims...)
		if err := r.pause(true, victims); err != nil {
			return err
		}
		slept := r.Until(ctx, r.p.End)
		if err := errors.Join(slept, r.pause(false, victims)); err != nil {
			return err
		}
	case lab.Split:
		r.hit(victims...)
		if err := r.split(victims); err != nil {
			return err
		}
		slept := r.Until(ctx, r.p.End)
		if err := errors.Join(slept, r.split(nil)); err != nil {
			return err
		}
	case lab.Rolling:
		if err := r.roll(ctx); err != nil {
			return err
		}
	case lab.OriginSlow, lab.OriginFail:
		r.origin.set(r.p.Disturb == lab.OriginSlow, r.p.Disturb == lab.OriginFail)
		err := r.Until(ctx, r.p.End)
		r.origin.set(false, false)
		if err != nil {
			return err
		}
	case lab.Poison:
		return r.poison(ctx)
	case lab.Calm:
	}
	r.over(r.Now())
	return nil
}

// quarantine returns cluster.Options.Quarantine, 0 for the default. A poisoned key is tried again
// when it is harmless.
func (p *Params) quarantine() time.Duration {
	if p.Disturb == lab.Poison {
		return p.End - p.Start
	}
	return 0
}

// poison makes the load of one key end its process, until End, and takes out the nodes that die of
// it.
func (r *run) poison(ctx context.Context) error {
	r.order(true)
	for r.Now() < r.p.End {
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
	for i := range r.p.Nodes {
		r.mu.Lock()
		p := r.nodes[i]
		r.mu.Unlock()
		if p == nil {
			continue
		}
		select {
		case <-p.Gone():
			r.remove(i).mark() // some time after it has ended
			r.hit(i)
		default:
		}
	}
}

// roll restarts one node after the other, evenly over the time there is; longer if they need it.
func (r *run) roll(ctx context.Context) error {
	each := (r.p.End - r.p.Start) / time.Duration(r.p.Nodes)
	for i := range r.p.Nodes {
		if err := r.Until(ctx, r.p.Start+time.Duration(i)*each); err != nil {
			return err
		}
		r.hit(i)
		if err := r.remove(i).leave(); err != nil {
			return err
		}
		if err := r.again(ctx, i); err != nil {
			return err
		}
	}
	return r.Until(ctx, r.p.End)
}

// again starts a node once more, and has it take up its load.
func (r *run) again(ctx context.Context, i int) error {
	if err := r.start(ctx, i); err != nil {
		return err
	}
	return r.nodes[i].Send(order{Begin: r.Zero.UnixNano()})
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

func (r *run) hit(nodes ...int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, i := range nodes {
		r.victims = append(r.victims, nodeName(i))
	}
}

func (r *run) over(at time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = at
}
