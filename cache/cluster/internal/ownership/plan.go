package ownership

import (
	"cmp"
	"slices"
)

// plan says who should hold which slot, given who holds them now: every member as many as the others, one more or less, with the fewest
// moves. A holder that is no member counts as nobody. The result depends on nothing but its arguments.
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

// quotas returns how many slots each member should hold. Where they can't all have the same, those who hold most have one more:
// so fewest have to move.
func quotas(holders []string, l *memberList) []int {
	n := len(l.nodes)
	held, order, room := make([]int, n), make([]int, n), make([]int, n)
	for _, holder := range holders {
		if i, ok := slices.BinarySearch(l.nodes, holder); ok {
			held[i]++
		}
	}
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(held[b], held[a]), cmp.Compare(a, b)) })
	for rank, i := range order {
		room[i] = len(holders) / n
		if rank < len(holders)%n {
			room[i]++
		}
	}
	return room
}
