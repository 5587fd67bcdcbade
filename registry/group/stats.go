package group

import "github.com/snowfence/snowfence/registry"

// Stats describes the groups at a moment.
type Stats struct {
	Groups  int // that have members
	Members int // of all groups
	Local   int // of this node

	// Unreadable counts lists of members that could not be read and of which nothing is shown: those
	// of a node that runs a later version, say.
	Unreadable uint64

	// Partitions describes the partitions of the names of groups, apart from those of
	// [registry.Stats]. Names are groups there, and Registrations those in which this node has
	// members.
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
