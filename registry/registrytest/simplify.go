package registrytest

import (
	"slices"
	"strings"
	"time"

	"github.com/snowfence/snowfence/registry"
)

// simplify makes claims that break the law simpler, one step at a time, as long as the law stays
// broken. It ends, since no step can undo another. Nodes are renamed to those that come earlier in
// nodes.
func (l law) simplify(
	r registry.Resolver, claims []registry.Claim, complaint string, nodes []string,
) ([]registry.Claim, string) {
	claims = slices.Clone(claims)
	for {
		simpler, why := l.step(r, claims, nodes)
		if why == "" {
			break
		}
		claims, complaint = simpler, why
	}
	sorted := slices.Clone(claims)
	slices.SortStableFunc(sorted, func(a, b registry.Claim) int {
		return strings.Compare(a.Node, b.Node)
	})
	if why := l.complaint(r, sorted); why != "" {
		return sorted, why
	}
	return claims, complaint
}

// step returns the first simpler claims that break the law, with the complaint; "" if there are
// none.
func (l law) step(
	r registry.Resolver, claims []registry.Claim, nodes []string,
) (simpler []registry.Claim, complaint string) {
	if l.crowd && len(claims) > 2 {
		for i := range claims {
			simpler = slices.Delete(slices.Clone(claims), i, i+1)
			if complaint = l.complaint(r, simpler); complaint != "" {
				return simpler, complaint
			}
		}
	}
	for _, times := range simplerTimes(claims) {
		simpler = slices.Clone(claims)
		for i := range simpler {
			simpler[i].Time = times[i]
		}
		if complaint = l.complaint(r, simpler); complaint != "" {
			return simpler, complaint
		}
	}
	for i, claim := range claims {
		for _, c := range simplerThan(claim, claims, nodes) {
			simpler = slices.Clone(claims)
			simpler[i] = c
			if complaint = l.complaint(r, simpler); complaint != "" {
				return simpler, complaint
			}
		}
	}
	return nil, ""
}

// complaint returns the complaint of broken; "" if the resolver panics, which is another law.
func (l law) complaint(r registry.Resolver, claims []registry.Claim) (complaint string) {
	defer func() {
		if recover() != nil {
			complaint = ""
		}
	}()
	return l.broken(r, claims)
}

// simplerThan returns replacements for a claim. Each is simpler in one respect: the time, the
// node's name, or the metadata, which are only dropped as a whole, since they may have a format.
func simplerThan(c registry.Claim, all []registry.Claim, nodes []string) []registry.Claim {
	var simpler []registry.Claim
	times := []registry.Timestamp{{Nanos: noon}, {Nanos: noon + 1}, {Nanos: noon + 2}}
	if slices.Contains(times, c.Time) {
		times = before(times, c.Time)
	} else {
		for _, unit := range []time.Duration{time.Hour, time.Minute, time.Second, 100 * time.Millisecond,
			time.Millisecond, time.Microsecond, 1} {
			if t := (registry.Timestamp{Nanos: c.Time.Nanos - c.Time.Nanos%int64(unit)}); t != c.Time {
				times = append(times, t) // rounded down
			}
		}
	}
	for _, t := range times {
		next := c
		next.Time = t
		simpler = append(simpler, next)
	}
	for _, n := range before(nodes, c.Node) {
		if !slices.ContainsFunc(all, func(other registry.Claim) bool { return other.Node == n }) {
			next := c
			next.Node = n
			simpler = append(simpler, next)
		}
	}
	if c.Meta != nil {
		next := c
		next.Meta = nil
		simpler = append(simpler, next)
	}
	return simpler
}

// simplerTimes returns times for all claims together: one nanosecond after another in the same
// order, and the same distances from another start.
func simplerTimes(claims []registry.Claim) [][]registry.Timestamp {
	times := make([]registry.Timestamp, len(claims))
	for i, c := range claims {
		times[i] = c.Time
	}
	sorted := slices.Clone(times)
	slices.SortFunc(sorted, registry.Timestamp.Compare)
	ranks := slices.Compact(slices.Clone(sorted))
	ranked, shifted := slices.Clone(times), slices.Clone(times)
	for i, t := range times {
		ranked[i] = registry.Timestamp{Nanos: noon + int64(slices.Index(ranks, t))}
		shifted[i].Nanos += noon - sorted[0].Nanos
	}
	return slices.DeleteFunc([][]registry.Timestamp{ranked, shifted},
		func(s []registry.Timestamp) bool { return slices.Equal(s, times) })
}

// before returns the values that come before v in a list, all of them if v isn't in it.
func before[T comparable](list []T, v T) []T {
	if i := slices.Index(list, v); i >= 0 {
		return list[:i]
	}
	return list
}
