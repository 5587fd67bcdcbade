package cachetest

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/snowfence/snowfence/cache"
)

// ErrClosed is the error of calls that Close has ended, and of later ones.
var ErrClosed = errors.New("cachetest: the origin is closed")

// An Origin is a fake of what values are loaded from. All methods are safe for concurrent use. Only
// Load and LoadMany block.
type Origin[K comparable, V any] struct {
	value  func(K) (V, error)
	closed chan struct{}
	close  sync.Once

	mu       sync.Mutex // guards the following
	scripts  map[K]*script
	fallback Fault
	latency  time.Duration
	total    Counts
}

// New returns an Origin that answers with what value returns, which may be [cache.ErrNotFound].
// value is called when a call answers, without a lock and by several goroutines at once.
//
// The Origin is closed at the end of the test. In a testing/synctest bubble, tb is that of the
// bubble. It may be nil where there is none, as in an example; then the caller has to call Close.
// New panics if value is nil.
//
//nolint:thelper // tb may be nil
func New[K comparable, V any](tb testing.TB, value func(key K) (V, error)) *Origin[K, V] {
	if value == nil {
		panic("cachetest: New: value: got nil, want a function")
	}
	o := &Origin[K, V]{
		value:   value,
		closed:  make(chan struct{}),
		scripts: make(map[K]*script),
	}
	if tb != nil {
		tb.Cleanup(o.Close)
	}
	return o
}

// Close ends all calls, those that hang too, with ErrClosed. It does not wait for them. It may be
// called again.
func (o *Origin[K, V]) Close() { o.close.Do(func() { close(o.closed) }) }

// Load returns the value of key, or does what the script says: it may return an error, panic,
// call runtime.Goexit, or block until Release. It blocks for the latency of the call; if ctx ends
// before, it returns [context.Cause].
func (o *Origin[K, V]) Load(ctx context.Context, key K) (v V, err error) {
	c := o.begin([]K{key})
	defer c.end()
	if err := c.perform(ctx); err != nil {
		return v, err
	}
	if f := c.parts[0].fault; f.kind == failing {
		return v, f.err
	}
	return o.value(key)
}

// LoadMany returns the values of keys, with one call. Keys without a record are missing from its
// map. If Error strikes some keys, or the function of New returns errors for them, LoadMany returns
// the values of the others and a *[cache.ManyError]. Any other fault of a key is that of the whole
// call. It blocks as Load does, for the latency of its slowest key.
func (o *Origin[K, V]) LoadMany(ctx context.Context, keys []K) (map[K]V, error) {
	c := o.begin(keys)
	defer c.end()
	if err := c.perform(ctx); err != nil {
		return nil, err
	}
	values := make(map[K]V, len(keys))
	failed := make(map[K]error)
	for i, key := range keys {
		var v V
		var err error
		if f := c.parts[i].fault; f.kind == failing {
			err = f.err
		} else {
			v, err = o.value(key)
		}
		switch {
		case err == nil:
			values[key] = v
		case !errors.Is(err, cache.ErrNotFound):
			failed[key] = err
		}
	}
	if len(failed) > 0 {
		return values, &cache.ManyError[K]{ByKey: failed}
	}
	return values, nil
}

// A call is a call of Load or LoadMany.
type call[K comparable, V any] struct {
	origin  *Origin[K, V]
	parts   []part // one for each of its keys
	latency time.Duration
}

// A part is what the script of a key says about a call.
type part struct {
	script   *script
	fault    Fault
	released <-chan struct{} // closed by Release; nil: the fault is not Hang
}

// begin counts a call, and takes what it does from the scripts of its keys.
func (o *Origin[K, V]) begin(keys []K) *call[K, V] {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.total.begin()
	c := &call[K, V]{origin: o, parts: make([]part, 0, len(keys))}
	for _, key := range keys {
		p := o.script(key).begin(o.fallback)
		c.parts = append(c.parts, p)
		c.latency = max(c.latency, p.fault.delay)
	}
	c.latency += o.latency
	return c
}

// end counts the end of the call, whatever ends it.
func (c *call[K, V]) end() {
	o := c.origin
	o.mu.Lock()
	defer o.mu.Unlock()
	o.total.Running--
	for _, p := range c.parts {
		p.script.counts.Running--
	}
}

// perform takes the latency of the call, and does what the faults of its keys say, but for their
// errors. Keys that hang come first: they may be all that a test waits for.
func (c *call[K, V]) perform(ctx context.Context) error {
	if err := c.sleep(ctx); err != nil {
		return err
	}
	for _, p := range c.parts {
		if p.fault.kind == hanging {
			if err := c.hang(p); err != nil {
				return err
			}
		}
	}
	for _, p := range c.parts {
		switch p.fault.kind {
		case panicking:
			panic(p.fault.value)
		case exiting:
			runtime.Goexit()
		case none, failing, hanging:
		}
	}
	return nil
}

// sleep takes the latency of the call.
func (c *call[K, V]) sleep(ctx context.Context) error {
	// The end of the context, or of the origin, comes before a latency of 0.
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-c.origin.closed:
		return ErrClosed
	default:
	}
	if c.latency == 0 {
		return nil
	}
	timer := time.NewTimer(c.latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.origin.closed:
		return ErrClosed
	}
}

// hang blocks until the key of p is released, or the origin is closed.
func (c *call[K, V]) hang(p part) error {
	o := c.origin
	count := func(n int) {
		o.mu.Lock()
		defer o.mu.Unlock()
		p.script.counts.Hanging += n
		o.total.Hanging += n
	}
	count(1)
	defer count(-1)
	select {
	case <-p.released:
		return nil
	case <-o.closed:
		return ErrClosed
	}
}
