package cache

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	sweepEvery = time.Second

	// sweepBatch bounds how many entries a sweep reclaims in one shard while
	// it holds the lock, and sweepBudget how many in all before it rests.
	sweepBatch  = 128
	sweepBudget = 16_384

	// sweepAgain is the rest of a sweep that used up its budget.
	sweepAgain = sweepEvery / 20
)

// sweeper owns the goroutine that reclaims expired entries.
type sweeper struct {
	started sync.Once
	stopped sync.Once
	quit    chan struct{}
	done    chan struct{}
}

// start runs sweep every now and then, from its first call on.
func (w *sweeper) start(sweep func() (more bool)) {
	w.started.Do(func() {
		w.quit, w.done = make(chan struct{}), make(chan struct{})
		go w.loop(sweep)
	})
}

func (w *sweeper) loop(sweep func() (more bool)) {
	defer close(w.done)
	timer := time.NewTimer(sweepEvery)
	defer timer.Stop()
	for {
		select {
		case <-w.quit:
			return
		case <-timer.C:
		}
		if sweep() {
			timer.Reset(sweepAgain)
		} else {
			timer.Reset(sweepEvery)
		}
	}
}

// stop tells the goroutine to end, and lets none start any more.
func (w *sweeper) stop() {
	w.started.Do(func() {})
	if w.quit != nil {
		w.stopped.Do(func() { close(w.quit) })
	}
}

var errSweeping = errors.New("cache: OnEviction holds up the sweep")

// wait blocks until the goroutine has ended, or ctx has: OnEviction runs in it
// and may be stuck, or may be what closes the cache. stop comes first.
func (w *sweeper) wait(ctx context.Context) error {
	if w.quit == nil {
		return nil
	}
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-w.done: // both: an end beats an excuse
		return nil
	default:
		return errSweeping
	}
}

// sweep reclaims entries that have expired, up to its budget, and reports
// whether more are left.
func (c *Cache[K, V]) sweep() (more bool) {
	budget := sweepBudget
	for i := range c.shards {
		s := &c.shards[i]
		for {
			n := c.sweepShard(s)
			budget -= n
			if budget <= 0 {
				return true
			}
			if n < sweepBatch {
				break
			}
		}
	}
	return false
}

// sweepShard reclaims up to sweepBatch entries and returns how many.
func (c *Cache[K, V]) sweepShard(s *shard[K, V]) (n int) {
	var out departures[K, V]
	s.mu.Lock()
	now := c.clock.now()
	s.expiring.advance(now)
	for i := len(s.expiring.due) - 1; i >= 0 && n < sweepBatch; i-- {
		// What takes the place of a removed one was looked at before.
		if e := s.expiring.due[i]; e.expiry() <= now {
			c.remove(s, e, ReasonExpired, &out)
			n++
		}
	}
	s.mu.Unlock()
	c.tell(out)
	return n
}

// startSweeper is called when an entry that can expire was stored.
func (c *Cache[K, V]) startSweeper() { c.sweeper.start(c.sweep) }
