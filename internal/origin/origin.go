package origin

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/internal/workload"
)

var (
	// ErrInjected is wrapped by every error with which a fault returns or panics.
	ErrInjected = errors.New("origin: injected fault")
	// ErrClosed is returned by loads that Close ended, and by later ones.
	ErrClosed = errors.New("origin: closed")
)

// Config configures an Origin.
type Config struct {
	Latency     workload.Latency // how long a load takes
	Concurrency int              // how many loads run at a time; 0 means no limit
	Size        workload.Size    // how big values are
	Seed        uint64           // determines latencies, sizes, contents and faults
	Fault       Fault            // the zero value is none

	// Go starts a goroutine that is linked to the flight in ctx. It must be courier.Go. Only
	// [FaultChild] needs it. It is a parameter so that this package does not depend on a cache.
	Go func(ctx context.Context, f func(context.Context) error)

	// CountKeys enables KeyLoads. It costs a lock and memory for every key.
	CountKeys bool
}

// An Origin serves loads. It is safe for concurrent use and must be closed.
type Origin struct {
	cfg    Config
	turns  chan struct{} // nil without a limit; full when all turns are taken
	closed chan struct{}
	close  sync.Once
	start  atomic.Pointer[time.Time] // nil until Start

	// loadNumbers counts the loads of a key, to draw the latency of each. Keys beyond its length
	// share counters, so their latencies depend on the order of their loads. Exact numbers would
	// need memory for each key.
	loadNumbers [1 << 16]atomic.Uint32

	mu       sync.Mutex        // guards the maps
	attempts map[uint64]uint64 // loads of a key that may fail, within the window
	loads    map[uint64]uint64 // all loads of a key, with CountKeys

	stats counters
}

// New validates the configuration and returns an origin.
func New(c Config) (*Origin, error) {
	if c.Concurrency < 0 {
		return nil, fmt.Errorf("origin: Concurrency: must not be negative, got %d", c.Concurrency)
	}
	if err := c.Fault.Validate(); err != nil {
		return nil, err
	}
	if c.Fault.Kind == FaultChild && c.Go == nil {
		return nil, errors.New("origin: Go: must be given for the fault child")
	}
	o := &Origin{
		cfg:      c,
		closed:   make(chan struct{}),
		attempts: make(map[uint64]uint64),
		loads:    make(map[uint64]uint64),
	}
	if c.Concurrency > 0 {
		o.turns = make(chan struct{}, c.Concurrency)
	}
	return o, nil
}

// Start sets the time from which the fault's window counts. Before the first Start no fault
// strikes. A second Start moves the window and restarts the schedule of faults.
func (o *Origin) Start() {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.attempts)
	o.start.Store(&now)
}

// Load returns the value of key. It blocks until a turn is free, if concurrency is limited, and
// then for the load's latency. If ctx ends first, it returns [context.Cause], unless a fault makes
// it hang. The caller owns the value. With a fault, Load may panic, call runtime.Goexit, or block
// until Close.
func (o *Origin) Load(ctx context.Context, key uint64) ([]byte, error) {
	fault := o.decide(key)
	o.stats.begin(fault)
	defer o.stats.end()
	o.countKey(key)
	if err := o.serve(ctx, key); err != nil {
		return nil, err
	}
	// The fault is in the program that loads, not in the origin. So the load has given up its turn;
	// otherwise a few loads that hang would block all others.
	if fault != FaultNone {
		if err := o.fail(ctx, key, fault); err != nil {
			return nil, err
		}
	}
	return o.Value(key), nil
}

// LoadMany returns the values of several keys with one load, which needs one turn and takes as long
// as its slowest key. It blocks, and may end, as Load does. FaultError strikes single keys, and
// failed has an error for each of them. Any other fault of one key strikes the whole load.
func (o *Origin) LoadMany(
	ctx context.Context, keys []uint64,
) (values map[uint64][]byte, failed map[uint64]error, err error) {
	fault, struck := FaultNone, []uint64(nil)
	for _, key := range keys {
		if kind := o.decide(key); kind != FaultNone {
			fault, struck = kind, append(struck, key)
		}
	}
	o.stats.begin(fault)
	defer o.stats.end()
	for _, key := range keys {
		o.countKey(key)
	}
	if err := o.serve(ctx, keys...); err != nil {
		return nil, nil, err
	}
	values = make(map[uint64][]byte, len(keys))
	for _, key := range keys {
		values[key] = o.Value(key)
	}
	switch {
	case fault == FaultError:
		failed = make(map[uint64]error, len(struck))
		for _, key := range struck {
			failed[key] = o.fail(ctx, key, fault)
			delete(values, key)
		}
	case fault != FaultNone:
		if err := o.fail(ctx, struck[0], fault); err != nil {
			return nil, nil, err
		}
	}
	return values, failed, nil
}

func (o *Origin) countKey(key uint64) {
	if !o.cfg.CountKeys {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.loads[key]++
}

// Close ends all loads, including those that hang, with ErrClosed. It does not wait for them to
// return. It always returns nil, and may be called again.
func (o *Origin) Close() error {
	o.close.Do(func() { close(o.closed) })
	return nil
}

// KeyLoads returns the number of loads of key that have begun, or 0 without Config.CountKeys.
func (o *Origin) KeyLoads(key uint64) uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.loads[key]
}

// The purposes of random numbers: the first elements of the paths.
const (
	drawLatency = 1 + iota
	drawFault
	drawSize
	drawContent
)

// serve waits for a turn and for the latency of the slowest key.
func (o *Origin) serve(ctx context.Context, keys ...uint64) error {
	// The end of the context or the origin takes precedence over a free turn and a latency of 0.
	if err := o.ended(ctx); err != nil {
		return err
	}
	if o.turns != nil {
		if err := o.takeTurn(ctx); err != nil {
			return err
		}
		defer func() { <-o.turns }()
	}
	longest := time.Duration(0)
	for _, key := range keys {
		n := o.loadNumbers[key%uint64(len(o.loadNumbers))].Add(1)
		r := workload.Stream(o.cfg.Seed, drawLatency, key, uint64(n))
		longest = max(longest, o.cfg.Latency.Sample(r))
	}
	return o.sleep(ctx, longest)
}

func (o *Origin) takeTurn(ctx context.Context) error {
	o.stats.waiting.Add(1)
	defer o.stats.waiting.Add(-1)
	select {
	case o.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-o.closed:
		return ErrClosed
	}
}

func (o *Origin) sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-o.closed:
		return ErrClosed
	}
}

func (o *Origin) ended(ctx context.Context) error {
	select {
	case <-o.closed:
		return ErrClosed
	default:
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// fail performs the fault. If it returns nil, the load goes on.
func (o *Origin) fail(ctx context.Context, key uint64, kind FaultKind) error {
	injected := fmt.Errorf("%w: %s of key %d", ErrInjected, kind, key)
	switch kind {
	case FaultError:
		return injected
	case FaultPanic:
		panic(injected)
	case FaultGoexit:
		runtime.Goexit()
	case FaultHang:
		return o.hang()
	case FaultChild:
		o.cfg.Go(ctx, func(context.Context) error { panic(injected) })
		return o.hang()
	case FaultSlow:
		return o.sleep(ctx, o.cfg.Fault.delay())
	}
	return nil
}

// hang blocks until Close, whatever happens to the load's context.
func (o *Origin) hang() error {
	o.stats.hanging.Add(1)
	defer o.stats.hanging.Add(-1)
	<-o.closed
	return ErrClosed
}
