package snowball

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/snowfence/snowfence/internal/lab/phase"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/workload"
)

// A service is one run: everything between the generator and the origin.
type service struct {
	params   *Params
	fix      Fix
	progress func(part float64, doing string)
	observe  func([]series.Series) // nil: no need

	line    phase.Line
	source  workload.Source
	failing []uint64 // the keys
	share   float64  // the part of all events that is for them
	cache   *cache.Cache[uint64, []byte]
	subject subject // cache, or another library
	origin  *origin.Origin
	meter   *meter
	probes  sync.WaitGroup // that have not ended
	queue   chan event
	pace.Clock
	print uint64 // of the events offered; the generator's until it has ended
}

func newService(p *Params, fix Fix) (*service, error) {
	space, err := p.Space(p.Seed, true)
	if err != nil {
		return nil, err
	}
	v := &service{params: p, fix: fix, source: space.Source(0),
		// Until half of the time before the fault the cache fills.
		line:     phase.Line{Before: p.Start / 2, Start: p.Start, End: p.End, Stop: p.Duration},
		progress: func(float64, string) {}, queue: make(chan event, p.Queue)}
	// Also without a fault: the same keys are then compared with the others.
	if v.failing, v.share, err = p.Targets(space); err != nil {
		return nil, err
	}
	v.meter = newMeter(v.line, v.failing)
	c := p.Origin.Config(p.Seed)
	if c.Fault, err = p.Fault.Of(v.failing); err != nil {
		return nil, err
	}
	if c.Fault.Kind == origin.FaultChild {
		// Only the child knows when it dies; the fetch function waits on.
		c.Go = v.linkedChild
	}
	if v.origin, err = origin.New(c); err != nil {
		return nil, err
	}
	v.cache, err = cache.New(v.options())
	v.subject = ours{v.cache, v.fetch}
	return v, err
}

// options is the one place where the runs differ: in the link, in stale values, and, where there
// is one, in the limit of callers per key. That would help with the fix off too, so it would hide
// what a service without any cure is like.
func (v *service) options() cache.Options[uint64, []byte] {
	o := v.params.Options()
	if v.fix == Off {
		o.Courier = append(o.Courier, courier.WithUnlinked(), courier.WithMaxWaitingPerKey(0))
	}
	if v.fix != Stale {
		o.StaleFor, o.SoftTimeout = 0, 0
	}
	return o
}

// run blocks for the duration of a run, or until ctx ends. It leaves no goroutine behind.
func (v *service) run(ctx context.Context) (*Run, error) {
	load, stop := context.WithCancel(ctx)
	defer stop()
	sampler := newSampler(v)
	v.warm()
	v.Clock = pace.Start()
	v.origin.Start()

	var generator, workers sync.WaitGroup
	generator.Go(func() { v.generate(load) })
	for range v.params.Workers {
		workers.Go(func() { v.work(load, &workers) })
	}
	sampler.run(ctx) // until the end
	ran := min(v.Now(), v.params.Duration)
	generator.Wait() // on a busy machine it may still have to offer the last events
	stop()
	dead := v.probe(ctx)
	loads := v.origin.Stats().Loads
	// What hangs has to be let go before workers return that a library leaves no other way out, and
	// before the cache waits for it.
	err := v.origin.Close()
	v.settle(&workers, &v.probes)
	for len(v.queue) > 0 {
		v.meter.abort(<-v.queue, ran)
	}
	err = errors.Join(err, v.subject.close())
	if err != nil {
		err = fmt.Errorf("snowball: after the run: %w", err)
	}
	return v.result(ran, sampler, dead, loads), err
}

// settle waits for goroutines to end. Those of a library may never do so; they end with its
// process.
func (v *service) settle(groups ...*sync.WaitGroup) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, g := range groups {
			g.Wait()
		}
	}()
	var late <-chan time.Time
	if _, other := v.subject.(*theirs); other {
		late = time.After(maxProbeTime)
	}
	select {
	case <-ended:
	case <-late:
	}
}

// generate offers events, each at its intended time. If it is late it offers all that are due, as a
// network would.
func (v *service) generate(ctx context.Context) {
	for intended := range v.Open(ctx, v.params.Rate, 0, v.line.Stop) {
		key, ok := v.source.Next()
		if !ok {
			return
		}
		v.print = workload.Hash(v.print, key, uint64(intended)) //nolint:gosec // not negative
		e := event{intended: intended, key: key, failing: v.meter.isFailing(key)}
		select {
		case v.queue <- e:
			v.meter.offer(e, true, len(v.queue))
		default:
			v.meter.offer(e, false, len(v.queue))
		}
	}
}

// work handles events until ctx ends. If Goexit ends it instead, which a library may call in its
// callers, another worker takes its place.
func (v *service) work(ctx context.Context, workers *sync.WaitGroup) {
	returned := false
	defer func() {
		if !returned {
			workers.Go(func() { v.work(ctx, workers) })
		}
	}()
	for {
		select {
		case <-ctx.Done():
			returned = true
			return
		case e := <-v.queue:
			v.handle(ctx, e)
		}
	}
}

func (v *service) handle(ctx context.Context, e event) {
	called := v.Now()
	got := answer{err: courier.ErrGoexit} // unless get returns
	defer func() { v.answered(ctx, e, called, got) }()
	own, cancel := context.WithTimeout(ctx, v.params.Timeout)
	defer cancel()
	defer v.meter.hold(e)()
	got = v.subject.get(own, e.key)
}

// answered counts an event whose worker has called the cache and has its answer.
func (v *service) answered(ctx context.Context, e event, called time.Duration, got answer) {
	answered := v.Now()
	if got.err != nil && ctx.Err() != nil {
		v.meter.abort(e, min(answered, v.line.Stop))
		return
	}
	v.meter.finish(e, called, answered, got)
}

type failingKey struct{}

// fetch loads a key for the cache, and notes when the load of a failing key dies.
func (v *service) fetch(ctx context.Context, key uint64) ([]byte, error) {
	if !v.meter.isFailing(key) {
		return v.origin.Load(ctx, key)
	}
	ended := false
	defer func() { // also after a panic or Goexit
		if !ended {
			v.meter.died(key, v.Now())
		}
	}()
	value, err := v.origin.Load(context.WithValue(ctx, failingKey{}, key), key)
	// A fetch whose flight is over already has nothing more to tell.
	ended = err == nil || ctx.Err() != nil
	return value, err
}

// linkedChild does what courier.Go does, and notes when the child dies.
func (v *service) linkedChild(ctx context.Context, child func(context.Context) error) {
	start := func(child func(context.Context) error) { courier.Go(ctx, child) }
	if _, other := v.subject.(*theirs); other { // they have no linked goroutines
		start = func(child func(context.Context) error) { go func() { _ = child(ctx) }() }
	}
	start(func(ctx context.Context) error {
		if key, ok := ctx.Value(failingKey{}).(uint64); ok {
			defer func() { v.meter.died(key, v.Now()) }()
		}
		return child(ctx)
	})
}

// warm stores a value of each failing key if one of the runs is to give stale ones: in all runs, so
// that they do not differ in this.
func (v *service) warm() {
	if !v.params.Stale {
		return
	}
	for _, key := range v.failing {
		v.subject.set(key, v.origin.Value(key))
	}
}

const (
	// maxProbeTime bounds the wait for a key: much longer than a healthy origin takes, much shorter
	// than a user has patience.
	maxProbeTime = time.Second
	// probeInterval is the pause after a stale value.
	probeInterval = 20 * time.Millisecond
)

// probe fetches each failing key once after the run, when the fault is over, and returns how many
// still do not work. It returns -1 if ctx has ended.
func (v *service) probe(ctx context.Context) int {
	limit := semaphore.NewWeighted(int64(v.params.Workers))
	var dead atomic.Int64
	var probes sync.WaitGroup
	for _, key := range v.failing {
		if limit.Acquire(ctx, 1) != nil {
			break
		}
		probes.Go(func() {
			defer limit.Release(1)
			own, cancel := context.WithTimeout(ctx, maxProbeTime)
			defer cancel()
			if !v.works(own, key) {
				dead.Add(1)
			}
		})
	}
	probes.Wait()
	if stopped(ctx) {
		return -1
	}
	return int(dead.Load())
}

// works reports whether a fresh value of key can be had before ctx ends.
func (v *service) works(ctx context.Context, key uint64) bool {
	got := make(chan answer, 1)
	for ctx.Err() == nil {
		// Apart, since a library may not look at ctx, or end its caller.
		v.probes.Go(func() { got <- v.subject.get(ctx, key) })
		select {
		case a := <-got:
			if !a.stale {
				return a.err == nil
			}
			time.Sleep(probeInterval)
		case <-ctx.Done():
		}
	}
	return false
}
