package courier

import (
	"context"
	"time"

	"golang.org/x/sync/semaphore"
)

// slots bounds the functions that run at one time. Flights get their turn in
// the order in which they started.
type slots struct {
	sem  *semaphore.Weighted
	wait time.Duration // 0: as long as the flight lives
}

func newSlots(n int, wait time.Duration) *slots {
	return &slots{sem: semaphore.NewWeighted(int64(n)), wait: wait}
}

// acquire takes a slot. It blocks until there is one, the flight is over, or
// its wait has been too long; then it returns an error.
func (s *slots) acquire(flight context.Context) error {
	if s.sem.TryAcquire(1) {
		return nil
	}
	if s.wait > 0 {
		var cancel context.CancelFunc
		flight, cancel = context.WithTimeout(flight, s.wait)
		defer cancel()
	}
	return s.sem.Acquire(flight, 1)
}

func (s *slots) release() { s.sem.Release(1) }

// admit waits for the flight's turn, and reports whether it came. If not, the
// flight is over and its goroutine accounted for.
func (f *flight[K, V]) admit() bool {
	c := f.courier
	err := c.slots.acquire(f)
	c.mu.Lock()
	if err == nil && !f.ended {
		f.holding = true
		c.mu.Unlock()
		return true
	}
	if err == nil {
		c.slots.release()
	}
	f.running--
	first := !f.ended
	if first {
		c.stats.Overloads++
		f.settle(*new(V), errQueueWait)
	}
	f.retire()
	c.mu.Unlock()
	if first {
		f.land()
	}
	return false
}

// giveBack releases the flight's slot if it has one. A flight that is over has
// none, even while its abandoned function runs on: those have a bound of their
// own, and a few stuck functions must not stop all keys. courier.mu is held.
func (f *flight[K, V]) giveBack() {
	if f.holding {
		f.holding = false
		f.courier.slots.release()
	}
}

// lend gives the slot back while a goroutine of the flight waits in a nested
// Do: the flight it waits for may need it.
func (f *flight[K, V]) lend() {
	c := f.courier
	if c.slots == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f.lending++
	f.giveBack()
}

// reclaim waits for a slot again when the last such goroutine goes on.
func (f *flight[K, V]) reclaim() {
	c := f.courier
	if c.slots == nil {
		return
	}
	c.mu.Lock()
	f.lending--
	needs := f.lending == 0 && !f.ended
	c.mu.Unlock()
	if !needs || c.slots.sem.Acquire(f, 1) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.ended || f.holding || f.lending > 0 {
		c.slots.release()
		return
	}
	f.holding = true
}
