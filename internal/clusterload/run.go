package clusterload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/snowfence/snowfence/internal/lab/phase"
	"github.com/snowfence/snowfence/internal/scenario"
	"github.com/snowfence/snowfence/registry"
)

// A run is the cluster with one number of partitions, from its start to its end.
type run struct {
	pace.Clock // of the load; before it, all times are negative

	config     Config
	scenario   *scenario.Scenario
	number     int
	partitions int
	line       phase.Line
	struck     []int // the members that the disturbance is for

	cluster *cluster
	ledger  *ledger
	sampler *sampler
	tally   tally
	ops     sync.WaitGroup
	names   int // that were made up; the generator's

	setup time.Duration
	over  atomic.Int64            // when the harm was done and over; 0: it is not
	fail  context.CancelCauseFunc // stops the run for an error
}

func newRun(c Config, number, partitions int) *run {
	s := c.Scenario
	r := &run{
		config: c, scenario: s, number: number, partitions: partitions,
		line:    phase.Line{Start: s.Disturb.Start, End: s.Disturb.End, Stop: s.Duration},
		cluster: newCluster(s, partitions, c.Command),
		ledger:  newLedger(s.Registry.Resolver == scenario.Oldest, s.Registry.Nodes),
	}
	r.struck = r.pickStruck()
	// Past that bound a registry holds its own timestamps back, those that it gave out included.
	if d := s.Disturb; d.Kind == scenario.DisturbSkew && d.Skew.Abs() > registry.DefaultMaxClockSkew {
		r.ledger.exact = false
	}
	return r
}

func (r *run) isStruck(node int) bool { return slices.Contains(r.struck, node) }
func (r *run) isSplit() bool          { return r.scenario.Disturb.Kind == scenario.DisturbSplit }

// execute does it all. If ctx ends it returns what was measured until then, together with ctx's
// error. No goroutine and no process is left when it returns.
func (r *run) execute(parent context.Context) (result *Run, err error) {
	ctx, fail := context.WithCancelCause(parent)
	r.fail = fail
	defer r.fail(nil)
	defer func() {
		r.ops.Wait()
		err = errors.Join(err, r.cluster.close())
	}()
	r.tell(Starting, observed{})
	if err := r.cluster.start(ctx); err != nil {
		return nil, err
	}
	r.sampler = newSampler(r)
	if err := r.fillAndSettle(ctx); err != nil {
		return nil, err
	}
	if err := r.sampler.begin(ctx); err != nil {
		return nil, err
	}
	ran, stopped := r.load(ctx)
	if stopped && parent.Err() == nil {
		return nil, context.Cause(ctx)
	}
	result = r.result(ran)
	if stopped {
		return result, context.Cause(ctx)
	}
	views, err := r.audit(ctx)
	if err != nil {
		return result, err
	}
	result.Audit = r.ledger.audit(views, r.sampler.views.up)
	return result, nil
}

// fillAndSettle registers the names that are there from the start, and waits until all nodes show
// them.
func (r *run) fillAndSettle(ctx context.Context) error {
	began := time.Now()
	r.Zero = began.Add(setupPatience) // so that all times until the start of the run are negative
	r.sampler.views.rebase(r.Zero)
	filled := make(chan struct{})
	var filling sync.WaitGroup
	filling.Go(func() {
		defer close(filled)
		r.fill(ctx)
	})
	defer filling.Wait()
	tick := time.NewTicker(setupInterval)
	defer tick.Stop()
	full, last := false, -setupPatience
	for {
		select {
		case <-filled:
			full, filled = true, nil
			continue
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		o, err := r.sampler.observe(ctx)
		if err != nil {
			return err
		}
		r.tell(Filling, o)
		last = max(last, o.last)
		if full && o.behind == 0 {
			r.setup = last + setupPatience
			return nil
		}
		if time.Since(began) > setupPatience-time.Second {
			r.fail(fmt.Errorf("after %v %d of %d views of the names that are there from the start are "+
				"still missing",
				setupPatience, o.behind, len(r.cluster.members)*r.scenario.Registry.Names))
			return context.Cause(ctx)
		}
	}
}

const (
	setupPatience = 2 * time.Minute
	setupInterval = 10 * time.Millisecond
)

// load runs the load with the disturbance, and goes on until all nodes agree or patience is over.
// It returns when it ended, and whether it was stopped.
func (r *run) load(ctx context.Context) (ran time.Duration, stopped bool) {
	r.Zero = time.Now()
	r.sampler.views.rebase(r.Zero)
	r.tally.restart()
	var work sync.WaitGroup
	for _, do := range []func(context.Context){r.generate, r.contest, r.disturb} {
		work.Go(func() { do(ctx) })
	}
	r.sampler.run(ctx, r.line.Stop)
	work.Wait() // all end by themselves; a node that was started late may take its time
	r.ops.Wait()
	ran = min(r.Now(), r.line.Stop)
	if ctx.Err() == nil {
		r.sampler.settle(ctx)
	}
	return ran, ctx.Err() != nil
}

func (r *run) tell(doing string, o observed) {
	if r.config.Progress == nil {
		return
	}
	elapsed := time.Duration(0)
	if doing == Running || doing == Settling {
		elapsed = min(r.Now(), r.line.Stop)
	}
	r.config.Progress(Progress{
		Run: r.number, Runs: len(r.scenario.Registry.Partitions), Partitions: r.partitions, Doing: doing,
		Elapsed: elapsed, Duration: r.line.Stop, Names: o.most, Behind: o.behind, Queue: o.queue,
	})
}
