package registry

import "github.com/snowfence/snowfence/registry/internal/replica"

// A Claim says that a holder of a name lives on a node.
type Claim struct {
	Name string
	Node string
	// Meta is what the holder attached. It is shared with the registry and
	// must not be modified.
	Meta []byte
	// Time is when the name was registered. It stays when the metadata changes.
	Time Timestamp
}

func claimOf(r *replica.Record) Claim {
	if r == nil {
		return Claim{}
	}
	return Claim{Name: r.Name, Node: r.Node, Meta: r.Meta, Time: Timestamp(r.Time)}
}
