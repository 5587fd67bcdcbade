package cluster

import "fmt"

// Ownership says what is owned: what one name of the registry stands for.
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
