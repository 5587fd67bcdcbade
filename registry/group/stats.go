package group

import "github.com/snowfence/snowfence/registry"

// Stats describes the groups at a moment.
type Stats struct {
	Groups  int // that have members
	Members int // of all groups
	Local   int // of this node

	// Unreadable counts lists of members that could not be read, such as those of a later release.
	// None of their members are shown.
	Unreadable uint64

	// Partitions describes the partitions of groups; [registry.Stats] has those of names. Names counts
	// groups there, and Registrations the groups with members on this node.
	Partitions []registry.PartitionStats
}

// Stats returns the counts. It reads all groups, and takes each partition's lock for a moment.
func (g *Groups) Stats() Stats {
	var s Stats
	for _, o := range g.rosters.All() {
		if n := len(o.members()); n > 0 {
			s.Groups++
			s.Members += n
		}
		if c := o.of(g.space.Node()); c != nil {
			s.Local += len(c.members())
		}
	}
	s.Unreadable = g.unreadable.Load()
	s.Partitions = g.stats()
	return s
}
