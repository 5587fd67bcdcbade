package sim

import (
	"github.com/snowfence/snowfence/registry/internal/replica"
)

// A Resolver is a rule for which of two claims is kept, implemented independently of the core.
type Resolver uint8

// The resolvers of worlds.
const (
	Newest   Resolver = iota // the core's default
	Oldest                   // the older one
	Priority                 // the greater first byte of the metadata, then the default
)

// String returns the name of the resolver.
func (r Resolver) String() string { return [...]string{"newest", "oldest", "priority"}[r] }

// compare returns the function for the core.
func (r Resolver) compare() func(a, b *replica.Record) int {
	switch r {
	case Oldest:
		return func(a, b *replica.Record) int { return b.Time.Compare(a.Time) }
	case Priority:
		return func(a, b *replica.Record) int { return priority(a) - priority(b) }
	}
	return nil
}

func priority(r *replica.Record) int {
	if len(r.Meta) == 0 {
		return 0
	}
	return int(r.Meta[0])
}

// better reports whether a is kept rather than b.
func (r Resolver) better(a, b *replica.Record) bool {
	switch r {
	case Oldest:
		if c := a.Time.Compare(b.Time); c != 0 {
			return c < 0
		}
	case Priority:
		if c := priority(a) - priority(b); c != 0 {
			return c > 0
		}
	}
	if c := a.Time.Compare(b.Time); c != 0 {
		return c > 0
	}
	return a.Node > b.Node
}

// pick returns the best of some claims, nil of none.
func (r Resolver) pick(claims []*replica.Record) *replica.Record {
	var best *replica.Record
	for _, c := range claims {
		if best == nil || r.better(c, best) {
			best = c
		}
	}
	return best
}
