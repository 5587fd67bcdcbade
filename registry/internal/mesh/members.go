package mesh

import (
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/memberlist"
)

// A Member is a node of the cluster that is not known to be gone.
type Member struct {
	Name        string
	Addr        string // host:port
	Incarnation uint64 // of its run
}

// members holds the other members, as of memberlist's last call. Memberlist's own list can't be
// read during its calls.
type members struct {
	mu     sync.RWMutex // guards byName, and the fields that the comment of member names
	byName map[string]*member
}

// A member's fields are set once, but for Incarnation and leaving, which members.mu guards.
type member struct {
	Member
	node    memberlist.Node // a copy, for sending
	leaving bool            // it has sent a notice that it leaves
	peer    *peer
}

// Members returns all members, the own node included, sorted by name.
func (m *Mesh) Members() []Member {
	m.members.mu.RLock()
	list := make([]Member, 0, len(m.members.byName)+1)
	for _, x := range m.members.byName {
		list = append(list, x.Member)
	}
	m.members.mu.RUnlock()
	list = append(list, m.self)
	slices.SortFunc(list, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (s *members) get(name string) *member {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byName[name]
}

// incarnation returns the incarnation of a member, and whether the node is one.
func (s *members) incarnation(name string) (uint64, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	x := s.byName[name]
	if x == nil {
		return 0, false
	}
	return x.Incarnation, true
}

// incarnations returns the incarnations of all other members, by name.
func (s *members) incarnations() map[string]uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make(map[string]uint64, len(s.byName))
	for _, x := range s.byName {
		all[x.Name] = x.Incarnation
	}
	return all
}

// others returns the number of other members.
func (s *members) others() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.byName)
}

func (s *members) all() []*member {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]*member, 0, len(s.byName))
	for _, x := range s.byName {
		list = append(list, x)
	}
	return list
}

// put adds a member and returns the one that it replaces.
func (s *members) put(x *member) *member {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.byName[x.Name]
	s.byName[x.Name] = x
	return old
}

// renew sets a member's incarnation and reports whether it was another.
func (s *members) renew(name string, incarnation uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.byName[name]
	if x == nil || x.Incarnation == incarnation {
		return false
	}
	x.Incarnation, x.leaving = incarnation, false
	return true
}

// remove removes and returns a member, nil if there is none. It also returns whether the member had
// sent a notice, and how many other members are left.
func (s *members) remove(name string) (x *member, left bool, others int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x = s.byName[name]
	if x != nil {
		left = x.leaving
		delete(s.byName, name)
	}
	return x, left, len(s.byName)
}

// noteLeaving notes that a member is about to leave, and reports whether the node is one, in that
// incarnation.
func (s *members) noteLeaving(name string, incarnation uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.byName[name]
	if x == nil || x.Incarnation != incarnation {
		return false
	}
	x.leaving = true
	return true
}

// stopAll stops the peers of all members.
func (s *members) stopAll() {
	for _, x := range s.all() {
		x.peer.stop()
	}
}
