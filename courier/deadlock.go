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
	carrier() node       // what a passenger waits for as well; nil: it is none
	late() time.Duration // see LateAge
	lend()               // it waits: others may have its turn
	reclaim()            // it goes on
	takeLentTurn()       // see TakeTurn
	restart(more time.Duration)
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

func (f *flight[K, V]) edges() *edges       { return &f.waitsFor }
func (f *flight[K, V]) late() time.Duration { return f.lateAge }

func (f *flight[K, V]) label() any {
	if f.carries() {
		return f.batch.passengers[0].key
	}
	return f.key
}

func (f *flight[K, V]) carrier() node {
	if f.rides() {
		return &f.batch.carrier
	}
	return nil
}

func (f *flight[K, V]) over() bool {
	if f.rides() { // it may have no channel
		f.shard.mu.Lock()
		defer f.shard.mu.Unlock()
		return f.ended
	}
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
		if cycle := breakCycle(parent, e, make(map[node]bool)); cycle != nil {
			f.shard.deadlocked()
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
	if from.patient {
		return f.waitPatiently(ctx, from)
	}
	return f.wait(ctx, from)
}

func (s *shard[K, V]) deadlocked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Deadlocks++
}

// breaking is held while a cycle is broken, so that one of its edges goes and
// not several.
var breaking sync.Mutex

// breakCycle takes e, the newest edge of parent, out again and returns a
// *DeadlockError if it has closed a cycle. Of the calls that close one together
// each looks after its edge is in, so the last of them finds it. seen are nodes from
// which parent was not reached when its newest edges were in.
func breakCycle(parent node, e *edge, seen map[node]bool) error {
	if pathBetween(e.to, parent, nil, seen) == nil {
		return nil
	}
	clear(seen) // some of them lead to parent
	breaking.Lock()
	defer breaking.Unlock()
	path := pathBetween(e.to, parent, nil, make(map[node]bool))
	if path == nil {
		return nil // another of its edges went
	}
	parent.edges().remove(e)
	return newDeadlockError(path, e.to)
}

// passesItself returns a *DeadlockError if the flight of key waits for the one inside of which
// the caller is. With patience it would not wait, so it would close no cycle; but what it has
// instead is of no use there, where the key's own result is to be made.
func (s *shard[K, V]) passesItself(from call, hash uint64, key K, owns bool) error {
	if from.flight == nil || !from.patient() { // inlined: see Courier.board
		return nil
	}
	return s.findItself(from, hash, key, owns)
}

// findItself is passesItself for a caller with patience inside of a flight.
func (s *shard[K, V]) findItself(from call, hash uint64, key K, owns bool) error {
	if !owns || s.courier.cfg.unlinked {
		return nil
	}
	s.mu.Lock()
	f := s.flights.find(hash, key)
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	path := pathBetween(f, from.flight, nil, make(map[node]bool))
	if path == nil {
		return nil
	}
	s.deadlocked()
	return newDeadlockError(path, f)
}

// newDeadlockError returns the error for a path from the flight that was asked for.
func newDeadlockError(path []node, asked node) *DeadlockError {
	err := &DeadlockError{}
	var passenger node // the one before
	for _, n := range append(path, asked) {
		if passenger == nil || passenger.carrier() != n { // the key stands for both
			err.Cycle = append(err.Cycle, n.label())
		}
		passenger = n
	}
	return err
}

// pathBetween follows edges depth first. Flights that are over are passed by:
// the callers that wait for them are about to go on.
func pathBetween(from, to node, path []node, seen map[node]bool) []node {
	if seen[from] || from.over() {
		return nil
	}
	seen[from] = true
	path = append(path, from)
	if from == to {
		return path
	}
	next := from.edges().nodes()
	if c := from.carrier(); c != nil {
		next = append(next, c)
	}
	for _, next := range next {
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
