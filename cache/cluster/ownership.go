package cluster

import "fmt"

// Ownership says what one name of the registry stands for. The numbers were measured on two cores,
// with go test ./cache/cluster/internal/ownership -bench . and with the registry's benchmarks.
//
//	                                   BySlot (1,024)    ByKey             ByRing
//	names in the registry              1,024             one per key       none
//	heap of a cached key: its owner    0                 1.4 KB            0
//	the same on each other node        0                 0.25 KB           0
//	sent to each other node, per key   0                 46 B              0
//	claim, behind the first load       0                 20 µs             0
//	finding the owner on a miss        200 ns            200 ns            30 ns
//	keys that move to a new node       1/n, in 10 s      none              1/n, at once
//	keys loaded twice while two
//	nodes see different members        none that held    none that held    1/n
//
// Keys that move are loaded once more; the node that had them keeps them as copies for a moment.
//
// BySlot is right for most. Take ByKey for up to some hundred thousand keys that are expensive to
// load, where nodes come and go often. A million keys cost 1.4 GB of heap on their owners together,
// and 0.25 GB on each other node. A name is claimed when its key's value has been stored, so keys
// without a record cost nothing.
type Ownership uint8

const (
	// BySlot has a fixed number of names, each of which owns all keys that hash to it. Its cost in the
	// registry does not depend on the number of keys. It is the default.
	BySlot Ownership = iota
	// ByKey makes each cached key a name. Its owner is the node that loaded it first; nodes that come
	// and go move no key.
	ByKey
	// ByRing registers nothing. The owner is computed from the members by consistent hashing, as in
	// groupcache. It is for comparison, and for users who want no names at all.
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

// ParseOwnership reads "slot", "key" or "ring".
func ParseOwnership(s string) (Ownership, error) {
	for o := BySlot; o <= ByRing; o++ {
		if s == o.String() {
			return o, nil
		}
	}
	return 0, fmt.Errorf("cluster: ownership %q: want slot, key or ring", s)
}
