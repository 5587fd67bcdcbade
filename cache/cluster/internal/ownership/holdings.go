package ownership

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/registry"
)

// holdings are the names that this node holds, by unit.
type holdings struct {
	c      Config
	nameOf func(unit string) string
	lost   func(unit string)                      // a name was lost in a conflict
	fresh  func(unit string) (idle time.Duration) // a name was claimed; what its holding begins with

	claims *courier.Courier[string, Owner] // so that a name is registered once, however many ask for it
	life   context.Context                 // the holder of all names: it ends with close
	end    context.CancelFunc

	seed   maphash.Seed
	shards [64]shard

	held, claimed, released, conflicts atomic.Int64
}

type shard struct {
	mu     sync.Mutex // guards units; nothing else is locked under it
	units  map[string]*holding
	closed bool
}

// A holding is a name that this node holds.
type holding struct {
	registration *registry.Registration
	forget       func() bool   // ends waiting for the registration's end
	idle         time.Duration // since when, on the clock of Keys; 0: it is in use
}

func newHoldings(c Config, nameOf func(string) string, lost func(string), fresh func(string) time.Duration) *holdings {
	h := &holdings{c: c, nameOf: nameOf, lost: lost, fresh: fresh, claims: courier.New[string, Owner](), seed: maphash.MakeSeed()}
	h.life, h.end = context.WithCancel(context.Background())
	for i := range h.shards {
		h.shards[i].units = make(map[string]*holding)
	}
	return h
}

func (h *holdings) shard(unit string) *shard {
	return &h.shards[maphash.String(h.seed, unit)%uint64(len(h.shards))]
}

// claim registers the name of unit, unless somebody holds it, and returns who does.
//
// Registering waits only while a queue of the registry is full. Who is tired of that leaves; the registration goes on, so
// that there are no more of them than names.
func (h *holdings) claim(ctx context.Context, unit string) (Owner, error) {
	ctx, cancel := context.WithTimeout(ctx, h.c.ClaimTimeout)
	defer cancel()
	owner, _, err := h.claims.Do(ctx, unit, func(context.Context) (Owner, error) { return h.register(unit) })
	return owner, err
}

func (h *holdings) register(unit string) (Owner, error) {
	s := h.shard(unit)
	s.mu.Lock()
	have, closed := s.units[unit], s.closed
	s.mu.Unlock()
	if closed {
		return Owner{}, courier.ErrClosed
	}
	if have != nil && have.registration.Context().Err() == nil {
		return Owner{h.c.Self, true}, nil
	}
	r, err := h.c.Registry.Register(h.life, h.nameOf(unit), nil)
	var taken *registry.TakenError
	switch {
	case errors.As(err, &taken):
		return Owner{taken.Holder.Node, true}, nil
	case err != nil:
		return Owner{}, err
	}
	now := &holding{registration: r, idle: h.fresh(unit)}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		_ = r.Release() // whatever had ended it: it is not held
		return Owner{}, courier.ErrClosed
	}
	if s.units[unit] == nil {
		h.held.Add(1)
	}
	s.units[unit] = now
	now.forget = context.AfterFunc(r.Context(), func() { h.ended(unit, now) })
	s.mu.Unlock()
	h.claimed.Add(1)
	return Owner{h.c.Self, true}, nil
}

// ended is called when a registration has ended that was not given up here.
func (h *holdings) ended(unit string, old *holding) {
	if !h.remove(unit, old) {
		return
	}
	if errors.Is(context.Cause(old.registration.Context()), registry.ErrConflict) {
		h.conflicts.Add(1)
		h.lost(unit)
	}
}

// remove forgets a holding, unless it is another one by now.
func (h *holdings) remove(unit string, old *holding) bool {
	s := h.shard(unit)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old == nil || s.units[unit] != old {
		return false
	}
	delete(s.units, unit)
	h.held.Add(-1)
	return true
}

// release gives up the name of unit, if this node holds it and may says so. may is called with the shard locked.
func (h *holdings) release(unit string, may func(*holding) bool) bool {
	s := h.shard(unit)
	s.mu.Lock()
	have := s.units[unit]
	if have == nil || !may(have) {
		s.mu.Unlock()
		return false
	}
	delete(s.units, unit)
	s.mu.Unlock()
	h.held.Add(-1)
	h.give(have)
	return true
}

func (h *holdings) give(have *holding) {
	have.forget()
	if have.registration.Release() == nil {
		h.released.Add(1)
	}
}

func (h *holdings) stats() Stats {
	return Stats{
		Held: int(h.held.Load()), Claimed: uint64(h.claimed.Load()), //nolint:gosec // they only go up
		Released: uint64(h.released.Load()), Lost: uint64(h.conflicts.Load()), //nolint:gosec // so do these
	}
}

// close gives up all names.
func (h *holdings) close(ctx context.Context) error {
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		s.closed = true
		units := s.units
		s.units = nil
		s.mu.Unlock()
		for _, have := range units {
			h.held.Add(-1)
			h.give(have)
		}
	}
	h.end() // a registration that still waits for room gives up
	return h.claims.Shutdown(ctx)
}
