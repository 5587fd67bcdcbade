package cluster

import "fmt"

// Ownership says what is owned: what one name of the registry stands for. All that follows was measured on two cores, with
// go test ./cache/cluster/internal/ownership -bench . and the registry's own measurements.
//
//	                                   ByKey              BySlot (1,024)    ByRing
//	names in the registry              one per key        1,024             none
//	heap of a cached key: its owner    1.4 KB             0                 0
//	the same on each other node        0.25 KB            0                 0
//	told to each other node, per key   46 B               0                 0
//	claiming, with the first load      20 µs              0                 0
//	finding the owner on a miss        200 ns             200 ns            30 ns
//	a node joins                       nothing moves      1/n of all keys, within ten seconds   1/n of all keys, at once
//	a node dies or leaves              its keys are loaded again by others, in all three
//	two nodes see different members    they still agree on what is held   as by key   they load 1/n of all keys twice
//
// Keys that move are loaded once more; the node that had them keeps them as copies for a moment.
//
// Take ByKey for up to some hundred thousand keys in all that are dear to load, or where nodes come and go often. A million keys cost
// 1.4 GB of heap on all nodes together for those who own them, and 0.25 GB on each node to know of them: beyond that, or where loads are
// cheap, take BySlot.
type Ownership uint8

const (
	// ByKey has each key that is cached be a name. Its owner is whoever loaded it first; others that come and go move no
	// key.
	ByKey Ownership = iota
	// BySlot has a fixed number of names, each of which owns all keys that hash to it. The cost in the registry is
	// that of the slots, however many keys there are.
	BySlot
	// ByRing registers nothing. The owner is computed from who is a member, by consistent hashing, as groupcache
	// does. It is here for comparison, and for those who want no names at all.
	ByRing
)

// String returns the name that [ParseOwnership] reads.
func (o Ownership) String() string {
	switch o {
	case ByKey:
		return "key"
	case BySlot:
		return "slot"
	case ByRing:
		return "ring"
	}
	return fmt.Sprintf("Ownership(%d)", uint8(o))
}

// ParseOwnership reads "key", "slot" or "ring".
func ParseOwnership(s string) (Ownership, error) {
	for o := ByKey; o <= ByRing; o++ {
		if s == o.String() {
			return o, nil
		}
	}
	return 0, fmt.Errorf("cluster: ownership %q: want key, slot or ring", s)
}
