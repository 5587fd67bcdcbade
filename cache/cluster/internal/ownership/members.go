package ownership

import (
	"slices"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// members holds the members, and computes the home of each name.
type members struct{ seen atomic.Pointer[memberList] }

type memberList struct {
	nodes  []string // sorted
	hashes []uint64 // of nodes
}

// set replaces the members, and reports whether that changed them.
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

// home returns the member that is to claim a name that nobody holds; empty if there are no members.
// of is the key or, by slot, the slot's name.
func (m *members) home(of string) string {
	list := m.seen.Load()
	if list == nil {
		return ""
	}
	return list.highestHash(xxhash.Sum64String(of), func(int) bool { return true })
}

// highestHash returns the node whose hash with the hash of an id is the highest, among those for
// which may returns true. Nodes are sorted, so a tie falls to the same one everywhere.
func (l *memberList) highestHash(of uint64, may func(i int) bool) (node string) {
	var most uint64
	for i, hash := range l.hashes {
		if score := mix(hash ^ of); may(i) && (node == "" || score > most) {
			node, most = l.nodes[i], score
		}
	}
	return node
}

// mix spreads the bits of x, by the last step of splitmix64 (Steele, Lea and Flood, 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
