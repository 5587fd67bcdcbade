package mesh

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Bounds of what is looked for.
const (
	// addresses that are remembered; the one seen longest ago is dropped
	maxPlaces = 1024
	maxGiven  = 256            // seeds that were given to Join; the oldest is dropped
	lostAfter = 24 * time.Hour // a member that is lost for so long is not looked for any more
	// for which an address rests where the node, a member or a stranger answers
	restRounds = 12
)

// rejoin remembers where nodes may be found that are no members. Memberlist forgets a dead node
// after half a minute; from then on two halves of a split cluster would never find each other
// again.
//
// Once in an interval there is a round: names are looked up, and up to maxJoins addresses are tried
// at which no member is. Those come first that have not been tried since a node was lost there,
// then those that were tried longest ago; among equals, the one that was seen last. So 1,024 dead
// addresses take 64 rounds, and do not delay by one what was lost after them.
type rejoin struct {
	kicked chan string

	mu     sync.Mutex // guards all below; no other lock is taken inside
	round  uint64
	places map[string]*place // by address
	seeds  []*source         // those of the configuration come first
	fixed  int               // how many these are
	cursor int               // the seed with which the next round's lookups begin
}

// A source is a seed, and the addresses that it last stood for.
type source struct {
	seed  seed
	addrs []string
}

// A place is an address at which somebody was or may be.
type place struct {
	addr   string
	node   string    // whoever was last seen there
	seen   time.Time // when that was; zero: never
	lost   bool      // the node died there
	tried  uint64    // the last round in which it was tried; 0: none since it was lost
	rest   uint64    // it is not tried before this round
	logged string    // the reason why it rests, as it was logged
}

func (r *rejoin) init(seeds []seed) {
	r.kicked = make(chan string, 16)
	r.places = make(map[string]*place)
	for _, s := range seeds {
		r.seeds = append(r.seeds, &source{seed: s})
	}
	r.fixed = len(r.seeds)
}

// given remembers a seed.
func (r *rejoin) given(s seed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, x := range r.seeds {
		if x.seed.text != s.text {
			continue
		}
		if i >= r.fixed { // it is the newest now
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
	p := r.at(addr)
	p.node, p.seen, p.lost, p.tried, p.rest = name, time.Now(), true, 0, 0
}

// found notes that a node is a member.
func (r *rejoin) found(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(name)
}

// forget drops the places where a node died. The lock is held.
func (r *rejoin) forget(name string) {
	for addr, p := range r.places {
		if p.lost && p.node == name {
			delete(r.places, addr)
		}
	}
}

// at returns the place with an address. If there are too many, the one that was seen longest ago
// goes. The lock is held.
func (r *rejoin) at(addr string) *place {
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

// kick asks for an exchange with a member soon; it does not block.
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

// toLookUp returns the seeds to look up in this round, at most maxLookups, and other ones in the
// next if there are more.
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

// standsFor notes what a seed stands for now.
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
			r.at(addr)
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

// ended notes how an attempt ended; already says that the node which answered was a member, at
// another address. It reports whether the reason is news: a node answered that does not belong
// here.
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
			p.lost = false // its address is another's now
		}
		p.node, p.seen, p.logged = who.name, time.Now(), ""
		if already {
			p.rest = r.round + restRounds
		} else {
			p.tried = 0 // if the two take each other for dead, they are members after the next exchange
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

// searchAgainAndAgain searches at jittered intervals until the mesh closes.
func (m *Mesh) searchAgainAndAgain() {
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

// search is one round. It looks seeds up and tries addresses at which no member is, up to maxJoins
// at the same time: after a split that lasted, one that answers is enough for all. It blocks for a
// few times ioTimeout at the most.
func (m *Mesh) search() {
	if m.leaving.begun.Load() {
		return
	}
	seeds := m.rejoin.toLookUp()
	each(len(seeds), func(i int) {
		addrs, err := seeds[i].seed.lookUp(m.ctx, m.cfg.Names)
		if err != nil { // what it stood for before is better than nothing
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
			m.log.Debug("nobody to join", "addr", places[i].addr, "err", err)
		case !already:
			m.counters.rejoined.Add(1)
		}
		if m.rejoin.ended(places[i].addr, who, already, err) {
			m.log.Info("whoever answers at the address of a seed or of a lost member "+
				"is not of this cluster; it is tried again now and then",
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

// exchangeWhenKicked exchanges memberships with members that kick names.
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

// askEvery is the least time between two exchanges because of strangers.
const askEvery = time.Second

// askAround starts an exchange of memberships with a random member, soon: a node sends to this one
// that it does not know. The word of a node spreads by gossip, a few packets from each to few
// others, which leaves one out now and then; until the next exchange it would ignore what that node
// says.
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

// jitter spreads what many nodes would do at the same moment, by a quarter either way.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2+1)
}
