package ownership

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/partition"
)

// NewSlots returns units that are slots. Key and slot are the same on all nodes: a slot is what
// package partition makes of a key.
func NewSlots(c Config) Units { return newSlots(c) }

func newSlots(c Config) *slots {
	c = c.withDefaults()
	s := &slots{c: c}
	s.places, _ = partition.New(c.Slots) // the number has been checked
	s.names = make([]string, s.places.Len())
	for i := range s.names {
		s.names[i] = fmt.Sprintf("cache/%s/slot/%04d", c.Cache, i)
	}
	s.holdings = newHoldings(c, s.name, s.lost)
	s.holdings.running.Go(s.balance)
	return s
}

type slots struct {
	c        Config
	places   partition.Map
	names    []string
	members  members
	holdings *holdings // by number, in decimal
	targets  atomic.Pointer[[]string]

	mu    sync.Mutex // guards what follows, and who sets members and targets
	last  view       // at the last look
	quiet time.Time  // since when the members have been the same, and this node has looked at them in time
}

func (s *slots) name(unit string) string { return s.names[number(unit)] }

// number is that of a slot, from its unit.
func number(unit string) int {
	n, _ := strconv.Atoi(unit) // it was made by Itoa
	return n
}

// Owner returns the holder of the slot's name. The home of a slot that nobody holds is who the plan
// gives it to.
func (s *slots) Owner(key string) string {
	owner, _ := s.ownerOf(s.places.Of(key))
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

// Changed claims the slot of a key that has come, if it is this node's and nobody holds it. A slot
// is held then whether it has keys or not.
func (s *slots) Changed(key string) {
	slot := s.places.Of(key)
	if owner, holds := s.ownerOf(slot); owner == s.c.Self && !holds && s.c.Has(key) {
		s.holdings.claim(strconv.Itoa(slot))
	}
}

// SetMembers replaces the members, and makes a plan for them at once: it says who claims a slot
// that is needed before the slots are balanced.
func (s *slots) SetMembers(nodes []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.members.set(nodes) {
		s.quiet = time.Now()
		s.look()
	}
}

// lost tells of slots that were lost or handed over.
func (s *slots) lost(units []string) {
	gone := make([]bool, len(s.names))
	for _, unit := range units {
		gone[number(unit)] = true
	}
	for key := range s.c.Keys {
		if gone[s.places.Of(key)] {
			s.c.Lost(key)
		}
	}
}

// Stats counts slots.
func (s *slots) Stats() Stats { return s.holdings.stats() }

// Close gives up all slots.
func (s *slots) Close(ctx context.Context) error { return s.holdings.close(ctx) }
