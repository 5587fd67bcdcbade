package courier

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// A node is a flight of any courier, as the wait-for graph and Go see it.
type node interface {
	label() any     // its key
	over() bool     // nobody can wait for it any more
	edges() *[]node // what it waits for; guarded by waitFor
	lend()          // it waits: others may have its turn
	reclaim()       // it goes on
	spawn(context.Context, func(context.Context) error)
}

// waitFor guards the edges of the wait-for graph, which runs through all
// couriers of the process: a cycle may lead through several. Only nested calls
// take it, and they hold no other lock meanwhile.
var waitFor sync.Mutex

// nodeOf is the flight in ctx, or nil.
func nodeOf(ctx context.Context) node {
	n, _ := ctx.Value(flightKey{}).(node)
	return n
}

func (f *flight[K, V]) label() any     { return f.key }
func (f *flight[K, V]) edges() *[]node { return &f.waitsFor }

func (f *flight[K, V]) over() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// waitNested is the rest of Do for a call made inside the flight parent.
func (c *Courier[K, V]) waitNested(ctx context.Context, parent node, f *flight[K, V], joined bool) (v V, shared bool, err error) {
	if err := addEdge(parent, f); err != nil {
		c.mu.Lock()
		c.stats.Deadlocks++
		c.mu.Unlock()
		c.leave(f)
		return v, joined, err
	}
	parent.lend()
	defer parent.reclaim()
	// Taken out before the wait for a slot, in which parent no longer waits
	// for f: a stale edge would make a cycle where there is none.
	defer removeEdge(parent, f)
	if !joined {
		go f.run()
	}
	return c.wait(ctx, f, joined)
}

// addEdge notes that parent waits for child, unless child waits for parent.
func addEdge(parent, child node) error {
	waitFor.Lock()
	defer waitFor.Unlock()
	if path := pathBetween(child, parent, nil, make(map[node]bool)); path != nil {
		e := &DeadlockError{}
		for _, n := range append(path, child) {
			e.Cycle = append(e.Cycle, n.label())
		}
		return e
	}
	*parent.edges() = append(*parent.edges(), child)
	return nil
}

func removeEdge(parent, child node) {
	waitFor.Lock()
	defer waitFor.Unlock()
	edges := parent.edges()
	if i := slices.Index(*edges, child); i >= 0 {
		*edges = slices.Delete(*edges, i, i+1)
	}
}

// pathBetween follows edges depth first. Flights that are over are passed by:
// whoever waits for them is about to go on. waitFor is held.
func pathBetween(from, to node, path []node, seen map[node]bool) []node {
	if seen[from] || from.over() {
		return nil
	}
	seen[from] = true
	path = append(path, from)
	if from == to {
		return path
	}
	for _, next := range *from.edges() {
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
