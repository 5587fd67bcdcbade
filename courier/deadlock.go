package courier

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// A node is a flight of any courier, as the wait-for graph and Go see it.
type node interface {
	label() any          // its key
	over() bool          // nobody can wait for it any more
	edges() *edges       // what it waits for
	late() time.Duration // see LateAge
	lend()               // it waits: others may have its turn
	reclaim()            // it goes on
	spawn(context.Context, func(context.Context) error)
}

// edges hold what a flight waits for: a part of the wait-for graph, which runs
// through all couriers of the process, since a cycle may lead through several.
// Only nested calls look at it, and they hold no other lock meanwhile.
type edges struct {
	mu    sync.Mutex // guards first and the edges' places in the list
	first *edge
}

// An edge is one nested call. Several goroutines of a flight may wait.
type edge struct {
	to             node
	previous, next *edge
}

func (l *edges) add(e *edge) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.next = l.first
	if l.first != nil {
		l.first.previous = e
	}
	l.first = e
}

func (l *edges) remove(e *edge) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.previous == nil {
		l.first = e.next
	} else {
		e.previous.next = e.next
	}
	if e.next != nil {
		e.next.previous = e.previous
	}
}

// nodes returns what the edges lead to.
func (l *edges) nodes() (to []node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.first; e != nil; e = e.next {
		to = append(to, e.to)
	}
	return to
}

func (f *flight[K, V]) label() any          { return f.key }
func (f *flight[K, V]) edges() *edges       { return &f.waitsFor }
func (f *flight[K, V]) late() time.Duration { return f.lateAge }

func (f *flight[K, V]) over() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// waitNested is the rest of Do for a call made inside a flight.
func (c *Courier[K, V]) waitNested(
	ctx context.Context, from boarding, f *flight[K, V],
) (v V, shared bool, err error) {
	parent := callOf(ctx).flight
	e := &edge{to: f}
	parent.edges().add(e)
	// A flight that has not begun waits for nothing.
	if from.joined {
		if cycle := breakCycle(parent, e); cycle != nil {
			s := f.shard
			s.mu.Lock()
			s.stats.Deadlocks++
			s.mu.Unlock()
			if !f.leave(ctx, from.low) {
				_, _, _ = f.read() // it has ended, and counts on its readers
			}
			return v, from.joined, cycle
		}
	}
	parent.lend()
	defer parent.reclaim()
	// Taken out before the wait for a slot, in which parent no longer waits
	// for f: a stale edge would make a cycle where there is none.
	defer parent.edges().remove(e)
	if !from.joined {
		go f.run()
	}
	return f.wait(ctx, from)
}

// breaking is held while a cycle is broken, so that one of its edges goes and
// not several.
var breaking sync.Mutex

// breakCycle takes e, the newest edge of parent, out again and returns a
// *DeadlockError if it has closed a cycle. Of the calls that close one together
// each looks after its edge is in, so the last of them finds it.
func breakCycle(parent node, e *edge) error {
	if pathBetween(e.to, parent, nil, make(map[node]bool)) == nil {
		return nil
	}
	breaking.Lock()
	defer breaking.Unlock()
	path := pathBetween(e.to, parent, nil, make(map[node]bool))
	if path == nil {
		return nil // another of its edges went
	}
	parent.edges().remove(e)
	err := &DeadlockError{}
	for _, n := range append(path, e.to) {
		err.Cycle = append(err.Cycle, n.label())
	}
	return err
}

// pathBetween follows edges depth first. Flights that are over are passed by:
// whoever waits for them is about to go on.
func pathBetween(from, to node, path []node, seen map[node]bool) []node {
	if seen[from] || from.over() {
		return nil
	}
	seen[from] = true
	path = append(path, from)
	if from == to {
		return path
	}
	for _, next := range from.edges().nodes() {
		if found := pathBetween(next, to, path, seen); found != nil {
			return found
		}
	}
	return nil
}

// A DeadlockError is given to the nested call that would have closed a cycle
// of flights which wait for each other. It matches ErrDeadlock.
type DeadlockError struct {
	// Cycle holds the keys in the order in which they wait, beginning and
	// ending with the one that was asked for.
	Cycle []any
}

// Error describes the DeadlockError in one line.
func (e *DeadlockError) Error() string {
	var b strings.Builder
	b.WriteString("courier: deadlock: ")
	for i, key := range e.Cycle {
		if i > 0 {
			b.WriteString(" → ")
		}
		fmt.Fprintf(&b, "%v", key)
	}
	return b.String()
}

// Unwrap returns ErrDeadlock.
func (e *DeadlockError) Unwrap() error { return ErrDeadlock }
