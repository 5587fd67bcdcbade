package courier

import "fmt"

// AtRest returns an error if c counts anything as under way: a waiter, a turn or a function.
func AtRest[K comparable, V any](c *Courier[K, V]) error {
	if n := c.waiting.Load(); n != 0 {
		return fmt.Errorf("%d callers count as waiting", n)
	}
	if s := c.turns; s != nil {
		free, kept, queued := s.free, s.kept, s.queue.Len()+s.low.Len()
		if free != c.cfg.maxConcurrent || kept != 0 || queued != 0 {
			return fmt.Errorf("turns: %d of %d free, %d kept, %d queued", free, c.cfg.maxConcurrent, kept,
				queued)
		}
	}
	if counted, running := c.stuck.counted.Load(), c.stuck.running; counted != 0 || running != 0 {
		return fmt.Errorf("%d stuck functions count, of %d", counted, running)
	}
	for s := range c.shards {
		if s.flights.n != 0 || len(s.detached) != 0 || len(s.stuck) != 0 || s.busy != 0 {
			return fmt.Errorf(
				"a shard has %d flights, %d detached, %d keys with stuck functions, %d busy",
				s.flights.n, len(s.detached), len(s.stuck), s.busy)
		}
		if s.limited.oldest != nil || s.limited.newest != nil {
			return fmt.Errorf("a flight has a deadline")
		}
		if want := int64(s.history.failing()); s.tracked.Load() != want {
			return fmt.Errorf("%d keys are tracked, not %d", s.tracked.Load(), want)
		}
	}
	return nil
}
