package cache

import (
	"context"
	"runtime/pprof"
	"sync"
	"time"
)

const (
	sweepEvery = time.Second

	// sweepBatch bounds the entries that a sweep reclaims each time that it locks a
	// shard, and sweepBudget those in all shards before it pauses.
	sweepBatch  = 128
	sweepBudget = 16_384

	// sweepMoves bounds the entries that move within the wheel while a sweep holds the
	// lock.
	sweepMoves = 1024

	// sweepAgain is the pause after a sweep that used up its budget.
	sweepAgain = sweepEvery / 20
)

// periodic owns a goroutine that calls a function periodically.
type periodic struct {
	firstDelay time.Duration
	f          func() (pause time.Duration)

	started sync.Once
	stopped sync.Once
	quit    chan struct{}
	done    chan struct{}
}

// init sets the function f, which is called firstDelay after start, and then after each
// pause that f returned. init must be called before any other method.
func (p *periodic) init(firstDelay time.Duration, f func() (pause time.Duration)) {
	p.firstDelay, p.f = firstDelay, f
}

// start starts the goroutine. Only the first call has an effect, and none after stop.
func (p *periodic) start() {
	p.started.Do(func() {
		p.quit, p.done = make(chan struct{}), make(chan struct{})
		go p.loop()
	})
}

func (p *periodic) loop() {
	defer close(p.done)
	// Without this a profile shows the goroutine as one of the flight whose load started it.
	pprof.SetGoroutineLabels(context.Background())
	timer := time.NewTimer(p.firstDelay)
	defer timer.Stop()
	for {
		select {
		case <-p.quit:
			return
		case <-timer.C:
		}
		timer.Reset(p.f())
	}
}

// stop makes the goroutine end, and prevents it from starting. It does not wait.
func (p *periodic) stop() {
	p.started.Do(func() {})
	if p.quit != nil {
		p.stopped.Do(func() { close(p.quit) })
	}
}

// wait blocks until the goroutine or ctx has ended; in the second case it returns a *CallbackError.
// The goroutine takes a short time, unless it runs a function of the user: that of
// hook.Order.OnRemoval. stop must have been called.
func (p *periodic) wait(ctx context.Context) error {
	if p.quit == nil {
		return nil
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-p.done: // both have ended
		return nil
	default:
		return &CallbackError{}
	}
}

// sweep reclaims up to sweepBudget entries that are gone, and reports whether more may be
// left.
func (c *Cache[K, V]) sweep() (more bool) {
	budget := sweepBudget
	for i := range c.shards {
		s := &c.shards[i]
		for more := true; more; {
			var n int
			n, more = c.sweepShard(s)
			budget -= n
			if budget <= 0 {
				return true
			}
		}
	}
	return false
}

// sweepShard looks at up to sweepBatch entries of s whose TTL has ended: it files them as
// stale, or reclaims them if they are gone. It returns their number, and whether more may be
// left.
func (c *Cache[K, V]) sweepShard(s *shard[K, V]) (n int, more bool) {
	var out evicted[K, V]
	s.mu.Lock()
	now := c.clock.now()
	more = s.expiring.advance(now, sweepMoves)
	n = c.takeDue(s, &s.expiring, now, sweepBatch, &out)
	if s.stale != nil {
		more = s.stale.advance(now, sweepMoves) || more
		n += c.takeDue(s, s.stale, now, sweepBatch-n, &out)
	}
	n += s.missing.sweep(now, sweepBatch-n)
	s.mu.Unlock()
	c.notify(out)
	return n, more || n == sweepBatch
}

// takeDue takes up to most entries whose time has come out of w: it removes those that are
// gone and files the others as stale. It returns their number. s.mu is held.
func (c *Cache[K, V]) takeDue(
	s *shard[K, V], w *wheel[K, V], now int64, most int, out *evicted[K, V],
) (n int) {
	for i := len(w.due) - 1; i >= 0 && n < most; i-- {
		// The entry that takes the place of a removed one was looked at before.
		e := w.due[i]
		switch {
		case w.timeOf(e.timed()) > now:
			continue
		case s.stale == nil || e.goneBy(now, c.staleFor):
			c.remove(s, e, ReasonExpired, out)
		default:
			w.remove(e)
			s.stale.add(e)
		}
		n++
	}
	return n
}

// runSweep sweeps once and returns the pause until the next sweep. The sweeper calls it; it
// starts when an entry that can expire is stored.
func (c *Cache[K, V]) runSweep() (pause time.Duration) {
	if c.sweep() {
		return sweepAgain
	}
	return sweepEvery
}
