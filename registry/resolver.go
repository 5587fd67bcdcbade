package registry

import (
	"cmp"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// A Resolver decides which of two nodes keeps a name that both claimed: both registered it at the
// same moment, or on the two sides of a split.
//
// Every node decides for itself, so all must come to the same answer from the same two claims:
// Compare must depend on nothing but its arguments (no clock, no state, no randomness), and
// swapping them must flip the sign. Package registrytest has a checker. A violation that is
// detected at run time is reported as a [Disagreement].
//
// Compare is called under a partition's lock: it must be quick and must not call the registry. A
// panic counts as 0 and is reported as a [ResolverPanic].
type Resolver interface {
	// Name identifies the rule. It must be the same on all nodes of a cluster: a node with another
	// one is refused. Change it when the rule changes.
	Name() string

	// Compare returns a positive number to keep a, a negative one to keep b, and 0 for the default
	// order: the newer claim, and of two with the same timestamp that of the greater node name.
	Compare(a, b Claim) int
}

var (
	// KeepNewest keeps the claim that was made last. It is the default.
	KeepNewest = NewResolver("keep-newest", func(a, b Claim) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Node, b.Node))
	})

	// KeepOldest keeps the claim that was made first, and of two with the same timestamp that of the
	// greater node name.
	KeepOldest = NewResolver("keep-oldest", func(a, b Claim) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.Node, b.Node))
	})
)

// NewResolver returns a Resolver with a name and a Compare function, see [Resolver]. [Open] refuses
// an empty name and a nil function.
func NewResolver(name string, compare func(a, b Claim) int) Resolver {
	return &resolverFunc{name: name, compare: compare}
}

type resolverFunc struct {
	name    string
	compare func(a, b Claim) int
}

func (f *resolverFunc) Name() string           { return f.name }
func (f *resolverFunc) Compare(a, b Claim) int { return f.compare(a, b) }

// compareRecords returns a resolver for the core; nil for KeepNewest, its default order.
func compareRecords(r Resolver) func(a, b *replica.Record) int {
	if r == KeepNewest {
		return nil
	}
	return func(a, b *replica.Record) int { return r.Compare(claimOf(a), claimOf(b)) }
}
