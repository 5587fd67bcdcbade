package registry

import (
	"cmp"
	"iter"
	"slices"
)

// Lookup returns the claim that holds name as this node sees it, and whether there is one. It takes
// no lock, does not block and allocates nothing. The answer may be outdated by the time that news
// takes to reach this node.
func (r *Registry) Lookup(name string) (Claim, bool) {
	record, ok := r.part(name).winners.Load(name)
	return claimOf(record), ok
}

// Len returns how many names have a holder.
func (r *Registry) Len() int {
	n := 0
	for _, p := range r.parts {
		n += p.winners.Size()
	}
	return n
}

// Names yields the names that have a holder, in no order. The registry may be used, and may change,
// meanwhile; a name that has a holder all the time is yielded once.
func (r *Registry) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for c := range r.All() {
			if !yield(c.Name) {
				return
			}
		}
	}
}

// All yields the claims that hold their names; otherwise it is like [Registry.Names].
func (r *Registry) All() iter.Seq[Claim] {
	return func(yield func(Claim) bool) {
		for _, p := range r.parts {
			for _, record := range p.winners.All() {
				if !yield(claimOf(record)) {
					return
				}
			}
		}
	}
}

// CountByNode returns how many names each node holds. It reads all names.
func (r *Registry) CountByNode() map[string]int {
	counts := make(map[string]int)
	for c := range r.All() {
		counts[c.Node]++
	}
	return counts
}

// Registrations returns the registrations of this node, sorted by name.
func (r *Registry) Registrations() []*Registration {
	var all []*Registration
	for _, p := range r.parts {
		p.mu.Lock()
		for _, g := range p.regs {
			all = append(all, g)
		}
		p.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b *Registration) int { return cmp.Compare(a.name, b.name) })
	return all
}
