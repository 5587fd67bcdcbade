package snowball

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/snowfence/snowfence/internal/lab/phase"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/scenario"
	"github.com/snowfence/snowfence/internal/workload"
)

// A service is one run: everything between the generator and the origin.
type service struct {
	pace.Clock // of the load

	scenario   *scenario.Scenario
	fix        Fix
	number, of int // which of the runs this is, from 0
	progress   func(Progress)

	line    phase.Line
	source  workload.Source
	failing []uint64 // the keys
	share   float64  // the part of all events that is for them
	cache   *cache.Cache[uint64, []byte]
	origin  *origin.Origin
	meter   *meter
	queue   chan event
	print   uint64 // of the events offered; the generator's until it has ended
}

func newService(c Config, fix Fix) (*service, error) {
	s := c.Scenario
	space, err := s.NewSpace(c.Trace, true)
	if err != nil {
		return nil, err
	}
	v := &service{
		scenario: s, fix: fix, of: 1, progress: c.Progress,
		line: lineOf(s), source: space.Source(0),
	}
	// Also without a fault: the same keys are then compared with the others.
	if v.failing, v.share, err = s.Targets(space); err != nil {
		return nil, err
	}
	v.meter = newMeter(v.line, v.failing)
	v.queue = make(chan event, s.Events.Queue)
	if err := v.openOrigin(space); err != nil {
		return nil, err
	}
	if err := v.openCache(); err != nil {
		return nil, err
	}
	return v, nil
}

func (v *service) openOrigin(space *workload.Space) error {
	c, _, err := v.scenario.OriginConfig(space)
	if err != nil {
		return err
	}
	c.Go = courier.Go
	if c.Fault.Kind == origin.FaultChild {
		// Only the child knows when it dies; the fetch function waits on.
		c.Go = v.linkedChild
	}
	v.origin, err = origin.New(c)
	return err
}

// openCache is the one place where the runs differ: in the link, in stale values, and, where the
// scenario has one, in the limit of callers per key. That would help with the fix off too, so it
// would hide what a service without any cure is like.
func (v *service) openCache() error {
	c := v.scenario.Cache
	opts := []courier.Option{courier.WithTimeout(c.FetchTimeout),
		courier.WithMaxConcurrent(c.MaxConcurrent)}
	if c.MaxAbandoned > 0 {
		opts = append(opts, courier.WithMaxAbandoned(c.MaxAbandoned,
			max(courier.DefaultMaxAbandoned, c.MaxAbandoned*len(v.failing))))
	}
	if v.fix == Off {
		opts = append(opts, courier.WithUnlinked())
	} else {
		opts = append(opts, courier.WithMaxWaitingPerKey(c.MaxWaitingPerKey))
	}
	o := cache.Options[uint64, []byte]{
		Capacity: c.Capacity, TTL: c.TTL, TTLJitter: c.Jitter, RefreshAt: c.RefreshAt, Courier: opts,
	}
	if v.fix == Stale {
		o.StaleFor, o.SoftTimeout = c.StaleFor, c.SoftTimeout
	}
	var err error
	v.cache, err = cache.New(o)
	return err
}

// run lasts as long as the scenario says, or until ctx ends. No goroutine is
// left when it returns.
func (v *service) run(ctx context.Context) (*Run, error) {
	load, stop := context.WithCancel(ctx)
	defer stop()
	sampler := newSampler(v)
	v.warm()
	v.Clock = pace.Start()
	v.origin.Start()

	var generator, workers sync.WaitGroup
	generator.Go(func() { v.generate(load) })
	for range v.scenario.Events.Workers {
		workers.Go(func() { v.work(load) })
	}
	sampler.run(ctx) // until the end
	ran := min(v.Now(), v.scenario.Duration)
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

// generate offers events, each at its intended time. If it was late it offers
// all that are due, as a network would.
func (v *service) generate(ctx context.Context) {
	for intended := range v.Open(ctx, v.scenario.Events.Rate, 0, v.line.Stop) {
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

// work is one worker of the pool.
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
	own, cancel := context.WithTimeout(ctx, v.scenario.Events.Timeout)
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

// fetch is the cache's fetch function.
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

// linkedChild is courier.Go that notes when the child dies.
func (v *service) linkedChild(ctx context.Context, child func(context.Context) error) {
	courier.Go(ctx, func(ctx context.Context) error {
		if key, ok := ctx.Value(failingKey{}).(uint64); ok {
			defer func() { v.meter.died(key, v.Now()) }()
		}
		return child(ctx)
	})
}
