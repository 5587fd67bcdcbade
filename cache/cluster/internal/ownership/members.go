package ownership

import (
	"slices"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// members are the nodes that take part, and the home of each unit.
type members struct{ seen atomic.Pointer[memberList] }

type memberList struct {
	nodes  []string // sorted
	hashes []uint64 // of nodes
}

// set replaces the members, and reports whether they are others than before.
func (m *members) set(nodes []string) bool {
	nodes = slices.Clone(nodes)
	slices.Sort(nodes)
	nodes = slices.Compact(nodes)
	before := m.seen.Load()
	if before != nil && slices.Equal(before.nodes, nodes) {
		return false
	}
	list := &memberList{nodes: nodes, hashes: make([]uint64, len(nodes))}
	for i, node := range nodes {
		list.hashes[i] = xxhash.Sum64String(node)
	}
	m.seen.Store(list)
	return true
}

func (m *members) list() []string {
	if list := m.seen.Load(); list != nil {
		return list.nodes
	}
	return nil
}

// has reports whether a node is a member.
func (m *members) has(node string) bool {
	_, found := slices.BinarySearch(m.list(), node)
	return found
}

// home returns the member that is to claim unit if nobody holds it; empty if there are no members.
func (m *members) home(unit string) string {
	list := m.seen.Load()
	if list == nil {
		return ""
	}
	return list.highestHash(xxhash.Sum64String(unit), func(int) bool { return true })
}

// highest returns the node, of those that may, whose hash with that of a unit is the highest. Nodes
// are sorted, so a tie falls to the same one everywhere.
func (l *memberList) highestHash(unit uint64, may func(i int) bool) (node string) {
	var most uint64
	for i, hash := range l.hashes {
		if score := mix(hash ^ unit); may(i) && (node == "" || score > most) {
			node, most = l.nodes[i], score
		}
	}
	return node
}

// mix spreads the bits of x: the last step of splitmix64 (Steele, Lea and Flood, 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
