package workload

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// An Op is an operation on a key.
type Op int

// The operations.
const (
	Read Op = iota
	Write
	Delete
)

// String returns read, write or delete.
func (o Op) String() string {
	switch o {
	case Read:
		return "read"
	case Write:
		return "write"
	case Delete:
		return "delete"
	default:
		return fmt.Sprintf("Op(%d)", int(o))
	}
}

// A Mix holds the weight of each operation; an operation's probability is its weight over the sum.
// As text it is "read:90,write:9,delete:1"; an operation that is left out has the weight 0.
type Mix struct {
	Read, Write, Delete uint32
}

// Validate returns an error if no operation has a weight.
func (m Mix) Validate() error {
	if m.total() == 0 {
		return fmt.Errorf("mix: at least one weight must be above 0")
	}
	return nil
}

func (m Mix) total() uint64 { return uint64(m.Read) + uint64(m.Write) + uint64(m.Delete) }

// Pick chooses an operation. m must be valid.
func (m Mix) Pick(r *rand.Rand) Op {
	if m.Write == 0 && m.Delete == 0 {
		return Read
	}
	x := r.Uint64N(m.total())
	switch {
	case x < uint64(m.Read):
		return Read
	case x < uint64(m.Read)+uint64(m.Write):
		return Write
	default:
		return Delete
	}
}

// String returns the text form, which UnmarshalText parses.
func (m Mix) String() string {
	return fmt.Sprintf("read:%d,write:%d,delete:%d", m.Read, m.Write, m.Delete)
}

// MarshalText returns the text form, as String does.
func (m Mix) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText parses the text form.
func (m *Mix) UnmarshalText(text []byte) error {
	var mix Mix
	seen := make(map[string]bool)
	for part := range strings.SplitSeq(string(text), ",") {
		name, number, ok := strings.Cut(part, ":")
		name = strings.TrimSpace(name)
		if !ok {
			return fmt.Errorf("mix %q: %q is not OPERATION:WEIGHT", text, part)
		}
		weight, err := strconv.ParseUint(strings.TrimSpace(number), 10, 32)
		if err != nil {
			return fmt.Errorf("mix %q: weight %q of %s is not a whole number below 2^32", text, number, name)
		}
		if seen[name] {
			return fmt.Errorf("mix %q: %s stands there twice", text, name)
		}
		seen[name] = true
		switch name {
		case "read":
			mix.Read = uint32(weight)
		case "write":
			mix.Write = uint32(weight)
		case "delete":
			mix.Delete = uint32(weight)
		default:
			return fmt.Errorf("mix %q: operation %q: must be one of read, write, delete", text, name)
		}
	}
	if err := mix.Validate(); err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	*m = mix
	return nil
}
