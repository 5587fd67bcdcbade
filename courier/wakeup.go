package courier

import "sync"

// wakeups hold channels that no flight uses, each with room for one element. The end of a flight
// sends one to the caller that has started it, which puts the channel back when it has received it.
// A caller that leaves before that drops the channel. A channel for each flight would be a fifth of
// the bytes that a miss of a cache allocates.
var wakeups = sync.Pool{New: func() any { return make(chan struct{}, 1) }}

// takeWakeup returns a channel for a flight that starts at that instant, and nil in a bubble: its
// channels can't be used outside of it, and a goroutine that waits for one of outside is not idle.
func takeWakeup(started instant) chan struct{} {
	if started.inBubble() {
		return nil
	}
	return wakeups.Get().(chan struct{}) //nolint:errcheck,forcetypeassert // there is nothing else
}

// putWakeup puts back a channel that is empty. It ignores nil.
func putWakeup(wake chan struct{}) {
	if wake != nil {
		wakeups.Put(wake)
	}
}

// overFor returns a channel that wakes the caller w when f is over.
func (f *flight[K, V]) overFor(w waiter) <-chan struct{} {
	if w.joined || f.wakeup == nil {
		return f.Done()
	}
	return f.wakeup
}
