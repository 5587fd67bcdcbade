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
	"github.com/snowfence/snowfence/internal/workload"
)

// A service is one run: everything between the generator and the origin.
type service struct {
	params   *Params
	fix      Fix
	progress func(part float64, doing string)

	line    phase.Line
	source  workload.Source
	failing []uint64 // the keys
	share   float64  // the part of all events that is for them
	cache   *cache.Cache[uint64, []byte]
	origin  *origin.Origin
	meter   *meter
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
		workers.Go(func() { v.work(load) })
	}
	sampler.run(ctx) // until the end
	ran := min(v.Now(), v.params.Duration)
	stop()
	generator.Wait()
	workers.Wait()
	for len(v.queue) > 0 {
		v.meter.abort(<-v.queue, ran)
	}

	dead := v.probe(ctx)
	loads := v.origin.Stats().Loads
	// What hangs has to be let go before the cache waits for it.
	err := errors.Join(v.origin.Close(), v.cache.Close())
	if err != nil {
		err = fmt.Errorf("snowball: after the run: %w", err)
	}
	return v.result(ran, sampler, dead, loads), err
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

// work handles events until ctx ends.
func (v *service) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-v.queue:
			v.handle(ctx, e)
		}
	}
}

func (v *service) handle(ctx context.Context, e event) {
	called := v.Now()
	own, cancel := context.WithTimeout(ctx, v.params.Timeout)
	done := v.meter.hold(e)
	got := v.get(own, e.key)
	done()
	cancel()
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
	courier.Go(ctx, func(ctx context.Context) error {
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
		v.cache.Set(key, v.origin.Value(key))
	}
}

// get fetches a key.
func (v *service) get(ctx context.Context, key uint64) answer {
	r, err := v.cache.FetchResult(ctx, key, v.fetch)
	return answer{r.Stale, err}
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
	for ctx.Err() == nil {
		r, err := v.cache.FetchResult(ctx, key, v.origin.Load)
		if !r.Stale {
			return err == nil
		}
		time.Sleep(probeInterval)
	}
	return false
}
