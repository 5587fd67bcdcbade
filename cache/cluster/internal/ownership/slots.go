package ownership

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/partition"
)

// NewSlots returns units that are slots.
func NewSlots(c Config) Units {
	c = c.withDefaults()
	s := &slots{c: c, changed: make(chan struct{}, 1), done: make(chan struct{})}
	s.places, _ = partition.New(c.Slots) // the number has been checked
	s.names = make([]string, c.Slots)
	for i := range s.names {
		s.names[i] = fmt.Sprintf("cache/%s/slot/%04d", c.Cache, i)
	}
	s.holdings = newHoldings(c, s.name, s.lost, func(string) time.Duration { return 0 })
	go s.balance()
	return s
}

type slots struct {
	c        Config
	places   partition.Map
	names    []string
	members  members
	holdings *holdings // by number, in decimal
	targets  atomic.Pointer[[]string]

	changed chan struct{} // the members have changed
	done    chan struct{} // closed when balance has ended
}

func (s *slots) name(unit string) string {
	slot, _ := strconv.Atoi(unit) // from claim
	return s.names[slot]
}

// Owner returns the holder of the slot's name. The home of a slot that nobody holds is who the plan gives it to.
func (s *slots) Owner(key string) Owner {
	slot := s.places.Of(key)
	if claim, ok := s.c.Registry.Lookup(s.names[slot]); ok && s.members.has(claim.Node) {
		return Owner{claim.Node, true}
	}
	if targets := s.targets.Load(); targets != nil && s.members.has((*targets)[slot]) {
		return Owner{Node: (*targets)[slot]}
	}
	return Owner{Node: s.members.home(s.names[slot])}
}

// Claim registers the name of the key's slot.
func (s *slots) Claim(ctx context.Context, key string) (Owner, error) {
	return s.holdings.claim(ctx, strconv.Itoa(s.places.Of(key)))
}

// Arrived and Left do nothing: a slot is held whether it has keys or not.
func (s *slots) Arrived(string) {}

// Left does nothing, see Arrived.
func (s *slots) Left(string) {}

// SetMembers replaces the members, and has the slots balanced.
func (s *slots) SetMembers(nodes []string) {
	if !s.members.set(nodes) {
		return
	}
	s.look()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *slots) lost(unit string) {
	slot, _ := strconv.Atoi(unit)
	s.c.Lost(func(key string) bool { return s.places.Of(key) == slot })
}

// balance claims and hands over slots as the plan says, until the holdings close. It waits until the members have been the same for
// a while: a node that was stopped for some seconds sees nobody when it wakes up, for a moment, and would take
// all slots. What is asked for meanwhile is claimed by itself, see Claim.
func (s *slots) balance() {
	defer close(s.done)
	ticker := time.NewTicker(s.c.Round)
	defer ticker.Stop()
	quiet := time.Now() // since when the members have been the same
	for {
		select {
		case <-s.holdings.life.Done():
			return
		case <-s.changed:
			quiet = time.Now()
			continue
		case <-ticker.C:
		}
		holders, targets := s.look()
		if time.Since(quiet) >= s.c.Settle {
			s.claimOpen(holders, targets)
			s.handOver(holders, targets)
		}
	}
}

// look makes a new plan from what is seen now.
func (s *slots) look() (holders, targets []string) {
	list := s.members.seen.Load()
	if list == nil {
		list = &memberList{}
	}
	holders = make([]string, len(s.names))
	for slot, name := range s.names {
		if claim, ok := s.c.Registry.Lookup(name); ok && s.members.has(claim.Node) {
			holders[slot] = claim.Node
		}
	}
	targets = plan(holders, list)
	s.targets.Store(&targets)
	return holders, targets
}

// claimOpen claims the slots that nobody holds and that are to be this node's.
func (s *slots) claimOpen(holders, targets []string) {
	for slot, target := range targets {
		if target != s.c.Self || holders[slot] != "" {
			continue
		}
		if _, err := s.holdings.claim(s.holdings.life, strconv.Itoa(slot)); err != nil {
			s.c.Logger.Debug("a slot could not be claimed", "slot", slot, "error", err)
			return // the next round tries again
		}
	}
}

// handOver gives up slots that this node holds and others are to have: a quarter of all at most. Who gets one sees that
// nobody holds it and claims it, at the next look or when it is asked for a key of it.
func (s *slots) handOver(holders, targets []string) {
	gone := make(map[int]bool)
	for slot, target := range targets {
		if holders[slot] == s.c.Self && target != s.c.Self && len(gone) < max(1, len(s.names)/4) &&
			s.holdings.release(strconv.Itoa(slot), func(*holding) bool { return true }) {
			gone[slot] = true
		}
	}
	if len(gone) > 0 {
		s.c.Logger.Debug("slots were handed over", "slots", len(gone))
		s.c.Lost(func(key string) bool { return gone[s.places.Of(key)] })
	}
}

// Stats counts slots.
func (s *slots) Stats() Stats { return s.holdings.stats() }

// Close gives up all slots.
func (s *slots) Close(ctx context.Context) error {
	err := s.holdings.close(ctx)
	<-s.done
	return err
}
