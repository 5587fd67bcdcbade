package cache

import (
	"context"
	"fmt"
	"sync"
)

const (
	// minCallbacks is how many notifications may wait at least, however small the
	// cache is: a loop of Set fills a queue faster than a goroutine starts.
	minCallbacks = 16_384

	// callbackBatch bounds how many notifications are copied when their queue
	// grows, since a shard is locked meanwhile.
	callbackBatch = 256
)

// callbacks calls OnEviction in a goroutine of its own, which starts when there is
// something to do and ends when there is nothing left.
//
// Notifications are queued while the entry's shard is locked, so that those of one
// key are in the order in which its entries left. What waits keeps no more alive
// than the cache may hold itself.
type callbacks[K comparable, V any] struct {
	call       func(K, V, Reason) // nil: nothing is queued
	counters   *counters
	maxWaiting int   // waiting notifications; 0: no bound but heaviest
	maxWeight  int64 // sum of their weights; 0: no bound

	mu      sync.Mutex // guards the following; nothing is waited for while it is held
	queue   [][]notification[K, V]
	waiting int // with all that cleared tables hold
	weight  int64
	running bool
	closed  bool
	idle    chan struct{} // made by stop if the goroutine runs; closed when it ends

	cleared *clearedTable[K, V] // which take goes through; the goroutine's
}

// A notification is of an entry or, if that is nil, of all that Clear found in a
// shard.
type notification[K comparable, V any] struct {
	entry   *entry[K, V]
	reason  Reason
	cleared *clearedTable[K, V]
}

// A clearedTable is what Clear found in a shard, at that time. Nobody changes it.
type clearedTable[K comparable, V any] struct {
	table     *table[K, V]
	clearedAt int64
	nextSlot  int // the slot, of all buckets
	left      int // entries to take; the others were dropped
}

// take returns the next notification; its entry is nil if there is none.
func (t *clearedTable[K, V]) nextNotification() (n notification[K, V]) {
	for n.entry == nil && t.left > 0 && t.nextSlot < len(t.table.buckets)*bucketSlots {
		n.entry = t.table.buckets[t.nextSlot/bucketSlots].slots[t.nextSlot%bucketSlots].Load()
		t.nextSlot++
	}
	t.left--
	if n.reason = ReasonDeleted; n.entry != nil && n.entry.expiry() <= t.clearedAt {
		n.reason = ReasonExpired
	}
	return n
}

// weight is what n counts towards the bound on weight.
func (n notification[K, V]) weight() int64 { return max(1, int64(n.entry.Weight)) }

// init sets what to call and the bounds of a cache of that capacity and weight. It
// comes before all else.
func (q *callbacks[K, V]) init(
	call func(K, V, Reason), counters *counters, capacity, maxWeight int64,
) {
	q.call, q.counters, q.maxWeight = call, counters, maxWeight
	if capacity > 0 {
		q.maxWaiting = max(minCallbacks, int(capacity))
	}
}

// put queues a notification, or counts it as dropped. It reports whether start is
// needed. The shard of e is locked.
func (q *callbacks[K, V]) enqueue(e *entry[K, V], reason Reason) (start bool) {
	n := notification[K, V]{entry: e, reason: reason}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.add(n, 1, n.weight())
}

// putCleared does the same for count entries of that weight, which Clear has found in
// a shard. That is locked. If there is no room for all, those that fit are queued;
// where weight is bounded none, since the weight of a part is not known.
func (q *callbacks[K, V]) enqueueCleared(t *clearedTable[K, V], count int, weight int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t.left = count
	if q.waiting > 0 && q.maxWaiting > 0 && q.maxWeight == 0 {
		t.left = max(0, min(count, q.maxWaiting-q.waiting))
		q.counters.callbacksDropped.Add(uint64(count - t.left)) //nolint:gosec // not negative
	}
	if t.left > 0 {
		q.add(notification[K, V]{cleared: t}, t.left, weight)
	}
}

// add queues n, which stands for count entries of that weight. q.mu is held.
func (q *callbacks[K, V]) add(n notification[K, V], count int, weight int64) (start bool) {
	if q.closed || q.waiting > 0 && (q.maxWaiting > 0 && q.waiting+count > q.maxWaiting ||
		q.maxWeight > 0 && q.weight+weight > q.maxWeight) {
		q.counters.callbacksDropped.Add(uint64(count)) //nolint:gosec // not negative
		return false
	}
	last := len(q.queue) - 1
	if last < 0 || len(q.queue[last]) == callbackBatch {
		q.queue = append(q.queue, nil)
		last++
	}
	q.queue[last] = append(q.queue[last], n)
	q.waiting += count
	q.weight += weight
	return !q.running
}

// start starts the goroutine, if it is needed.
func (q *callbacks[K, V]) start() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting > 0 && !q.running {
		q.running = true
		go q.run()
	}
}

func (q *callbacks[K, V]) run() {
	done := false
	defer func() {
		if !done { // the callback called runtime.Goexit
			q.counters.callbackPanics.Add(1)
			go q.run()
		}
	}()
	for n, ok := q.dequeue(); ok; n, ok = q.dequeue() {
		if n.entry != nil {
			q.deliver(n)
		}
	}
	done = true
}

// take removes the oldest notification. If there is none the goroutine counts as
// ended.
func (q *callbacks[K, V]) dequeue() (n notification[K, V], ok bool) {
	if q.cleared != nil {
		n = q.cleared.nextNotification() // without the lock: a table may be large and all but empty
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if n.entry != nil && q.waiting > 0 { // else the table was dropped
		q.waiting--
		q.weight -= n.weight()
		return n, true
	}
	q.cleared = nil
	if q.waiting == 0 {
		q.queue, q.running = nil, false
		if q.idle != nil {
			close(q.idle)
			q.idle = nil
		}
		return notification[K, V]{}, false
	}
	first := q.queue[0]
	n, first[0] = first[0], notification[K, V]{}
	if q.queue[0] = first[1:]; len(first) == 1 {
		q.queue[0] = nil
		q.queue = q.queue[1:]
	}
	if n.cleared != nil {
		q.cleared = n.cleared
		return n, true
	}
	q.waiting--
	q.weight -= n.weight()
	return n, true
}

// deliver calls the callback and survives its panic, which must not end the
// process.
func (q *callbacks[K, V]) deliver(n notification[K, V]) {
	defer func() {
		if recover() != nil {
			q.counters.callbackPanics.Add(1)
		}
	}()
	q.call(n.entry.key, n.entry.value, n.reason)
}

// stop lets nothing be queued any more and waits until all is delivered. If ctx
// ends first it drops what still waits and returns a *CallbackError.
func (q *callbacks[K, V]) stop(ctx context.Context) error {
	q.mu.Lock()
	q.closed = true
	if q.waiting > 0 && !q.running {
		q.running = true // before whoever queued it has
		go q.run()
	}
	if !q.running {
		q.mu.Unlock()
		return nil
	}
	if q.idle == nil {
		q.idle = make(chan struct{})
	}
	idle := q.idle
	q.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.running { // both: an end beats an excuse
		return nil
	}
	err := &CallbackError{Dropped: q.waiting}
	q.counters.callbacksDropped.Add(uint64(q.waiting)) //nolint:gosec // not negative
	q.queue, q.waiting, q.weight = nil, 0, 0
	return err
}

// A CallbackError is returned by Close if OnEviction is still running when Close's
// time is up.
type CallbackError struct {
	// Dropped is the number of entries that OnEviction will not be called for.
	Dropped int
}

// Error describes the CallbackError in one line.
func (e *CallbackError) Error() string {
	return fmt.Sprintf("cache: OnEviction is still running: %d notifications were dropped", e.Dropped)
}
