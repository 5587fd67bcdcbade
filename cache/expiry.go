package cache

import (
	"sync"
	"time"
)

const (
	sweepEvery = time.Second

	// sweepBatch bounds how many entries a sweep reclaims in one shard while
	// it holds the lock, and sweepBudget how many in all before it rests.
	sweepBatch  = 128
	sweepBudget = 16_384

	// sweepMoves bounds how many entries move within the order of expiry while
	// a sweep holds the lock.
	sweepMoves = 1024

	// sweepAgain is the rest of a sweep that used up its budget.
	sweepAgain = sweepEvery / 20
)

// periodic owns a goroutine that calls a function now and then.
type periodic struct {
	firstDelay time.Duration
	f          func() (rest time.Duration)

	started sync.Once
	stopped sync.Once
	quit    chan struct{}
	done    chan struct{}
}

// init says what to call: f after first, and then after each rest that f
// returned. It comes before all else.
func (p *periodic) init(first time.Duration, f func() (rest time.Duration)) {
	p.firstDelay, p.f = first, f
}

// start begins that. Only the first call of start does anything.
func (p *periodic) start() {
	p.started.Do(func() {
		p.quit, p.done = make(chan struct{}), make(chan struct{})
		go p.loop()
	})
}

func (p *periodic) loop() {
	defer close(p.done)
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

// stop tells the goroutine to end, and lets none start any more.
func (p *periodic) stop() {
	p.started.Do(func() {})
	if p.quit != nil {
		p.stopped.Do(func() { close(p.quit) })
	}
}

// wait blocks until the goroutine has ended: no function of the user runs in it. stop
// comes first.
func (p *periodic) wait() {
	if p.quit != nil {
		<-p.done
	}
}

// sweep reclaims entries that have expired, up to its budget, and reports
// whether more are left.
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

// sweepShard reclaims up to sweepBatch entries, and returns how many and whether
// there may be more.
func (c *Cache[K, V]) sweepShard(s *shard[K, V]) (n int, more bool) {
	var out evicted[K, V]
	s.mu.Lock()
	now := c.clock.now()
	more = s.expiring.advance(now, sweepMoves)
	for i := len(s.expiring.due) - 1; i >= 0 && n < sweepBatch; i-- {
		// What takes the place of a removed one was looked at before.
		if e := s.expiring.due[i]; e.expiry() <= now {
			c.remove(s, e, ReasonExpired, &out)
			n++
		}
	}
	s.mu.Unlock()
	c.notify(out)
	return n, more || n == sweepBatch
}

// sweepAndRest is what the sweeper calls. It starts when an entry that can expire
// is stored.
func (c *Cache[K, V]) runSweep() (rest time.Duration) {
	if c.sweep() {
		return sweepAgain
	}
	return sweepEvery
}
