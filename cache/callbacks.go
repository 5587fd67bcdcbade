package cache

import (
	"context"
	"fmt"
	"runtime/pprof"
	"sync"
	"time"
)

const (
	// minCallbacks is the lowest bound on waiting notifications, for small caches: a
	// loop of Set fills the queue before the goroutine has started.
	minCallbacks = 16_384

	// callbackBatch bounds how many notifications are copied when the queue grows,
	// since a shard is locked meanwhile.
	callbackBatch = 256
)

// callbacks calls OnEviction in a goroutine of its own, which starts with the first
// notification and ends when none is left.
//
// Notifications are queued while the entry's shard is locked, so that those of one key
// are delivered in the order in which its entries left. Waiting notifications keep no
// more entries alive than the cache may hold.
type callbacks[K comparable, V any] struct {
	call       func(K, V, Reason) // OnEviction; nil: nothing is queued
	counters   *counters
	maxWaiting int   // waiting notifications; 0: no bound but heaviest
	maxWeight  int64 // sum of their weights; 0: no bound

	mu      sync.Mutex // guards the following; held for short times only
	queue   [][]notification[K, V]
	waiting int   // notifications to deliver, including all entries of cleared tables
	weight  int64 // of these
	running bool
	closed  bool
	idle    chan struct{} // made by stop if the goroutine runs; closed when it ends

	cleared *clearedTable[K, V] // being delivered by dequeue; only the goroutine uses it
}

// A notification stands for one entry that left or, if entry is nil, for all entries
// that Clear removed from a shard.
type notification[K comparable, V any] struct {
	entry   *entry[K, V]
	reason  Reason
	cleared *clearedTable[K, V]
}

// A clearedTable holds the entries that Clear removed from a shard. The table does not
// change any more.
type clearedTable[K comparable, V any] struct {
	table     *table[K, V]
	clearedAt int64
	staleFor  time.Duration // Options.StaleFor
	nextSlot  int           // counted through all buckets
	left      int           // entries still to be delivered; those beyond were dropped
}

// nextNotification returns the next notification; its entry is nil if none is left.
func (t *clearedTable[K, V]) nextNotification() (n notification[K, V]) {
	for n.entry == nil && t.left > 0 && t.nextSlot < len(t.table.buckets)*bucketSlots {
		n.entry = t.table.buckets[t.nextSlot/bucketSlots].slots[t.nextSlot%bucketSlots].Load()
		t.nextSlot++
	}
	t.left--
	if n.reason = ReasonDeleted; n.entry != nil && n.entry.goneBy(t.clearedAt, t.staleFor) {
		n.reason = ReasonExpired
	}
	return n
}

// weight returns the weight of n towards maxWeight: at least 1, so that the number of
// weightless entries is bounded, too.
func (n notification[K, V]) weight() int64 { return max(1, int64(n.entry.Weight)) }

// init sets the callback, which may be nil, and derives the bounds from the cache's. It
// must be called before any other method.
func (q *callbacks[K, V]) init(
	call func(K, V, Reason), counters *counters, capacity, maxWeight int64,
) {
	q.call, q.counters, q.maxWeight = call, counters, maxWeight
	if capacity > 0 {
		q.maxWaiting = max(minCallbacks, int(capacity))
	}
}

// enqueue queues a notification, or counts it as dropped. e's shard is locked. enqueue reports
// whether start has to be called once it is unlocked.
func (q *callbacks[K, V]) enqueue(e *entry[K, V], reason Reason) (start bool) {
	n := notification[K, V]{entry: e, reason: reason}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.add(n, 1, n.weight())
}

// enqueueCleared queues one notification for the count entries of t, whose total weight
// is weight. If there is no room for all, it queues those that fit, or none where weight
// is bounded, since the weight of a part is not known; the others count as dropped. The
// shard of t is locked; start has to be called once it is not.
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

// add queues n, which stands for count entries of that total weight, or counts them as
// dropped if there is no room. It reports whether the goroutine has to be started. q.mu
// is held.
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

// start starts the goroutine if notifications wait and it does not run.
func (q *callbacks[K, V]) start() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting > 0 && !q.running {
		q.running = true
		go q.run()
	}
}

func (q *callbacks[K, V]) run() {
	// Without this a profile shows the goroutine as one of the flight whose load started it.
	pprof.SetGoroutineLabels(context.Background())
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

// dequeue removes and returns the oldest notification. If there is none it returns false,
// and the goroutine counts as ended.
func (q *callbacks[K, V]) dequeue() (n notification[K, V], ok bool) {
	if q.cleared != nil {
		n = q.cleared.nextNotification() // unlocked, since a large table takes long to search
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if n.entry != nil && q.waiting > 0 { // otherwise stop has dropped the table
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

// deliver calls the callback. It recovers from a panic, which must not end the process,
// and counts it.
func (q *callbacks[K, V]) deliver(n notification[K, V]) {
	defer func() {
		if recover() != nil {
			q.counters.callbackPanics.Add(1)
		}
	}()
	q.call(n.entry.key, n.entry.value, n.reason)
}

// stop rejects further notifications and blocks until all waiting ones are delivered. If
// ctx ends first, it drops those that still wait and returns a *CallbackError.
func (q *callbacks[K, V]) stop(ctx context.Context) error {
	q.mu.Lock()
	q.closed = true
	if q.waiting > 0 && !q.running {
		q.running = true // the goroutine that queued it has not called start yet
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
	if !q.running { // all notifications were delivered at the same moment
		return nil
	}
	err := &CallbackError{Dropped: q.waiting}
	q.counters.callbacksDropped.Add(uint64(q.waiting)) //nolint:gosec // not negative
	q.queue, q.waiting, q.weight = nil, 0, 0
	return err
}

// A CallbackError is returned by [Cache.Close] if OnEviction still runs after a second.
type CallbackError struct {
	// Dropped is the number of entries for which OnEviction will not be called.
	Dropped int
}

// Error returns a description in one line.
func (e *CallbackError) Error() string {
	return fmt.Sprintf("cache: OnEviction is still running: %d notifications were dropped", e.Dropped)
}
