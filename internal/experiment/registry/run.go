package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/snowfence/snowfence/internal/lab/phase"
	"github.com/snowfence/snowfence/registry"
)

// execute runs the load once for each number of partitions. It blocks for as long as these take,
// with the time that the nodes need to start, and the time until they agree at the end. If ctx ends
// it stops, and returns what was measured so far as a partial result and no error. An error says
// that a node could not be started, was lost or could not be closed; what was measured before is
// then returned as a partial result.
func execute(ctx context.Context, p *Params, e lab.Env) (*Result, error) {
	result := &Result{}
	for i, partitions := range p.Partitions {
		runtime.GC() // the garbage of one run is not the next one's
		done, err := newRun(p, e, i, partitions).execute(ctx)
		if done != nil {
			result.Runs = append(result.Runs, done)
		}
		switch {
		case ctx.Err() != nil:
			result.partial = true
			return result, nil //nolint:nilerr // it was stopped
		case err != nil && len(result.Runs) == 0:
			return nil, err
		case err != nil:
			result.partial = true
			return result, err
		}
	}
	return result, nil
}

// A run is the cluster with one number of partitions, from its start to its end.
type run struct {
	pace.Clock // of the load; before it, all times are negative

	p          *Params
	env        lab.Env
	number     int // of this run, from 0
	partitions int
	victims    []int // members

	cluster *cluster
	ledger  *ledger
	sampler *sampler
	tally   tally
	ops     errgroup.Group // operations under way
	names   int            // that were made up; the generator's

	setup time.Duration
	over  atomic.Int64            // when the disturbance ended; 0: it has not
	fail  context.CancelCauseFunc // stops the run for an error
}

func newRun(p *Params, e lab.Env, number, partitions int) *run {
	r := &run{
		p: p, env: e, number: number, partitions: partitions,
		cluster: newCluster(p, partitions, e.Child),
		ledger:  newLedger(p.Resolver == "oldest", p.Nodes),
	}
	r.ops.SetLimit(mostAtOnce)
	r.ledger.line = phase.Line{Start: p.Start, End: p.End, Stop: p.Duration}
	r.victims = r.pickVictims()
	// Past that bound a registry holds its own timestamps back, those that it gave out included.
	if p.Disturb == lab.Skew && p.Skew.Abs() > registry.DefaultMaxClockSkew {
		r.ledger.exact = false
	}
	return r
}

// Each use of random numbers has a stream of its own, and does not depend on the others.
const (
	streamLoad uint64 = iota + 1
	streamContest
	streamDisturb
	streamSetup
)

func (r *run) random(stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(r.p.Seed, stream)) //nolint:gosec // not for secrets
}

func (r *run) isVictim(node int) bool { return slices.Contains(r.victims, node) }

// execute runs the cluster from its start to its end. If parent ends it returns what was measured
// until then and its error. No goroutine and no process is left when it returns.
func (r *run) execute(parent context.Context) (result *Run, err error) {
	ctx, fail := context.WithCancelCause(parent)
	r.fail = fail
	defer r.fail(nil)
	defer func() {
		_ = r.ops.Wait()
		err = errors.Join(err, r.cluster.close())
	}()
	r.tell("starting", 0, nil)
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
	ran := r.load(ctx)
	stopped := ctx.Err() != nil
	if stopped && parent.Err() == nil {
		return nil, context.Cause(ctx)
	}
	result = r.result(ran)
	if stopped {
		return result, context.Cause(ctx)
	}
	views, err := r.cluster.views(ctx)
	if err != nil {
		return result, err
	}
	result.Audit = r.ledger.audit(views)
	return result, nil
}

const (
	setupPatience = 2 * time.Minute
	setupInterval = 10 * time.Millisecond
)

// fillAndSettle registers the names that are there from the start, and waits until all nodes show
// them.
func (r *run) fillAndSettle(ctx context.Context) error {
	r.Zero = time.Now().Add(setupPatience) // until the start of the run all times are negative
	r.ledger.rebase(r.Zero)
	filled := make(chan struct{})
	var filling sync.WaitGroup
	filling.Go(func() {
		defer close(filled)
		r.fill(ctx)
	})
	defer filling.Wait()
	last, behind := -setupPatience, 0
	for range r.Every(ctx, setupInterval, r.Now(), -time.Second) {
		full := false
		select {
		case <-filled:
			full = true
		default:
		}
		o, err := r.sampler.observe(ctx)
		if err != nil {
			return err
		}
		r.tell("filling", 0.05, &o)
		last, behind = max(last, o.last), o.behind
		if full && behind == 0 {
			r.setup = last + setupPatience
			return nil
		}
	}
	r.fail(fmt.Errorf("after %v %d of %d views of the names that are there from the start are still "+
		"missing", setupPatience, behind, len(r.cluster.members)*r.p.Names))
	return context.Cause(ctx)
}

// load runs the load with the disturbance, and goes on until all nodes agree or patience is over.
// It returns when the load ended.
func (r *run) load(ctx context.Context) (ran time.Duration) {
	r.Zero = time.Now()
	r.ledger.rebase(r.Zero)
	r.tally.Registered, r.tally.Taken = 0, 0
	var work sync.WaitGroup
	for _, do := range []func(context.Context){r.generate, r.contest, r.disturb} {
		work.Go(func() { do(ctx) })
	}
	r.sampler.run(ctx, r.p.Duration)
	work.Wait() // all end by themselves; a node that was started late may take its time
	_ = r.ops.Wait()
	ran = min(r.Now(), r.p.Duration)
	if ctx.Err() == nil {
		r.sampler.settle(ctx)
	}
	return ran
}

// tell reports what was observed, if anything, when that part of the run was over.
func (r *run) tell(doing string, part float64, o *observed) {
	if o != nil {
		doing += fmt.Sprintf(": %s names, %s views behind, queue %s", human.Count(o.most),
			human.Count(o.behind), human.Count(o.queue))
	}
	if len(r.p.Partitions) > 1 {
		doing = fmt.Sprintf("partitions %d  %s", r.partitions, doing)
	}
	r.env.Progress((float64(r.number)+part)/float64(len(r.p.Partitions)), doing)
}
