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

// maxWaiting bounds the names that wait for the registry at a time. Each takes a goroutine, whether
// a caller still needs it or not.
const maxWaiting = 8192

// claims holds this node's claims, by id: the key or, by slot, the slot's number. nameOf returns
// the name of an id.
type claims struct {
	c      Config
	nameOf func(id string) string
	losses losses
	idle   *idle // releases idle names; nil if none is released for being idle

	onReleased func(id string) // called when a release is over; may be nil

	life    context.Context // the holder of all names; it ends with close
	end     context.CancelFunc
	closing sync.Once
	running sync.WaitGroup // all goroutines of claims

	seed   maphash.Seed
	shards [64]shard

	waiting, held                atomic.Int64 // names that are being registered, and that are held
	claimed, released, conflicts atomic.Uint64
}

type shard struct {
	mu     sync.Mutex        // guards what follows; only the lock of losses is taken under it
	claims map[string]*claim // by id; nil when closed
	idle   list.List         // of *claim, in the order of idleSince
}

// A claim is a name that this node holds, registers or releases. Its shard's mu guards it.
type claim struct {
	id           string
	registration *registry.Registration
	stopWatching func() bool // stops waiting for the registration's end
	state        state

	idleElement *list.Element // in the shard's idle; nil while in use, or not held
	idleSince   time.Duration // when it became idle, from idle.begun on
}

type state uint8

const (
	registering state = iota // waits for the registry
	held
	releasing // waits for the registry to release it
)

func newClaims(c Config, nameOf func(string) string, notify func(ids []string)) *claims {
	h := &claims{c: c, nameOf: nameOf, seed: maphash.MakeSeed()}
	h.losses.notify, h.losses.running = notify, &h.running
	h.life, h.end = context.WithCancel(context.Background())
	for i := range h.shards {
		h.shards[i].claims = make(map[string]*claim)
	}
	return h
}

func (h *claims) shard(id string) *shard {
	return &h.shards[maphash.String(h.seed, id)%uint64(len(h.shards))]
}

// claim registers the name of id in a goroutine, unless this node has a claim on it already, or too
// many names wait for the registry, whose queue may be full. It does not block.
func (h *claims) claim(id string) {
	s := h.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.claims[id]
	if have != nil && have.state == held && have.registration.Context().Err() != nil {
		h.removeEnded(s, have) // ended has not run yet
		have = nil
	}
	if s.claims == nil || have != nil {
		return
	}
	if h.waiting.Add(1) > maxWaiting {
		h.waiting.Add(-1)
		return
	}
	have = &claim{id: id}
	s.claims[id] = have
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
			h.idle.begin(s, have) // the entry has gone meanwhile
		}
	} else {
		delete(s.claims, have.id)
	}
	s.mu.Unlock()
	switch {
	case errors.As(err, new(*registry.TakenError)):
		h.losses.add(have.id) // another node holds it
	case err != nil:
		h.c.Logger.Debug("a name could not be claimed", "name", h.nameOf(have.id), "error", err)
	case closed:
		_ = r.Release() // its error says why it had ended: it does not matter
	}
}

// ended is called when a registration has ended that this node did not release.
func (h *claims) ended(s *shard, have *claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims[have.id] == have && have.state == held {
		h.removeEnded(s, have)
	}
}

// removeEnded removes a claim whose registration has ended. The caller holds the shard's mu.
func (h *claims) removeEnded(s *shard, have *claim) {
	delete(s.claims, have.id)
	s.endIdle(have)
	h.held.Add(-1)
	h.noteEnd(context.Cause(have.registration.Context()), have.id)
}

// noteEnd counts why a name is not held any more, and passes one that was lost on to losses.
func (h *claims) noteEnd(why error, id string) {
	switch {
	case errors.Is(why, registry.ErrReleased):
		h.released.Add(1)
	case errors.Is(why, registry.ErrConflict):
		h.losses.add(id) // first: a loss that is counted will be notified
		h.conflicts.Add(1)
	}
}

// release releases the name of id, and reports whether this node held it.
func (h *claims) release(id string) bool {
	s := h.shard(id)
	s.mu.Lock()
	have := s.claims[id]
	if have == nil || have.state != held {
		s.mu.Unlock()
		return false
	}
	h.startRelease(s, have)
	s.mu.Unlock()
	h.finishRelease(s, have)
	return true
}

// startRelease starts the release of a claim. Until it is over nobody can claim the name, since the
// registry would return the registration that is about to end. The caller holds the shard's mu, and
// calls finishRelease next, without mu.
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
		h.onReleased(have.id) // the entry may be back
	}
}

func (h *claims) stats() Stats {
	return Stats{int(h.held.Load()), h.claimed.Load(), h.released.Load(), h.conflicts.Load()}
}

// close releases all names, one after the other; a million take some seconds. If ctx ends first,
// the release goes on in the background.
func (h *claims) close(ctx context.Context) error {
	h.closing.Do(func() {
		h.losses.close()
		var all []*claim
		for i := range h.shards {
			s := &h.shards[i]
			s.mu.Lock()
			for _, have := range s.claims {
				if have.state == held { // the goroutines of other states see that all is closed
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
			h.end() // last: it ends what is left all at once, each in its goroutine
		})
	})
	return wait(ctx, &h.running)
}

// wait waits until running is done, or ctx ends.
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

// losses passes on the ids whose names were lost, many at a time: after a split thousands are lost
// at once, and notify may go through all entries each time.
type losses struct {
	notify  func(ids []string)
	running *sync.WaitGroup

	mu        sync.Mutex
	ids       []string
	notifying bool
	closed    bool
}

// add starts notify with the ids. Those that come while notify runs go into one more call. add does
// not wait.
func (l *losses) add(ids ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(ids) == 0 {
		return
	}
	l.ids = append(l.ids, ids...)
	if !l.notifying {
		l.notifying = true
		l.running.Go(l.run)
	}
}

func (l *losses) run() {
	for {
		l.mu.Lock()
		ids := l.ids
		l.ids = nil
		l.notifying = len(ids) > 0
		l.mu.Unlock()
		if len(ids) == 0 {
			return
		}
		l.notify(ids)
	}
}

// close makes add do nothing. notify still gets what was added before.
func (l *losses) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}
