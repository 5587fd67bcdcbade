package ownership

import (
	"slices"
	"strconv"
	"time"
)

// A view is what a node sees of the slots, and what it makes of it. It is not changed.
type view struct {
	members *memberList
	holders []string // by slot; empty: no member holds it
	targets []string // who should hold it
}

// look makes a plan from what is seen now, a new one if that has changed. The caller holds mu.
func (s *slots) look() view {
	v := view{members: s.members.seen.Load(), holders: make([]string, len(s.names))}
	if v.members == nil {
		v.members = &memberList{}
	}
	for slot, name := range s.names {
		if claim, ok := s.c.Registry.Lookup(name); ok && s.members.has(claim.Node) {
			v.holders[slot] = claim.Node
		}
	}
	if v.members == s.last.members && slices.Equal(v.holders, s.last.holders) {
		return s.last
	}
	v.targets = plan(v.holders, v.members)
	s.targets.Store(&v.targets)
	s.last = v
	return v
}

// balance claims and hands over slots as the plan says, until the holdings close.
//
// It looks at all names once a Round, which is cheaper and simpler than following the registry's
// events, and loses nothing: a slot that was given up a moment ago and is needed before its new
// holder looks is claimed when it has an entry.
func (s *slots) balance() {
	ticker := time.NewTicker(s.c.Round)
	defer ticker.Stop()
	for last := time.Now(); ; {
		select {
		case <-s.holdings.life.Done():
			return
		case <-ticker.C:
		}
		late := time.Since(last) > s.c.Round+s.c.Settle
		last = time.Now()
		if v, ok := s.round(late); ok {
			s.claimOpen(v)
			s.handOver(v)
		}
	}
}

// round looks at the slots, and reports whether it is time to do something about them: when the
// members have been the same for a while. So a node that is restarted does not set all slots
// moving. A node that was stopped for some seconds is late; it may be about to see that the others
// have gone on without it, or for a moment see nobody, and would take all slots.
func (s *slots) round(late bool) (view, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if late {
		s.quiet = time.Now()
	}
	calm := time.Since(s.quiet) >= s.c.Settle // before looking: it may be stopped just then
	return s.look(), calm
}

// claimOpen claims the slots that nobody holds and that are to be this node's.
func (s *slots) claimOpen(v view) {
	for slot, target := range v.targets {
		if target != s.c.Self || v.holders[slot] != "" {
			continue
		}
		if s.members.seen.Load() != v.members {
			return // the plan is outdated
		}
		s.holdings.claim(strconv.Itoa(slot)) // if it fails, the next round tries again
	}
}

// handOver gives up slots that this node holds and others are to have: its share of what all move
// in a round. The keys of a slot that moves have to be loaded again, so they are spread over some
// rounds, eight if nobody held anything but one node.
func (s *slots) handOver(v view) {
	var mine []int
	all := 0
	for slot, target := range v.targets {
		if holder := v.holders[slot]; holder != "" && holder != target {
			all++
			if holder == s.c.Self {
				mine = append(mine, slot)
			}
		}
	}
	var gone []string
	for _, slot := range mine[:share(len(mine), all, max(1, len(s.names)/8))] {
		if unit := strconv.Itoa(slot); s.holdings.release(unit) {
			gone = append(gone, unit)
		}
	}
	if len(gone) > 0 {
		s.c.Logger.Debug("slots are handed over", "slots", len(gone), "left", len(mine)-len(gone))
		s.holdings.losses.add(gone...)
	}
}

// share returns how many of its own units a node gives up in a round in which all together may give
// up most of all: in proportion, and one at least.
func share(mine, all, most int) int {
	if all <= most {
		return mine
	}
	return (mine*most + all - 1) / all
}
