package registry

import (
	"fmt"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// A Claim says that a holder of a name lives on a node.
type Claim struct {
	Name string
	Node string
	// Meta holds the bytes that the holder attached. They are shared with the registry and
	// must not be modified.
	Meta []byte
	// Time is when the name was registered. It stays when the metadata changes.
	Time Timestamp
}

// Token returns the claim's fencing token. Of two claims on a name, the one that [KeepNewest] keeps
// has the greater token, compared byte by byte: the newer one, and of equal times that of the
// greater node name. A store that refuses a write whose token is less than one it has seen stops a
// holder that has lost its name, once the new holder has written. With [KeepOldest], or a rule of
// your own, it may stop the wrong holder.
//
// Call Token for each write: a node whose clock was held back gives its claims another time. A
// database compares bytes with a binary collation.
func (c Claim) Token() string {
	// With the sign flipped, times before 1970 are less than those after.
	const sign = 1 << 63
	//nolint:gosec // bits
	return fmt.Sprintf("%016x%08x-%s", uint64(c.Time.Nanos)^sign, c.Time.Logical, c.Node)
}

func claimOf(r *replica.Record) Claim {
	if r == nil {
		return Claim{}
	}
	return Claim{Name: r.Name, Node: r.Node, Meta: r.Meta, Time: Timestamp(r.Time)}
}
