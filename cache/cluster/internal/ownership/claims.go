package ownership

import (
	"container/list"
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/registry"
)

// maxWaiting is how many names may wait for the registry at a time: each takes a goroutine, whether
// somebody still asks for it or not.
const maxWaiting = 8192

// holdings are the names that this node holds, by unit.
type claims struct {
	c      Config
	nameOf func(unit string) string
	losses losses
	idle   *idle // nil: units are never given up for being idle

	onReleased func(unit string) // called when a unit's change is over; nil: not

	life    context.Context // the holder of all names: it ends with close
	end     context.CancelFunc
	closing sync.Once
	running sync.WaitGroup // all goroutines

	seed   maphash.Seed
	shards [64]shard

	waiting, held                atomic.Int64 // names that are being registered, and that are
	claimed, released, conflicts atomic.Uint64
}

type shard struct {
	mu     sync.Mutex        // under it only the lock of losses is taken
	claims map[string]*claim // nil: closed
	idle   list.List         // of *holding, in the order of since
}

// A holding is a name that this node holds, gets or gives up. Its shard's mu guards it.
type claim struct {
	id           string
	registration *registry.Registration
	stopWatching func() bool // ends waiting for the registration's end
	state        state

	idleElement *list.Element // in idlers; nil: it is in use, or not held
	idleSince   time.Duration // since when it is idle, from when idle began
}

type state uint8

const (
	registering state = iota // it is being registered
	held
	releasing // it is being given up
)

func newClaims(c Config, nameOf func(string) string, tell func(units []string)) *claims {
	h := &claims{c: c, nameOf: nameOf, seed: maphash.MakeSeed()}
	h.losses.notify, h.losses.running = tell, &h.running
	h.life, h.end = context.WithCancel(context.Background())
	for i := range h.shards {
		h.shards[i].claims = make(map[string]*claim)
	}
	return h
}

func (h *claims) shard(unit string) *shard {
	return &h.shards[maphash.String(h.seed, unit)%uint64(len(h.shards))]
}

// claim makes the name of unit be registered, unless it is held already or too many names wait for
// the registry: a queue of it may be full. It does not block.
func (h *claims) claim(unit string) {
	s := h.shard(unit)
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.claims[unit]
	if have != nil && have.state == held && have.registration.Context().Err() != nil {
		h.removeEnded(s, have) // before its context's func came to say so
		have = nil
	}
	if s.claims == nil || have != nil {
		return
	}
	if h.waiting.Add(1) > maxWaiting {
		h.waiting.Add(-1)
		return
	}
	have = &claim{id: unit}
	s.claims[unit] = have
	h.running.Go(func() { h.register(s, have) })
}

func (h *claims) register(s *shard, have *claim) {
	r, err := h.c.Registry.Register(h.life, h.nameOf(have.id), nil)
	h.waiting.Add(-1)
	s.mu.Lock()
	closed := s.claims == nil
	if err == nil && !closed {
		have.registration, have.state = r, held
		have.stopWatching = context.AfterFunc(r.Context(), func() { h.ended(s, have) })
		h.held.Add(1)
		h.claimed.Add(1)
		if h.idle != nil && !h.c.Has(have.id) {
			h.idle.begin(s, have) // it has gone meanwhile
		}
	} else {
		delete(s.claims, have.id)
	}
	s.mu.Unlock()
	switch {
	case errors.As(err, new(*registry.TakenError)):
		h.losses.add(have.id) // another node owns it
	case err != nil:
		h.c.Logger.Debug("a name could not be claimed", "name", h.nameOf(have.id), "error", err)
	case closed:
		_ = r.Release() // whatever had ended it: it is not held
	}
}

// ended is called when a registration has ended that was not given up here.
func (h *claims) ended(s *shard, have *claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims[have.id] == have && have.state == held {
		h.removeEnded(s, have)
	}
}

// hasEnded forgets a holding whose registration has ended. The caller holds the shard's mu.
func (h *claims) removeEnded(s *shard, have *claim) {
	delete(s.claims, have.id)
	s.endIdle(have)
	h.held.Add(-1)
	h.noteEnd(context.Cause(have.registration.Context()), have.id)
}

// count takes note of why a unit is not held any more, and tells of one that was lost.
func (h *claims) noteEnd(why error, unit string) {
	switch {
	case errors.Is(why, registry.ErrReleased):
		h.released.Add(1)
	case errors.Is(why, registry.ErrConflict):
		h.losses.add(unit) // first: what is counted is going to be told
		h.conflicts.Add(1)
	}
}

// release gives up the name of unit and reports whether this node held it.
func (h *claims) release(unit string) bool {
	s := h.shard(unit)
	s.mu.Lock()
	have := s.claims[unit]
	if have == nil || have.state != held {
		s.mu.Unlock()
		return false
	}
	h.startRelease(s, have)
	s.mu.Unlock()
	h.finishRelease(s, have)
	return true
}

// giveUp begins giving a holding up. Nobody can claim it until that is over: the registry would
// hand out the registration that is about to end. The caller holds the shard's mu, and calls give
// next, without it.
func (h *claims) startRelease(s *shard, have *claim) {
	have.state = releasing
	s.endIdle(have)
	h.held.Add(-1)
}

func (h *claims) finishRelease(s *shard, have *claim) {
	have.stopWatching()
	why := have.registration.Release()
	if why == nil {
		why = registry.ErrReleased
	}
	h.noteEnd(why, have.id)
	s.mu.Lock()
	delete(s.claims, have.id)
	s.mu.Unlock()
	if h.onReleased != nil {
		h.onReleased(have.id) // its key may be back
	}
}

func (h *claims) stats() Stats {
	return Stats{int(h.held.Load()), h.claimed.Load(), h.released.Load(), h.conflicts.Load()}
}

// close gives up all names, one after the other: a million take some seconds. If ctx ends before,
// they go on going.
func (h *claims) close(ctx context.Context) error {
	h.closing.Do(func() {
		h.losses.close()
		var all []*claim
		for i := range h.shards {
			s := &h.shards[i]
			s.mu.Lock()
			for _, have := range s.claims {
				if have.state == held { // else who changes it sees that all is closed
					h.startRelease(s, have)
					all = append(all, have)
				}
			}
			s.claims = nil
			s.mu.Unlock()
		}
		h.running.Go(func() {
			for _, have := range all {
				h.finishRelease(h.shard(have.id), have)
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

// losses tell of units that were lost, many at a time: after a split thousands are lost at once,
// and who is told may have to look through all its entries each time.
type losses struct {
	notify  func(units []string)
	running *sync.WaitGroup

	mu        sync.Mutex
	ids       []string
	notifying bool
	closed    bool
}

// add has tell called with the units, and with those that come while it runs in one more call. It
// does not wait.
func (l *losses) add(units ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(units) == 0 {
		return
	}
	l.ids = append(l.ids, units...)
	if !l.notifying {
		l.notifying = true
		l.running.Go(l.run)
	}
}

func (l *losses) run() {
	for {
		l.mu.Lock()
		units := l.ids
		l.ids = nil
		l.notifying = len(units) > 0
		l.mu.Unlock()
		if len(units) == 0 {
			return
		}
		l.notify(units)
	}
}

// close has nothing more be added. What was is still told.
func (l *losses) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}
