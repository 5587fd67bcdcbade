package ownership

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/partition"
)

// NewSlots returns Owners of slots. A key has the same slot on all nodes, its partition by package
// partition.
func NewSlots(c Config) Owners { return newSlots(c) }

func newSlots(c Config) *slots {
	s := &slots{c: c}
	s.partitions, _ = partition.New(c.Slots) // Slots was validated
	s.names = make([]string, s.partitions.Len())
	for i := range s.names {
		s.names[i] = fmt.Sprintf("cache/%s/slot/%04d", c.Cache, i)
	}
	s.claims = newClaims(c, s.name, s.lost)
	s.claims.running.Go(s.balance)
	return s
}

type slots struct {
	c          Config
	partitions partition.Map
	names      []string
	members    members
	claims     *claims // by slot number, in decimal
	targets    atomic.Pointer[[]string]

	mu             sync.Mutex // guards what follows; held while members and targets are set
	last           view       // of the last look
	unchangedSince time.Time  // the members have been the same, and no look was late, since then
}

func (s *slots) name(id string) string { return s.names[slotNumber(id)] }

// slotNumber returns the number of a slot, from its id.
func slotNumber(id string) int {
	n, _ := strconv.Atoi(id) // it was made by Itoa
	return n
}

// Owner returns the holder of the slot's name. The home of a slot that nobody holds is the member
// to which the plan gives it.
func (s *slots) Owner(key string) string {
	owner, _ := s.ownerOf(s.partitions.Of(key))
	return owner
}

// ownerOf returns the owner of a slot, and whether it holds the slot's name.
func (s *slots) ownerOf(slot int) (owner string, holds bool) {
	if claim, ok := s.c.Registry.Lookup(s.names[slot]); ok && s.members.has(claim.Node) {
		return claim.Node, true
	}
	if targets := s.targets.Load(); targets != nil && s.members.has((*targets)[slot]) {
		return (*targets)[slot], false
	}
	return s.members.home(s.names[slot]), false
}

// Changed claims the slot of a key that has come, if the slot is this node's and nobody holds it.
// From then on it is held, whether it has keys or not.
func (s *slots) Changed(key string) {
	slot := s.partitions.Of(key)
	if owner, holds := s.ownerOf(slot); owner == s.c.Self && !holds && s.c.Has(key) {
		s.claims.claim(strconv.Itoa(slot))
	}
}

// SetMembers replaces the members and makes a plan for them at once. Until the next round the plan
// says who claims a slot that is needed.
func (s *slots) SetMembers(nodes []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.members.set(nodes) {
		s.unchangedSince = time.Now()
		s.observe()
	}
}

// lost calls Config.Lost for the keys of slots that were lost or handed over.
func (s *slots) lost(ids []string) {
	gone := make([]bool, len(s.names))
	for _, id := range ids {
		gone[slotNumber(id)] = true
	}
	for key := range s.c.Keys {
		if gone[s.partitions.Of(key)] {
			s.c.Lost(key)
		}
	}
}

// Stats counts slots.
func (s *slots) Stats() Stats { return s.claims.stats() }

// Shares counts the slots of each owner, whether it holds their names or not.
func (s *slots) Shares() map[string]int {
	shares := make(map[string]int)
	for slot := range s.names {
		if owner, _ := s.ownerOf(slot); owner != "" {
			shares[owner]++
		}
	}
	return shares
}

// Close releases all slots.
func (s *slots) Close(ctx context.Context) error { return s.claims.close(ctx) }

// A view is one look at the slots, with the plan for it. It is immutable.
type view struct {
	members *memberList
	holders []string // by slot; empty if no member holds it
	targets []string // by slot: which member should hold it
}

// observe returns a view of the slots as they are now, with a new plan if they have changed. The
// caller holds mu.
func (s *slots) observe() view {
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

// balance claims and hands over slots as the plan says, until the claims close.
//
// It looks at all names once a Round, which is cheaper and simpler than to follow the registry's
// events. Nothing is lost by that: a slot that was released a moment ago, and that is needed before
// its new holder looks, is claimed when it has an entry.
func (s *slots) balance() {
	ticker := time.NewTicker(s.c.Round)
	defer ticker.Stop()
	for last := time.Now(); ; {
		select {
		case <-s.claims.life.Done():
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

// round returns a view of the slots, and reports whether slots may be moved: when the members have
// been the same for a while. So a node that is restarted does not set all slots moving. late says
// that this node was stopped for some seconds. It may not know yet that the others have gone on
// without it, or may see nobody for a moment, and would claim all slots.
func (s *slots) round(late bool) (view, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if late {
		s.unchangedSince = time.Now()
	}
	calm := time.Since(s.unchangedSince) >= s.c.Settle // before observe, which may be late
	return s.observe(), calm
}

// claimOpen claims the slots that nobody holds and that the plan gives to this node.
func (s *slots) claimOpen(v view) {
	for slot, target := range v.targets {
		if target != s.c.Self || v.holders[slot] != "" {
			continue
		}
		if s.members.seen.Load() != v.members {
			return // the plan is outdated
		}
		s.claims.claim(strconv.Itoa(slot)) // if it fails, the next round tries again
	}
}

// handOver releases slots that this node holds and that the plan gives to others: its share of what
// all nodes release in a round. The keys of a slot that moves have to be loaded again, so the moves
// are spread over some rounds, eight if one node held all slots.
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
		if id := strconv.Itoa(slot); s.claims.release(id) {
			gone = append(gone, id)
		}
	}
	if len(gone) > 0 {
		s.c.Logger.Debug("slots are handed over", "slots", len(gone), "left", len(mine)-len(gone))
		s.claims.losses.add(gone...)
	}
}

// share returns how many of its slots a node releases in a round in which all nodes together may
// release most of all: in proportion, and at least one.
func share(mine, all, most int) int {
	if all <= most {
		return mine
	}
	return (mine*most + all - 1) / all
}

// plan returns which member should hold which slot, given the present holders: every member as many
// as the others, one more or less, with the fewest moves. A holder that is no member counts as
// nobody.
//
// The result depends on the arguments alone, and it stays the same while it is carried out, in
// whatever order. So nodes that look at different moments agree.
func plan(holders []string, l *memberList) (targets []string) {
	targets = make([]string, len(holders))
	if len(l.nodes) == 0 {
		return targets
	}
	room := quotas(holders, l)
	var open []int // slots that nobody keeps
	for slot, holder := range holders {
		if i, ok := slices.BinarySearch(l.nodes, holder); ok && room[i] > 0 {
			targets[slot] = holder
			room[i]--
		} else {
			open = append(open, slot)
		}
	}
	for _, slot := range open {
		hash := mix(uint64(slot)) //nolint:gosec // it is not negative
		to := l.highestHash(hash, func(i int) bool { return room[i] > 0 })
		i, _ := slices.BinarySearch(l.nodes, to)
		targets[slot] = to
		room[i]--
	}
	return targets
}

// quotas returns how many slots each member should hold. If they can't all have the same number,
// some have one more: first those that hold more than the others' share now, which saves a move
// each, then the others, each in the order of their names. By how much they exceed the share must
// not matter, since that changes while a plan is carried out, and the plan must not change with it.
func quotas(holders []string, l *memberList) []int {
	n := len(l.nodes)
	held, quota := make([]int, n), make([]int, n)
	for _, holder := range holders {
		if i, ok := slices.BinarySearch(l.nodes, holder); ok {
			held[i]++
		}
	}
	share, over := len(holders)/n, len(holders)%n
	for _, many := range []bool{true, false} {
		for i := range quota {
			if over > 0 && held[i] > share == many {
				quota[i]++
				over--
			}
		}
	}
	for i := range quota {
		quota[i] += share
	}
	return quota
}
