package errgroup

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/courier/internal/guard"
)

// A Group is a collection of functions that work on parts of one task, each in a goroutine of its
// own. The zero value is ready to use: it has no limit, and cancels no context. A Group must not be
// copied after first use. Go, TryGo and Wait are safe for concurrent use, but the first Go must
// come before a Wait.
type Group struct {
	cancel context.CancelCauseFunc // nil: a zero Group
	linked *linked                 // nil: the functions belong to no flight
	limit  chan struct{}           // holds an element for each function that runs; nil: no limit

	running atomic.Int64 // functions
	over    atomic.Bool  // a function has died

	mu    sync.Mutex    // guards the following
	err   error         // the first that a function returned
	death error         // of the first function that died
	idle  chan struct{} // closed when no function runs, or one dies; nil: no Wait blocks
}

// linked holds what starts the functions of a group in a flight.
type linked struct {
	flight guard.Flight
	ctx    context.Context           // of the group
	ended  func(guard.Ending, error) // Group.endLinked
}

// WithContext returns a Group and a context derived from ctx, which is cancelled when a function
// first returns an error or dies, with that as its cause, and when Wait returns. If ctx belongs to
// a flight, so do the functions: see the package's comment.
func WithContext(ctx context.Context) (*Group, context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	g := &Group{cancel: cancel}
	if flight := guard.FlightOf(ctx); flight != nil {
		g.linked = &linked{flight, ctx, g.endLinked}
	}
	return g, ctx
}

// Go calls f in a new goroutine. It blocks while as many functions run as SetLimit says. If a
// function has died, or dies meanwhile, Go returns without calling f, and Wait returns the error.
func (g *Group) Go(f func() error) {
	if g.over.Load() {
		return
	}
	if g.limit != nil {
		// If a function dies meanwhile, it makes room for this one, which start passes on.
		g.limit <- struct{}{}
	}
	_ = g.start(f)
}

// TryGo calls f in a new goroutine, unless as many functions run as SetLimit says or a function has
// died. It reports whether it did. It does not block.
func (g *Group) TryGo(f func() error) bool {
	if g.limit != nil {
		select {
		case g.limit <- struct{}{}:
		default:
			return false
		}
	}
	return g.start(f)
}

// SetLimit makes at most n functions run at a time. With 0 none starts, so that Go blocks for ever;
// a negative n is no limit. SetLimit panics if n is not negative and functions run. It must not be
// called at the same time as another method, nor with a negative n while functions run.
func (g *Group) SetLimit(n int) {
	if n < 0 {
		g.limit = nil
		return
	}
	if running := g.running.Load(); running > 0 {
		panic(fmt.Errorf("errgroup: SetLimit(%d) while %d functions run", n, running))
	}
	g.limit = make(chan struct{}, n)
}

// Wait blocks until all functions have returned or one has died. If one has died, Wait returns
// *courier.PanicError or courier.ErrGoexit, and other functions may still run. Otherwise it returns
// the first error that a function returned, or nil.
func (g *Group) Wait() error {
	g.mu.Lock()
	if g.death == nil && g.running.Load() > 0 {
		if g.idle == nil {
			g.idle = make(chan struct{})
		}
		idle := g.idle
		g.mu.Unlock()
		<-idle
		g.mu.Lock()
	}
	err := g.err
	if g.death != nil {
		err = g.death
	}
	g.mu.Unlock()
	if g.cancel != nil {
		g.cancel(err)
	}
	return err
}

// start starts f, which counts for the limit already, unless a function has died. It reports
// whether it did.
func (g *Group) start(f func() error) bool {
	if g.over.Load() {
		g.leave()
		return false
	}
	g.running.Add(1)
	l := g.linked
	if l == nil {
		go g.run(f)
		return true
	}
	l.flight.Spawn(l.ctx, func(context.Context) error {
		if err := f(); err != nil {
			g.fail(err)
		}
		return nil // the fetch function decides what an error means
	}, l.ended)
	return true
}

// run calls f, in a goroutine that belongs to no flight.
func (g *Group) run(f func() error) {
	var o guard.Outcome[struct{}]
	o.AssumeGoexit()
	defer func() {
		switch o.How {
		case guard.Panicked:
			g.die((*courier.PanicError)(o.Panic))
		case guard.Exited:
			g.die(courier.ErrGoexit)
		case guard.Returned, guard.Answered:
			if o.Err != nil {
				g.fail(o.Err)
			}
		}
		g.done()
	}()
	o.Run(context.Background(),
		func(context.Context) (struct{}, error) { return struct{}{}, f() }, nil)
}

// endLinked accounts for a function that belongs to a flight, when the flight has accounted for it:
// when Wait returns, the flight counts none of the functions that have ended as abandoned, and is
// over if one has died.
func (g *Group) endLinked(_ guard.Ending, death error) {
	if death != nil {
		g.die(death)
	}
	g.done()
}

// fail notes an error that a function returned.
func (g *Group) fail(err error) {
	g.mu.Lock()
	first := g.err == nil
	if first {
		g.err = err
	}
	g.mu.Unlock()
	if first && g.cancel != nil {
		g.cancel(err)
	}
}

// die ends the group, since a function has died.
func (g *Group) die(death error) {
	g.mu.Lock()
	first := g.death == nil
	if first {
		g.death = death
		g.over.Store(true)
		g.wake()
	}
	g.mu.Unlock()
	if first && g.cancel != nil {
		g.cancel(death)
	}
}

// done accounts for a function that has ended.
func (g *Group) done() {
	g.leave()
	if g.running.Add(-1) > 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running.Load() == 0 { // no other function has started meanwhile
		g.wake()
	}
}

// leave makes room for another function.
func (g *Group) leave() {
	if g.limit != nil {
		<-g.limit
	}
}

// wake ends the calls of Wait that block. g.mu is held.
func (g *Group) wake() {
	if g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
}
