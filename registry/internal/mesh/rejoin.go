package mesh

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Bounds of the search for nodes.
const (
	maxPlaces  = 1024           // addresses that are remembered; the one seen longest ago is dropped
	maxGiven   = 256            // seeds that were given to Join; the oldest is dropped
	lostAfter  = 24 * time.Hour // after which a lost member is not looked for any more
	restRounds = 12             // for an address at which the node, a member or a stranger answers
)

// rejoin remembers the addresses of nodes that may be found and are no members. Memberlist forgets
// a dead node after half a minute; from then on two halves of a split cluster would never find each
// other again.
//
// In each interval there is a round: names are looked up, and up to maxJoins addresses at which
// there is no member are tried. First come those that have not been tried since a node was lost
// there, then those that were tried longest ago; among equals, the one that was seen last. So 1,024
// dead addresses take 64 rounds, and do not delay an address that is lost after them.
type rejoin struct {
	kicked chan string

	mu     sync.Mutex // guards all below; no other lock is taken inside
	round  uint64
	places map[string]*place // by address
	seeds  []*source         // those of the configuration come first
	fixed  int               // the number of those
	cursor int               // the index of the seed with which the next round's lookups begin
}

// A source is a seed with the addresses that it last stood for.
type source struct {
	seed  seed
	addrs []string
}

// A place is an address at which a node was or may be.
type place struct {
	addr   string
	node   string    // that was last seen there
	seen   time.Time // when that was; zero: never
	lost   bool      // the node died there
	tried  uint64    // the last round in which it was tried; 0: none since it was lost
	rest   uint64    // the round before which it is not tried
	logged string    // the error for which it rests, as it was logged
}

func (r *rejoin) init(seeds []seed) {
	r.kicked = make(chan string, 16)
	r.places = make(map[string]*place)
	for _, s := range seeds {
		r.seeds = append(r.seeds, &source{seed: s})
	}
	r.fixed = len(r.seeds)
}

// addSeed adds a seed.
func (r *rejoin) addSeed(s seed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, x := range r.seeds {
		if x.seed.text != s.text {
			continue
		}
		if i >= r.fixed { // the newest is last
			r.seeds = append(slices.Delete(r.seeds, i, i+1), x)
		}
		return
	}
	if len(r.seeds)-r.fixed == maxGiven {
		r.seeds = slices.Delete(r.seeds, r.fixed, r.fixed+1)
	}
	r.seeds = append(r.seeds, &source{seed: s})
}

// lost notes that a member died.
func (r *rejoin) lost(name, addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(name)
	p := r.place(addr)
	p.node, p.seen, p.lost, p.tried, p.rest = name, time.Now(), true, 0, 0
}

// found notes that a node is a member.
func (r *rejoin) found(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(name)
}

// forget drops the places where a node died. The caller holds mu.
func (r *rejoin) forget(name string) {
	for addr, p := range r.places {
		if p.lost && p.node == name {
			delete(r.places, addr)
		}
	}
}

// place returns the place with an address, and adds one if there is none. If there are too many, it
// drops the one seen longest ago. The caller holds mu.
func (r *rejoin) place(addr string) *place {
	if p := r.places[addr]; p != nil {
		return p
	}
	if len(r.places) >= maxPlaces {
		var oldest *place
		for _, p := range r.places {
			if oldest == nil || p.seen.Before(oldest.seen) {
				oldest = p
			}
		}
		delete(r.places, oldest.addr)
	}
	p := &place{addr: addr}
	r.places[addr] = p
	return p
}

// kick requests an exchange with the member at an address. It does not block.
func (r *rejoin) kick(addr string) {
	select {
	case r.kicked <- addr:
	default:
	}
}

// candidates returns how many lost members are looked for.
func (r *rejoin) candidates() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.places {
		if p.lost {
			n++
		}
	}
	return n
}

// toLookUp returns the seeds of this round: all that are addresses, and at most maxLookups names,
// others in the next round if there are more.
func (r *rejoin) toLookUp() (due []*source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := 0
	for i := range r.seeds {
		s := r.seeds[(r.cursor+i)%len(r.seeds)]
		if _, ok := s.seed.literal(); !ok {
			if names == maxLookups {
				r.cursor = (r.cursor + i) % len(r.seeds)
				break
			}
			names++
		}
		due = append(due, s)
	}
	return due
}

// standsFor notes the addresses that a seed stands for now.
func (r *rejoin) standsFor(s *source, addrs []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.addrs = addrs
}

// next begins a round and returns the places to try, in the order in which to try them.
func (r *rejoin) next(present map[string]struct{}) []place {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.round++
	seeded := make(map[string]struct{})
	for _, s := range r.seeds {
		for _, addr := range s.addrs {
			seeded[addr] = struct{}{}
			r.place(addr)
		}
	}
	var due []*place
	for addr, p := range r.places {
		if p.lost && time.Since(p.seen) > lostAfter {
			p.lost = false
		}
		if _, ok := seeded[addr]; !ok && !p.lost {
			delete(r.places, addr)
			continue
		}
		if _, ok := present[addr]; !ok && r.round >= p.rest {
			due = append(due, p)
		}
	}
	rand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	slices.SortStableFunc(due, func(a, b *place) int {
		return cmp.Or(cmp.Compare(a.tried, b.tried), b.seen.Compare(a.seen))
	})
	var chosen []place
	for _, p := range due[:min(len(due), maxJoins)] {
		p.tried = r.round
		chosen = append(chosen, *p)
	}
	return chosen
}

// ended notes the outcome of an attempt; already is true if the node that answered is a member, at
// another address. It reports whether to log err: a node of another cluster answered, and that was
// not logged before.
func (r *rejoin) ended(addr string, who greeting, already bool, err error) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.places[addr]
	if p == nil {
		return false
	}
	switch {
	case err == nil:
		if p.node != who.name {
			p.lost = false // another node has its address now
		}
		p.node, p.seen, p.logged = who.name, time.Now(), ""
		if already {
			p.rest = r.round + restRounds
		} else {
			p.tried = 0 // nodes that declared each other dead are members after the next exchange
		}
	case errors.Is(err, ErrSelf):
		p.rest = r.round + restRounds
	case Refused(err):
		p.rest = r.round + restRounds
		news = p.logged != err.Error()
		p.logged = err.Error()
	}
	return news
}

// searchRepeatedly searches at jittered intervals until the mesh closes.
func (m *Mesh) searchRepeatedly() {
	timer := time.NewTimer(jitter(m.cfg.RejoinInterval))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			timer.Reset(jitter(m.cfg.RejoinInterval))
			m.search()
		case <-m.ctx.Done():
			return
		}
	}
}

// search does one round. It looks seeds up and tries addresses at which there is no member, up to
// maxJoins at the same time: after a long split, one answer is enough for all. It blocks for a few
// times ioTimeout at the most.
func (m *Mesh) search() {
	if m.leaving.begun.Load() {
		return
	}
	seeds := m.rejoin.toLookUp()
	each(len(seeds), func(i int) {
		addrs, err := seeds[i].seed.lookUp(m.ctx, m.cfg.Names)
		if err != nil { // the addresses of before are kept
			m.log.Debug("seed not found", "seed", seeds[i].seed.text, "err", err)
			return
		}
		m.rejoin.standsFor(seeds[i], addrs)
	})
	places := m.rejoin.next(m.present())
	each(len(places), func(i int) {
		m.counters.rejoins.Add(1)
		already := false
		who, err := m.meet(places[i].addr, func(who greeting) bool {
			already = m.isMember(who)
			return already
		})
		switch {
		case err != nil:
			m.log.Debug("no node to join", "addr", places[i].addr, "err", err)
		case !already:
			m.counters.rejoined.Add(1)
		}
		if m.rejoin.ended(places[i].addr, who, already, err) {
			m.log.Info("what answers at the address of a seed or of a lost member is not of this cluster",
				"addr", places[i].addr, "was", places[i].node, "err", err)
		}
	})
}

// present returns the addresses of all members.
func (m *Mesh) present() map[string]struct{} {
	set := map[string]struct{}{m.self.Addr: {}}
	for _, x := range m.members.all() {
		set[x.Addr] = struct{}{}
	}
	return set
}

// exchangeWhenKicked exchanges memberships with the members that kick requests.
func (m *Mesh) exchangeWhenKicked() {
	for {
		select {
		case addr := <-m.rejoin.kicked:
			if m.leaving.begun.Load() {
				continue
			}
			m.counters.rejoins.Add(1)
			if _, err := m.meet(addr, func(greeting) bool { return false }); err != nil {
				m.log.Debug("no exchange with a member", "addr", addr, "err", err)
				continue
			}
			m.counters.rejoined.Add(1)
		case <-m.ctx.Done():
			return
		}
	}
}

// askEvery is the least time between two exchanges because of unknown senders.
const askEvery = time.Second

// askAround requests an exchange of memberships with a random member, because a node sends to this
// one that it does not know. News of a node spreads by gossip, which misses a node now and then;
// until the next exchange it would ignore that node's frames.
func (m *Mesh) askAround() {
	now, last := time.Since(m.started), m.asked.Load()
	if last != 0 && now < time.Duration(last)+askEvery ||
		!m.asked.CompareAndSwap(last, max(int64(now), 1)) {
		return
	}
	if all := m.members.all(); len(all) > 0 {
		m.rejoin.kick(all[rand.IntN(len(all))].Addr)
	}
}

// jitter returns an interval that differs from d by up to a quarter, so that nodes do not act at
// the same moment.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2+1)
}
