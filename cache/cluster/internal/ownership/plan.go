package ownership

import "slices"

// plan says who should hold which slot, given who holds them now: every member as many as the
// others, one more or less, with the fewest moves. A holder that is no member counts as nobody.
//
// The result depends on nothing but its arguments, and it stays the same while it is carried out,
// in whatever order: nodes that look at different moments agree.
func plan(holders []string, l *memberList) (targets []string) {
	targets = make([]string, len(holders))
	if len(l.nodes) == 0 {
		return targets
	}
	room := quotas(holders, l)
	var open []int // slots that nobody keeps
	for slot, holder := range holders {
		if i, ok := slices.BinarySearch(l.nodes, holder); ok && room[i] > 0 {
			targets[slot] = holder
			room[i]--
		} else {
			open = append(open, slot)
		}
	}
	for _, slot := range open {
		to := l.highest(mix(uint64(slot)), func(i int) bool { return room[i] > 0 }) //nolint:gosec // it is not negative
		i, _ := slices.BinarySearch(l.nodes, to)
		targets[slot] = to
		room[i]--
	}
	return targets
}

// quotas returns how many slots each member should hold. Where they can't all have the same, some
// have one more: first those that have more than the others' share now, which saves a move each,
// then the others, each by name. How much more they have must not matter: it changes while a plan
// is carried out, and the plan must not change with it.
func quotas(holders []string, l *memberList) []int {
	n := len(l.nodes)
	held, quota := make([]int, n), make([]int, n)
	for _, holder := range holders {
		if i, ok := slices.BinarySearch(l.nodes, holder); ok {
			held[i]++
		}
	}
	share, over := len(holders)/n, len(holders)%n
	for _, many := range []bool{true, false} {
		for i := range quota {
			if over > 0 && held[i] > share == many {
				quota[i]++
				over--
			}
		}
	}
	for i := range quota {
		quota[i] += share
	}
	return quota
}
