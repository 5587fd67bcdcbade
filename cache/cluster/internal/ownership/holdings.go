package ownership

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/registry"
)

// maxWaiting is how many names may wait for the registry at a time: each takes a goroutine, whether somebody still
// asks for it or not.
const maxWaiting = 8192

// holdings are the names that this node holds, by unit.
type holdings struct {
	c      Config
	nameOf func(unit string) string
	losses losses
	idle   *idle // nil: units are never given up for being idle

	life    context.Context // the holder of all names: it ends with close
	end     context.CancelFunc
	closing sync.Once
	running sync.WaitGroup // all goroutines

	seed   maphash.Seed
	shards [64]shard

	waiting                            atomic.Int64 // names that are being registered
	held, claimed, released, conflicts atomic.Int64
}

type shard struct {
	mu     sync.Mutex          // under it only the lock of losses is taken
	units  map[string]*holding // nil: closed
	idlers idlers
}

// A holding is a name that this node holds, gets or gives up. Its shard's mu guards it.
type holding struct {
	unit         string
	registration *registry.Registration
	forget       func() bool // ends waiting for the registration's end
	change       *change     // nil: it is held

	since      time.Duration // since when it is idle, on the clock of idle; 0: it is in use
	prev, next *holding      // in idlers: those that are held and idle
}

// A change is a holding's coming or going.
type change struct {
	done  chan struct{} // closed when it is over
	goes  bool
	owner Owner // what came of it
	err   error
}

func newHoldings(c Config, nameOf func(string) string, tell func(units []string)) *holdings {
	h := &holdings{c: c, nameOf: nameOf, seed: maphash.MakeSeed()}
	h.losses.tell, h.losses.running = tell, &h.running
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
// Registering waits while a queue of the registry is full. Who is tired of that leaves; the registration goes on,
// since the context that could end it is the life of the holder, and one for each name would cost more memory than
// all else here.
func (h *holdings) claim(ctx context.Context, unit string) (Owner, error) {
	if ctx.Err() != nil {
		return Owner{}, context.Cause(ctx)
	}
	var late <-chan time.Time
	for {
		now, err := h.begin(unit)
		if now == nil {
			return Owner{h.c.Self, err == nil}, err
		}
		if late == nil {
			late = time.After(h.c.ClaimTimeout)
		}
		select {
		case <-now.done:
			if !now.goes {
				return now.owner, now.err
			}
		case <-ctx.Done():
			return Owner{}, context.Cause(ctx)
		case <-late:
			return Owner{}, ErrTimeout
		}
	}
}

// begin returns the change that is to be waited for; it has a unit that is not held register. nil: the unit is held,
// or there is an error.
func (h *holdings) begin(unit string) (*change, error) {
	s := h.shard(unit)
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.units[unit]
	if have != nil && have.change == nil && have.registration.Context().Err() != nil {
		h.hasEnded(s, have) // before its context's func came to say so
		have = nil
	}
	switch {
	case s.units == nil:
		return nil, ErrClosed
	case have != nil:
		if have.change == nil {
			h.idle.restart(s, have)
		}
		return have.change, nil
	case h.waiting.Add(1) > maxWaiting:
		h.waiting.Add(-1)
		return nil, ErrOverloaded
	}
	have = &holding{unit: unit, change: &change{done: make(chan struct{})}, since: 1}
	s.units[unit] = have
	h.running.Go(func() { h.register(s, have) })
	return have.change, nil
}

func (h *holdings) register(s *shard, have *holding) {
	r, err := h.c.Registry.Register(h.life, h.nameOf(have.unit), nil)
	h.waiting.Add(-1)
	var taken *registry.TakenError
	s.mu.Lock()
	now := have.change
	switch {
	case errors.As(err, &taken):
		now.owner = Owner{taken.Holder.Node, true}
	case err != nil:
		now.err = err
	case s.units == nil:
		now.err = ErrClosed
	default:
		now.owner = Owner{h.c.Self, true}
		have.registration, have.change = r, nil
		have.forget = context.AfterFunc(r.Context(), func() { h.ended(s, have) })
		h.held.Add(1)
		h.claimed.Add(1)
		if have.since != 0 { // nothing has arrived yet
			h.idle.begin(s, have)
		}
	}
	if have.change != nil {
		delete(s.units, have.unit)
	}
	s.mu.Unlock()
	if r != nil && now.err != nil {
		_ = r.Release() // whatever had ended it: it is not held
	}
	close(now.done)
}

// ended is called when a registration has ended that was not given up here.
func (h *holdings) ended(s *shard, have *holding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.units[have.unit] == have && have.change == nil {
		h.hasEnded(s, have)
	}
}

// hasEnded forgets a holding whose registration has ended. The caller holds the shard's mu.
func (h *holdings) hasEnded(s *shard, have *holding) {
	delete(s.units, have.unit)
	s.idlers.remove(have)
	h.held.Add(-1)
	h.count(context.Cause(have.registration.Context()), have.unit)
}

// count takes note of why a unit is not held any more, and tells of one that was lost.
func (h *holdings) count(why error, unit string) {
	switch {
	case errors.Is(why, registry.ErrReleased):
		h.released.Add(1)
	case errors.Is(why, registry.ErrConflict):
		h.losses.add(unit) // first: what is counted is going to be told
		h.conflicts.Add(1)
	}
}

// release gives up the name of unit and reports whether this node held it.
func (h *holdings) release(unit string) bool {
	s := h.shard(unit)
	s.mu.Lock()
	have := s.units[unit]
	if have == nil || have.change != nil {
		s.mu.Unlock()
		return false
	}
	h.goes(s, have)
	s.mu.Unlock()
	h.give(s, have)
	return true
}

// goes begins giving a holding up, so that who claims it now waits until that is over: the registry would hand out
// the registration that is about to end. The caller holds the shard's mu, and calls give next, without it.
func (h *holdings) goes(s *shard, have *holding) {
	have.change = &change{done: make(chan struct{}), goes: true}
	s.idlers.remove(have)
	h.held.Add(-1)
}

func (h *holdings) give(s *shard, have *holding) {
	have.forget()
	why := have.registration.Release()
	if why == nil {
		why = registry.ErrReleased
	}
	h.count(why, have.unit)
	s.mu.Lock()
	delete(s.units, have.unit)
	s.mu.Unlock()
	close(have.change.done)
}

func (h *holdings) stats() Stats {
	return Stats{
		Held: int(h.held.Load()), Claimed: uint64(h.claimed.Load()), //nolint:gosec // they only go up
		Released: uint64(h.released.Load()), Lost: uint64(h.conflicts.Load()), //nolint:gosec // so do these
	}
}

// close gives up all names, one after the other: a million take some seconds. If ctx ends before, they go on going.
func (h *holdings) close(ctx context.Context) error {
	h.closing.Do(func() {
		h.losses.close()
		var all []*holding
		for i := range h.shards {
			s := &h.shards[i]
			s.mu.Lock()
			for _, have := range s.units {
				if have.change == nil { // else who changes it sees that all is closed
					h.goes(s, have)
					all = append(all, have)
				}
			}
			s.units = nil
			s.mu.Unlock()
		}
		h.running.Go(func() {
			for _, have := range all {
				h.give(h.shard(have.unit), have)
			}
			h.end() // not before: it would end all registrations at once, each in a goroutine of its own
		})
	})
	return wait(ctx, &h.running)
}

// wait waits until nothing runs any more, or ctx ends.
func wait(ctx context.Context, running *sync.WaitGroup) error {
	over := make(chan struct{})
	go func() {
		running.Wait()
		close(over)
	}()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
