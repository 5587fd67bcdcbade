package group

import (
	"cmp"

	"github.com/snowfence/snowfence/registry"
)

// A Member is one member of a group, as this node sees it.
type Member struct {
	// Node is the name of the node that it lives on.
	Node string
	// ID identifies it among the members of its node, in all groups. It is not reused, unless the node
	// starts anew with its clock set back. IDs rise in the order of joining.
	ID uint64
	// Meta holds the bytes that the holder attached. They are shared with the registry and must not
	// be modified.
	Meta []byte
	// Time is the time of joining, by the clock of its node. It stays when the metadata change.
	Time registry.Timestamp
}

// compareID orders the members of one node.
func compareID(m Member, id uint64) int { return cmp.Compare(m.ID, id) }
