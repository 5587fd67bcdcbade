package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/pace"
)

// Execute runs the load once for each kind of ownership. It blocks for their durations and the time
// that the nodes need to start, see each other and end. If ctx ends it stops, and returns what was
// measured so far as a partial result and no error. If a node can't be started or fails, it
// returns the error and, if there is something, what was measured before.
func Execute(ctx context.Context, p *Params, env lab.Env) (*Result, error) {
	result := &Result{}
	for i, ownership := range p.Ownerships {
		if ctx.Err() != nil {
			break
		}
		done, err := (&run{p: p, env: env, number: i, ownership: ownership}).execute(ctx)
		if done != nil {
			result.Runs = append(result.Runs, done)
		}
		if err != nil && ctx.Err() == nil {
			if len(result.Runs) == 0 {
				return nil, err
			}
			result.Partial = true
			return result, err
		}
	}
	result.Partial = ctx.Err() != nil
	return result, nil //nolint:nilerr // what fails once it is stopped is no error
}

// A run is the load with one kind of ownership.
type run struct {
	pace.Clock // of the load

	p         *Params
	env       lab.Env
	number    int
	ownership Ownership
	origin    *origin

	mu    sync.Mutex // guards nodes and all
	nodes []*process // those that are there, by number; nil: gone
	all   []*process // also those that are gone
	ports []int      // of the registries of nodes

	// Of the samples.
	samples   []countSample
	moves     uint64        // names that had been claimed or lost at the last one
	unsettled []span        // not all nodes saw each other, or names moved
	apart     time.Duration // the last one in which not all nodes saw each other

	// Of the disturbance.
	victims []string
	ended   time.Duration // when it was over; 0: not yet
}

// A countSample holds what the nodes' caches had counted at a time.
type countSample struct {
	at    time.Duration
	local uint64
}

func (r *run) execute(ctx context.Context) (done *Run, err error) {
	if r.origin, err = openOrigin(ctx, r.p); err != nil {
		return nil, err
	}
	defer r.origin.close()
	defer func() { err = errors.Join(err, r.end()) }()
	r.progress("starting")
	r.nodes, r.ports = make([]*process, r.p.Nodes), make([]int, r.p.Nodes)
	for i := range r.nodes {
		if err := r.start(ctx, i); err != nil {
			return nil, err
		}
	}
	if err := r.together(ctx); err != nil {
		return nil, err
	}

	r.Zero = time.Now().Add(200 * time.Millisecond)
	r.origin.begin(r.Zero)
	for _, p := range r.living() {
		if err := p.Send(order{Begin: r.Zero}); err != nil {
			return nil, err
		}
	}
	disturbed := make(chan error, 1)
	disturbing, stop := context.WithCancel(ctx)
	defer stop()
	go func() { disturbed <- r.disturb(disturbing) }()
	r.watch(ctx)
	stop()
	if failed := <-disturbed; failed != nil && !errors.Is(failed, context.Canceled) {
		return nil, failed
	}
	ran := min(r.Now(), r.p.Duration)
	err = r.end()
	return r.result(ran), err
}

// start starts node i, which joins those that are there and takes up its load if that has begun. A
// node that is started again has the address that it had, so the others know at once that its
// incarnation before is over.
func (r *run) start(ctx context.Context, i int) error {
	var seeds []string
	if r.ownership.clustered() {
		for _, p := range r.living() {
			if p.runs() {
				seeds = append(seeds, p.registry)
			}
		}
	}
	p, err := startProcess(ctx, r.env.Child, nodeConfig{
		Params: r.p, Name: nodeName(i), Index: i, Process: len(r.all), Ownership: r.ownership,
		Seeds: seeds, Port: r.ports[i], Origin: r.origin.url,
	})
	if err != nil {
		return err
	}
	if address, err := netip.ParseAddrPort(p.registry); err == nil { // none without a cluster
		r.ports[i] = int(address.Port())
	}
	r.mu.Lock()
	r.nodes[i], r.all = p, append(r.all, p)
	r.mu.Unlock()
	if r.Zero.IsZero() {
		return nil
	}
	return p.Send(order{Begin: r.Zero})
}

func nodeName(i int) string { return fmt.Sprintf("node%d", i+1) }

// living returns the nodes that are there.
func (r *run) living() (list []*process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.nodes {
		if p != nil {
			list = append(list, p)
		}
	}
	return list
}

// together waits until all nodes see each other and, by slot, each has its share.
func (r *run) together(ctx context.Context) error {
	for deadline := time.Now().Add(patience); !r.settled(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("the nodes do not see each other after %v", patience)
		}
		if err := pace.Sleep(ctx, tick); err != nil {
			return err
		}
	}
	return nil
}

// settled reports whether the nodes that are there see each other, and no other node, and, by slot,
// have all slots in even shares.
func (r *run) settled() bool {
	if !r.ownership.clustered() {
		return true
	}
	if r.ownership != BySlot {
		return r.seeEachOther()
	}
	living, held := r.living(), 0
	for _, p := range living {
		n := p.seen().Stats.Held
		if n < cluster.DefaultSlots/len(living) {
			return false
		}
		held += n
	}
	return r.seeEachOther() && held == cluster.DefaultSlots
}

// seeEachOther reports whether the nodes that are there see each other, and no other node.
func (r *run) seeEachOther() bool {
	living := r.living()
	return !r.ownership.clustered() || !slices.ContainsFunc(living, func(p *process) bool {
		return p.seen().Peers != len(living)-1
	})
}

// watch takes samples until the load is over and the last fetches have ended, or ctx ends. A node
// of which fetches go on for longer does not end in good order either, which is an error.
func (r *run) watch(ctx context.Context) {
	for r.Now() < r.p.Duration {
		if pace.Sleep(ctx, tick) != nil {
			return
		}
		r.take()
		r.progress("running")
	}
	for r.Now() < r.p.Duration+r.p.Timeout+patience {
		done := true
		for _, p := range r.living() {
			done = done && (p.seen().Done || !p.runs())
		}
		if done {
			return
		}
		r.progress("settling")
		if pace.Sleep(ctx, tick) != nil {
			return
		}
	}
}

// take takes a sample. What a node that is gone had counted stays counted.
func (r *run) take() {
	settled, at := r.settled(), r.Now()
	if !r.seeEachOther() {
		r.apart = at
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s, before := countSample{at: at}, time.Duration(0)
	if n := len(r.samples); n > 0 {
		before = r.samples[n-1].at
	}
	var moves uint64
	for _, p := range r.all {
		p.mu.Lock()
		s.local += p.last.Stats.LocalLoads
		moves += p.last.Stats.Lost
		if r.ownership == BySlot { // by key, keys that are new are claimed at any time
			moves += p.last.Stats.Moved
		}
		if at <= time.Second {
			p.moved = p.last.Stats.Moved
		}
		p.mu.Unlock()
	}
	r.samples = append(r.samples, s)
	if !settled || before > 0 && moves != r.moves {
		r.unsettled = append(r.unsettled, span{before - noticed, at + noticed})
	}
	r.moves = moves
}

// progress reports how far all runs are.
func (r *run) progress(doing string) {
	part, text := 0.0, fmt.Sprintf("%s  %s", r.ownership, doing)
	if doing != "starting" {
		part = 0.1 + 0.8*min(1, r.Now().Seconds()/r.p.Duration.Seconds())
		var fetches uint64
		for _, n := range r.living() {
			fetches += n.seen().Begun
		}
		text += fmt.Sprintf(": %s fetches, %s loads", human.Count(fetches),
			human.Count(r.origin.issued()))
	}
	r.env.Progress((float64(r.number)+part)/float64(len(r.p.Ownerships)), text)
}

// end ends all nodes that are there. It may be called again.
func (r *run) end() error {
	var ending errgroup.Group
	for i := range r.nodes {
		if p := r.remove(i); p != nil {
			ending.Go(p.leave)
		}
	}
	return ending.Wait()
}
