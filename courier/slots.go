package courier

import (
	"context"
	"time"

	"golang.org/x/sync/semaphore"
)

// slots bounds the functions that run at one time. Flights get their turn in
// the order in which their goroutines came for it.
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

// A loan is what a flight keeps in mind while goroutines of it wait in a
// nested Do and others have its slot.
type loan struct {
	waiting int           // those goroutines
	queue   chan struct{} // not nil: one waits for a slot; closed when it has its answer
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
	if f.loan == nil {
		f.loan = &loan{}
	}
	f.loan.waiting++
	f.giveBack()
}

// reclaim waits for a slot again when the last such goroutine goes on. If none
// comes in time, the flight ends as one that never had its turn.
func (f *flight[K, V]) reclaim() {
	c := f.courier
	if c.slots == nil {
		return
	}
	c.mu.Lock()
	l := f.loan
	l.waiting--
	if l.waiting > 0 || f.ended {
		c.mu.Unlock()
		return
	}
	if queue := l.queue; queue != nil {
		// Two of them in the queue would be one slot too many: with a limit
		// of 1 the second would wait for the first for ever.
		c.mu.Unlock()
		<-queue
		return
	}
	queue := make(chan struct{})
	l.queue = queue
	c.mu.Unlock()

	err := c.slots.acquire(f)

	c.mu.Lock()
	l.queue = nil
	close(queue)
	wanted := !f.ended && l.waiting == 0
	late := false
	switch {
	case err == nil && wanted:
		f.holding = true
	case err == nil:
		c.slots.release()
	case wanted:
		late = true
		c.stats.Overloads++
		f.settle(*new(V), errQueueWait)
	}
	c.mu.Unlock()
	if late {
		f.land()
	}
}
