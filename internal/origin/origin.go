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
	// ErrInjected is wrapped by every error that a fault returns or panics
	// with.
	ErrInjected = errors.New("origin: injected fault")
	// ErrClosed is returned by loads that Close released, and by later ones.
	ErrClosed = errors.New("origin: closed")
)

// Config says what an origin is like.
type Config struct {
	Latency     workload.Latency // how long a load takes
	Concurrency int              // how many loads are served at a time; 0 means no limit
	Size        workload.Size    // how big values are
	Seed        uint64           // settles latencies, sizes, contents and faults
	Fault       Fault            // what goes wrong; the zero value is nothing

	// Go starts a goroutine that is linked to the fetch in ctx. It must be
	// courier.Go. Only [FaultChild] uses it, and only that needs it; it is given
	// here so that this package depends on no cache.
	Go func(ctx context.Context, f func(context.Context) error)

	// CountKeys makes KeyLoads count. It costs a lock and memory for every key.
	CountKeys bool
}

// An Origin serves loads. It is safe for concurrent use. Whoever makes one must
// close it.
type Origin struct {
	cfg    Config
	slots  chan struct{} // nil without a limit; full when all places are taken
	closed chan struct{}
	close  sync.Once
	start  atomic.Pointer[time.Time] // nil until Start

	// turns numbers the loads of a key, to draw the latency of each. Keys from
	// its length on share numbers, which makes their latencies depend on each
	// other's order and nothing worse: exact numbers would need memory per key.
	turns [1 << 16]atomic.Uint32

	mu       sync.Mutex        // guards the maps
	attempts map[uint64]uint64 // loads of a key that may fail, within the window
	loads    map[uint64]uint64 // all loads of a key, with CountKeys

	stats counters
}

// New checks the configuration and returns an origin.
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
		o.slots = make(chan struct{}, c.Concurrency)
	}
	return o, nil
}

// Start sets the time from which the fault's window counts. Before the first
// Start nothing goes wrong. A second Start moves the window and begins its
// schedule of faults anew.
func (o *Origin) Start() {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.attempts)
	o.start.Store(&now)
}

// Load returns the value of key. It blocks for the load's latency, and before
// that until a place is free where concurrency is limited. If ctx ends first it
// returns [context.Cause], except while a fault has it hang. The caller owns the
// value. With a fault, Load may panic, call runtime.Goexit, or block until Close.
func (o *Origin) Load(ctx context.Context, key uint64) ([]byte, error) {
	fault := o.decide(key)
	o.stats.begin(fault)
	defer o.stats.end()
	o.countKey(key)
	if err := o.serve(ctx, key); err != nil {
		return nil, err
	}
	// The fault is in the program that loads, not in the backend: its place
	// there is free again, or a few loads that hang would block all others.
	if fault != FaultNone {
		if err := o.fail(ctx, key, fault); err != nil {
			return nil, err
		}
	}
	return o.Value(key), nil
}

// LoadMany returns the values of several keys, with one load: it takes one place, and as long as
// the slowest of its keys would. It blocks, and may end, as Load does. FaultError strikes single
// keys, and failed has an error for each of them; of any other fault one key is enough to strike
// the whole load.
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

// Close ends all loads, those that hang too, with ErrClosed. It does not wait
// for them to return. It always returns nil, and may be called again.
func (o *Origin) Close() error {
	o.close.Do(func() { close(o.closed) })
	return nil
}

// KeyLoads returns how many loads of key have begun. Without Config.CountKeys
// it is 0.
func (o *Origin) KeyLoads(key uint64) uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.loads[key]
}

// What is drawn from a key: the first step of the paths.
const (
	drawLatency = 1 + iota
	drawFault
	drawSize
	drawContent
)

// serve waits for a place and for the latency of the slowest key.
func (o *Origin) serve(ctx context.Context, keys ...uint64) error {
	// A context or an origin that has already ended must win over a free place
	// and a latency of 0.
	if err := o.ended(ctx); err != nil {
		return err
	}
	if o.slots != nil {
		if err := o.takeSlot(ctx); err != nil {
			return err
		}
		defer func() { <-o.slots }()
	}
	longest := time.Duration(0)
	for _, key := range keys {
		turn := o.turns[key%uint64(len(o.turns))].Add(1)
		r := workload.Stream(o.cfg.Seed, drawLatency, key, uint64(turn))
		longest = max(longest, o.cfg.Latency.Sample(r))
	}
	return o.sleep(ctx, longest)
}

func (o *Origin) takeSlot(ctx context.Context) error {
	o.stats.waiting.Add(1)
	defer o.stats.waiting.Add(-1)
	select {
	case o.slots <- struct{}{}:
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

// fail does what the fault is. If it returns nil, the load goes on.
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

// hang waits for an answer that never comes, deaf to any context.
func (o *Origin) hang() error {
	o.stats.hanging.Add(1)
	defer o.stats.hanging.Add(-1)
	<-o.closed
	return ErrClosed
}
