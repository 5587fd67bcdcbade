package courier

import (
	"context"
	"time"
)

// A flight is one call of a fetch function and everyone who waits for it. It
// is also the context that the function gets (see context.go): a flight is
// over exactly when its context is done, so one channel tells the waiters, the
// function and its children.
type flight[K comparable, V any] struct {
	courier *Courier[K, V]
	key     K
	fetch   func(context.Context) (V, error)
	values  context.Context // the first caller's: only its values are used
	limit   *timeLimit      // nil: none

	// done is closed when the flight is over. value, err, joins and the flags
	// are final by then and may be read without a lock.
	done chan struct{}

	// Guarded by courier.mu. Small types: a flight is allocated per fetch.
	value   V
	err     error
	waiters int32
	joins   int32
	running int32 // goroutines: the function and its linked children
	owns    bool  // it is courier.flights[key]
	ended   bool
	holding bool  // it has a slot
	counted bool  // it is in Stats.Abandoned
	loan    *loan // nil until it lends its slot for the first time
	after   map[*afterFunc]struct{}

	// waitsFor is guarded by the wait-for graph's lock.
	waitsFor []node
}

// A timeLimit ends a flight that takes too long.
type timeLimit struct {
	deadline time.Time
	timer    *time.Timer
	reached  bool // guarded by courier.mu until the flight is over
}

// newFlight makes a flight with one waiter. c.mu is held.
func newFlight[K comparable, V any](ctx context.Context, c *Courier[K, V], key K, owns bool, fetch func(context.Context) (V, error)) *flight[K, V] {
	f := &flight[K, V]{
		courier: c,
		key:     key,
		fetch:   fetch,
		values:  ctx,
		done:    make(chan struct{}),
		owns:    owns,
		waiters: 1,
		running: 1,
	}
	if d := c.cfg.timeout; d > 0 && !c.cfg.unlinked {
		f.limit = &timeLimit{deadline: time.Now().Add(d), timer: time.AfterFunc(d, f.expire)}
	}
	return f
}

// run is the flight's goroutine.
func (f *flight[K, V]) run() {
	if f.over() { // before it began: nobody wants the result
		f.exit(*new(V), returned, nil)
		return
	}
	if f.courier.slots != nil && !f.admit() {
		return
	}
	o := unknown[V]()
	defer func() { f.exit(o.value, o.how, o.err) }()
	o.of(f, f.fetch)
}

// exit is called when the function has ended, whatever ended it: that ends the
// flight, unless nobody is to hear of a death.
func (f *flight[K, V]) exit(v V, how ending, err error) {
	f.finish(v, how, err, how == returned || !f.courier.cfg.unlinked)
}

// finish accounts for a goroutine of the flight that has ended, and ends the
// flight with its outcome if that decides it and nothing else came first.
func (f *flight[K, V]) finish(v V, how ending, err error, decides bool) {
	c := f.courier
	c.mu.Lock()
	c.count(how)
	first := decides && !f.ended
	f.running--
	if first {
		c.remember(f, err)
		if how == returned && f.running == 0 {
			f.forgive()
		}
		f.settle(v, err)
	}
	f.retire()
	c.mu.Unlock()
	if first {
		f.land()
	}
}

// expire is called by the timer.
func (f *flight[K, V]) expire() {
	c := f.courier
	c.mu.Lock()
	first := !f.ended
	if first {
		c.stats.Timeouts++
		f.limit.reached = true
		c.remember(f, ErrTimeout)
		f.settle(*new(V), ErrTimeout)
	}
	c.mu.Unlock()
	if first {
		f.land()
	}
}

// settle fixes the outcome, frees the key and the slot, and counts the flight
// as abandoned if a goroutine of it still runs. The caller calls land after it
// has unlocked. courier.mu is held.
func (f *flight[K, V]) settle(v V, err error) {
	c := f.courier
	f.ended = true
	f.value, f.err = v, err
	if f.owns {
		f.disown()
		c.track()
	} else {
		delete(c.loose, f)
		if len(c.loose) == 0 {
			c.loose = nil
		}
	}
	c.stats.InFlight--
	c.stats.Waiting -= int(f.waiters)
	f.giveBack()
	if f.running > 0 {
		f.abandon()
	}
}

// land tells everyone that the flight is over. It is called once, after
// settle, without a lock: waking many waiters takes a while.
func (f *flight[K, V]) land() {
	close(f.done)
	if f.limit != nil {
		f.limit.timer.Stop()
	}
	if f.after != nil {
		for a := range f.after {
			go a.do()
		}
	}
}

// disown takes the key from the flight. courier.mu is held.
func (f *flight[K, V]) disown() {
	c := f.courier
	f.owns = false
	delete(c.flights, f.key)
	// A Go map never shrinks: after a burst it is replaced.
	if len(c.flights) == 0 && c.peak > 1024 {
		c.flights, c.peak = nil, 0
	}
}
