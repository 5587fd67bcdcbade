package registry

import (
	"cmp"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// A Resolver settles which of two nodes keeps a name that both claimed, as happens
// when both registered it at the same moment or on the two sides of a split.
//
// Every node decides for itself, so all must come to the same answer from the same two claims:
// Compare must depend on nothing but its arguments (no clock, no state, no randomness), and
// swapping them must flip the sign. Package registrytest has a checker. A violation that is seen at
// run time is reported as a [Disagreement].
//
// Compare is called under a partition's lock: it must be quick and must not call the registry. A
// panic counts as 0 and is reported as a [ResolverPanic].
type Resolver interface {
	// Name identifies the rule. It must be the same on all nodes of a cluster: a node that
	// has another is refused. Change it when the rule changes.
	Name() string

	// Compare returns a positive number where a is to be kept, a negative one where b is,
	// and 0 where the default order is to decide: the newer claim, and of two with the
	// same timestamp the one whose node has the greater name.
	Compare(a, b Claim) int
}

var (
	// KeepNewest keeps the claim that was made last. It is the default.
	KeepNewest = NewResolver("keep-newest", func(a, b Claim) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Node, b.Node))
	})

	// KeepOldest keeps the claim that was made first, and of two with the same timestamp the one
	// whose node has the greater name.
	KeepOldest = NewResolver("keep-oldest", func(a, b Claim) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.Node, b.Node))
	})
)

// NewResolver makes a Resolver of a function, see [Resolver] for what the function must observe.
// [Open] refuses an empty name and a nil function.
func NewResolver(name string, compare func(a, b Claim) int) Resolver {
	return &resolverFunc{name: name, compare: compare}
}

type resolverFunc struct {
	name    string
	compare func(a, b Claim) int
}

func (f *resolverFunc) Name() string           { return f.name }
func (f *resolverFunc) Compare(a, b Claim) int { return f.compare(a, b) }

// compareRecords adapts a resolver to the core. The default order needs none.
func compareRecords(r Resolver) func(a, b *replica.Record) int {
	if r == KeepNewest {
		return nil
	}
	return func(a, b *replica.Record) int { return r.Compare(claimOf(a), claimOf(b)) }
}
