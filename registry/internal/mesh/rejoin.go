package mesh

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Bounds of what is looked for.
const (
	maxLost   = 1024
	lostAfter = 24 * time.Hour // a member that is lost for so long is not looked for any more
)

// rejoin remembers where lost members were. Memberlist forgets a dead node after half a minute; from then on
// two halves of a split cluster would never find each other again.
type rejoin struct {
	kicked chan string

	mu     sync.Mutex // guards all below; no other lock is taken inside
	byName map[string]lost
	seeds  map[string]struct{} // addresses that once answered
}

type lost struct {
	addr string
	at   time.Time
}

func (r *rejoin) init() {
	r.kicked = make(chan string, 16)
	r.byName = make(map[string]lost)
	r.seeds = make(map[string]struct{})
}

func (r *rejoin) lost(name, addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.byName) < maxLost {
		r.byName[name] = lost{addr, time.Now()}
	}
}

func (r *rejoin) found(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byName, name)
}

func (r *rejoin) seed(addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.seeds) < maxLost {
		r.seeds[addr] = struct{}{}
	}
}

// kick asks for an exchange with a member soon; it does not block.
func (r *rejoin) kick(addr string) {
	select {
	case r.kicked <- addr:
	default:
	}
}

func (r *rejoin) candidates() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.byName)
}

// pick returns an address at random where somebody may be found who is no member.
func (r *rejoin) pick(present map[string]struct{}) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	set := make(map[string]struct{})
	for name, x := range r.byName {
		if time.Since(x.at) > lostAfter {
			delete(r.byName, name)
			continue
		}
		set[x.addr] = struct{}{}
	}
	for addr := range r.seeds {
		set[addr] = struct{}{}
	}
	var list []string
	for addr := range set {
		if _, ok := present[addr]; !ok {
			list = append(list, addr)
		}
	}
	if len(list) == 0 {
		return "", false
	}
	return list[rand.IntN(len(list))], true
}

// findLost tries one address at a time, at jittered intervals: after a split that lasted, one
// that answers is enough for all.
func (m *Mesh) findLost() {
	timer := time.NewTimer(jitter(m.cfg.RejoinInterval))
	defer timer.Stop()
	for {
		var addr string
		ok := true
		select {
		case addr = <-m.rejoin.kicked:
		case <-timer.C:
			timer.Reset(jitter(m.cfg.RejoinInterval))
			addr, ok = m.rejoin.pick(m.present())
		case <-m.ctx.Done():
			return
		}
		if !ok || m.leaving.begun.Load() {
			continue
		}
		m.counters.rejoins.Add(1)
		if err := m.joinOne(target{addr, addr}); err != nil {
			m.log.Debug("lost member not found", "addr", addr, "err", err)
			continue
		}
		m.counters.rejoined.Add(1)
	}
}

// askEvery is the least time between two exchanges because of strangers.
const askEvery = time.Second

// askAround has membership exchanged with a member at random, soon: a node sends to this one that it has not
// heard of. The word of a node spreads by gossip, a few packets from each to few others, which
// leaves one out now and then; until the next exchange it would ignore what that node says.
func (m *Mesh) askAround() {
	now, last := time.Since(m.started), m.asked.Load()
	if last != 0 && now < time.Duration(last)+askEvery || !m.asked.CompareAndSwap(last, max(int64(now), 1)) {
		return
	}
	if all := m.members.all(); len(all) > 0 {
		m.rejoin.kick(all[rand.IntN(len(all))].Addr)
	}
}

// present returns the addresses of all members.
func (m *Mesh) present() map[string]struct{} {
	set := map[string]struct{}{m.self.Addr: {}}
	for _, x := range m.members.all() {
		set[x.Addr] = struct{}{}
	}
	return set
}

// jitter spreads what many nodes would do at the same moment, by a quarter either way.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2+1)
}
