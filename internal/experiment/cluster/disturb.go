package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/pace"
)

// disturb does to the nodes what --disturb says, and notes when that is over. The victims are the
// last nodes; the first one is never a victim, so that others can join it.
func (r *run) disturb(ctx context.Context) (err error) {
	if r.p.Disturb == lab.Calm {
		return nil
	}
	if err := r.Until(ctx, r.p.Start); err != nil {
		return err
	}
	var victims []int
	for i := r.p.Nodes - r.p.Victims; i < r.p.Nodes; i++ {
		victims = append(victims, i)
	}
	switch r.p.Disturb {
	case lab.Kill, lab.Restart:
		err = r.kill(ctx, victims)
	case lab.Pause:
		r.hit(victims...)
		err = r.during(ctx, func(on bool) error { return r.pause(on, victims) })
	case lab.Split:
		r.hit(victims...)
		err = r.during(ctx, func(on bool) error { return r.split(on, victims) })
	case lab.Rolling:
		err = r.roll(ctx)
	case lab.OriginSlow, lab.OriginFail:
		err = r.during(ctx, func(on bool) error {
			r.origin.set(on && r.p.Disturb == lab.OriginSlow, on && r.p.Disturb == lab.OriginFail)
			return nil
		})
	case lab.Poison:
		return r.poison(ctx)
	}
	if err == nil {
		r.ended = r.Now()
	}
	return err
}

// during sets something on, and off at the end of the window or when ctx ends.
func (r *run) during(ctx context.Context, set func(on bool) error) error {
	if err := set(true); err != nil {
		return err
	}
	return errors.Join(r.Until(ctx, r.p.End), set(false))
}

// kill ends nodes without notice. With --disturb restart they are started again at the end.
func (r *run) kill(ctx context.Context, victims []int) error {
	r.hit(victims...)
	for _, i := range victims {
		r.remove(i).kill()
	}
	if r.p.Disturb == lab.Kill {
		return nil
	}
	if err := r.Until(ctx, r.p.End); err != nil {
		return err
	}
	for _, i := range victims {
		if err := r.start(ctx, i); err != nil {
			return err
		}
	}
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

// poison makes the load of one key end its process within the window, and takes out the nodes that
// die of it until ctx ends.
func (r *run) poison(ctx context.Context) error {
	set := func(poisoned bool) {
		for _, p := range r.living() {
			_ = p.Send(order{Poison: &poisoned}) // one that has just died does not get it
		}
	}
	set(true)
	for over := false; ; {
		if err := pace.Sleep(ctx, tick/2); err != nil {
			return err
		}
		r.reap()
		if !over && r.Now() >= r.p.End {
			over = true
			set(false)
			r.ended = r.Now()
		}
	}
}

// reap takes out the nodes whose process has ended.
func (r *run) reap() {
	for i, p := range r.nodes { // which nothing else changes meanwhile
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

// roll restarts one node after the other, evenly over the window; longer if they need it.
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
		if err := r.start(ctx, i); err != nil {
			return err
		}
	}
	return r.Until(ctx, r.p.End)
}

// split cuts the links between the victims and the others at both ends, or makes all whole.
func (r *run) split(on bool, victims []int) error {
	side := make(map[int]bool)
	for _, i := range victims {
		side[i] = on
	}
	for i, p := range r.nodes {
		cut := []string{}
		for j, other := range r.nodes {
			if side[i] != side[j] {
				cut = append(cut, other.registry, other.http)
			}
		}
		if err := p.Send(order{Cut: &cut}); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) pause(on bool, victims []int) error {
	for _, i := range victims {
		if err := r.nodes[i].pause(on); err != nil {
			return err
		}
	}
	return nil
}

// remove takes a node out, for its process to be ended, and returns it; nil if it is gone.
func (r *run) remove(i int) *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.nodes[i]
	r.nodes[i] = nil
	return p
}

// hit notes that nodes are victims.
func (r *run) hit(nodes ...int) {
	for _, i := range nodes {
		r.victims = append(r.victims, nodeName(i))
	}
}
