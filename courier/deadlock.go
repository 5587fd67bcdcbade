package courier

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/snowfence/snowfence/courier/internal/guard"
)

// A node is a flight of any courier, as the wait-for graph and the functions of the package that
// take a context use it.
type node interface {
	label() any          // the key
	labelText() string   // what may be shown of it
	over() bool          // no caller can wait for it any more
	edges() *edges       // the flights that it waits for
	carrier() node       // a passenger's carrier, for which it waits as well; else nil
	late() time.Duration // see LateAge
	lend()               // it waits: others may have its turn
	reclaim()            // it goes on
	takeLentTurn()       // see TakeTurn
	restart(more time.Duration)
	guard.Flight // see Go
}

// edges hold the flights that a flight waits for: a part of the wait-for graph, which spans all
// couriers of the process, since a cycle may lead through several. Only nested calls use it, and
// they hold no other lock meanwhile.
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

// nodes returns the nodes to which the edges lead.
func (l *edges) nodes() (to []node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.first; e != nil; e = e.next {
		to = append(to, e.to)
	}
	return to
}

func (f *flight[K, V]) late() time.Duration { return f.lateAge }

func (f *flight[K, V]) edges() *edges {
	if f.waitsFor.Load() == nil {
		f.waitsFor.CompareAndSwap(nil, &edges{})
	}
	return f.waitsFor.Load()
}

func (f *flight[K, V]) label() any {
	if f.isCarrier() {
		return f.batch.passengers[0].key
	}
	return f.key
}

func (f *flight[K, V]) labelText() string {
	if f.isCarrier() {
		f = &f.batch.passengers[0]
	}
	return f.shard.courier.keyText(f.key, f.hash)
}

func (f *flight[K, V]) carrier() node {
	if f.isPassenger() {
		return &f.batch.carrier
	}
	return nil
}

func (f *flight[K, V]) over() bool { return f.final.Load() }

// waitNested starts f, if the caller has not joined it, and waits for it: the rest of a Do inside a
// flight. If the wait would close a cycle, it returns a *DeadlockError.
func (c *Courier[K, V]) waitNested(
	ctx context.Context, w waiter, f *flight[K, V],
) (v V, shared bool, err error) {
	parent := callOf(ctx).flight
	e := &edge{to: f}
	parent.edges().add(e)
	// A flight that has not begun waits for nothing.
	if w.joined {
		if cycle := breakCycle(parent, e, make(map[node]bool)); cycle != nil {
			f.shard.deadlocked()
			if !f.leave(ctx, w.low) {
				_, _, _ = f.read() // it has ended, and each waiter reads once
			}
			return v, w.joined, cycle
		}
	}
	parent.lend()
	defer parent.reclaim()
	// Removed before the wait for the turn, in which parent no longer waits for f: a stale edge
	// would make a cycle where there is none.
	defer parent.edges().remove(e)
	if !w.joined {
		go f.run()
	}
	if w.patient {
		return f.waitPatiently(ctx, w)
	}
	return f.wait(ctx, w)
}

func (s *shard[K, V]) deadlocked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Deadlocks++
}

// breaking is held while a cycle is broken, so that one of its edges is removed and not several.
var breaking sync.Mutex

// breakCycle removes e, the newest edge of parent, and returns a *DeadlockError if e has closed a
// cycle. Of the calls that close one together each looks after it has added its edge, so the last
// of them finds it. seen holds nodes from which there was no path to parent after its newest edges
// were added.
func breakCycle(parent node, e *edge, seen map[node]bool) error {
	if pathBetween(e.to, parent, nil, seen) == nil {
		return nil
	}
	clear(seen) // there is a path from some of them now
	breaking.Lock()
	defer breaking.Unlock()
	path := pathBetween(e.to, parent, nil, make(map[node]bool))
	if path == nil {
		return nil // another of its edges was removed
	}
	parent.edges().remove(e)
	return newDeadlockError(path, e.to)
}

// checkCycle returns a *DeadlockError if the flight of key waits for the caller's own flight. Only
// a caller with patience needs it: such a caller does not wait, and so closes no cycle, but has no
// use for an older value where the key's own value is made.
func (s *shard[K, V]) checkCycle(from call, hash uint64, key K, owns bool) error {
	if from.flight == nil || !from.patient() { // inlined, for the stack of Courier.flightFor
		return nil
	}
	return s.findCycle(from, hash, key, owns)
}

// findCycle implements checkCycle for a caller with patience inside a flight.
func (s *shard[K, V]) findCycle(from call, hash uint64, key K, owns bool) error {
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

// newDeadlockError returns the error for a path that begins at the flight that was asked for.
func newDeadlockError(path []node, asked node) *DeadlockError {
	err := &DeadlockError{}
	var passenger node // the one before
	for _, n := range append(path, asked) {
		if passenger == nil || passenger.carrier() != n { // a carrier has no key of its own
			err.Cycle = append(err.Cycle, n.label())
		}
		passenger = n
	}
	return err
}

// pathBetween returns path with the nodes from from to to appended, or nil if there is no such
// path. It follows edges depth first, and skips flights that are over, since the callers that wait
// for them are about to go on.
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
