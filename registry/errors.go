package registry

import (
	"errors"
	"fmt"
	"strings"

	"github.com/snowfence/snowfence/registry/internal/mesh"
)

var (
	// ErrTaken matches, by errors.Is, every [*TakenError].
	ErrTaken = errors.New("registry: name is taken")

	// ErrConflict matches, by errors.Is, every [*ConflictError].
	ErrConflict = errors.New("registry: lost a conflict")

	// ErrReleased is the cause with which a registration's context ends when it is released.
	ErrReleased = errors.New("registry: released")

	// ErrClosed is given to users of a registry that was closed or has left, and is the cause with which the
	// contexts of its registrations end.
	ErrClosed = errors.New("registry: closed")

	// ErrOverloaded matches, by errors.Is, every [*OverloadedError].
	ErrOverloaded = errors.New("registry: overloaded")

	// ErrNotHolder matches, by errors.Is, every [*NotHolderError].
	ErrNotHolder = errors.New("registry: name is not held on this node")
)

// A TakenError says that a name has a holder, as far as this node sees. It is [ErrTaken].
type TakenError struct {
	Name   string
	Holder Claim
}

// Error describes the TakenError in one line.
func (e *TakenError) Error() string {
	return fmt.Sprintf("registry: name %s is taken by node %s since %v", quote(e.Name), e.Holder.Node, e.Holder.Time)
}

// Is reports whether target is [ErrTaken].
func (e *TakenError) Is(target error) bool { return target == ErrTaken }

// A ConflictError is the cause with which a registration's context ends when another node's claim on
// the name was preferred. It is [ErrConflict].
type ConflictError struct {
	Name   string
	Winner Claim
}

// Error describes the ConflictError in one line.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("registry: lost the conflict over name %s to node %s, which claimed it at %v",
		quote(e.Name), e.Winner.Node, e.Winner.Time)
}

// Is reports whether target is [ErrConflict].
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// An OverloadedError says that a change found no room in its partition's queue before its
// context ended. It is [ErrOverloaded] and wraps the context's cause.
type OverloadedError struct {
	Name      string
	Partition int
	Depth     int // names in the queue
	Err       error
}

// Error describes the OverloadedError in one line.
func (e *OverloadedError) Error() string {
	return fmt.Sprintf("registry: overloaded: no room for name %s in the queue of partition %d, where %d names wait: %v",
		quote(e.Name), e.Partition, e.Depth, e.Err)
}

// Is reports whether target is [ErrOverloaded].
func (e *OverloadedError) Is(target error) bool { return target == ErrOverloaded }

// Unwrap returns the cause with which the context ended.
func (e *OverloadedError) Unwrap() error { return e.Err }

// A NotHolderError says that a name could not be updated because its holder does not live on
// this node. It is [ErrNotHolder].
type NotHolderError struct {
	Name   string
	Holder Claim // the zero Claim if nobody holds the name
}

// Error describes the NotHolderError in one line.
func (e *NotHolderError) Error() string {
	if e.Holder.Node == "" {
		return fmt.Sprintf("registry: name %s is not held", quote(e.Name))
	}
	return fmt.Sprintf("registry: name %s is held on node %s, and only there can it be updated", quote(e.Name), e.Holder.Node)
}

// Is reports whether target is [ErrNotHolder].
func (e *NotHolderError) Is(target error) bool { return target == ErrNotHolder }

// A NameError says that a name is too short or too long.
type NameError struct {
	Len int // in bytes
	Max int
}

// Error describes the NameError in one line.
func (e *NameError) Error() string {
	return fmt.Sprintf("registry: name of %d bytes: want 1 to %d", e.Len, e.Max)
}

// A MetaError says that metadata are too long.
type MetaError struct {
	Name string
	Len  int // in bytes
	Max  int // [Config].MaxMeta
}

// Error describes the MetaError in one line.
func (e *MetaError) Error() string {
	return fmt.Sprintf("registry: metadata of %d bytes for name %s: want at most %d (Config.MaxMeta)", e.Len, quote(e.Name), e.Max)
}

// A ConfigError says which field of Config had which value, and what was wanted.
type ConfigError struct {
	Field string
	Value any
	Want  string
}

// Error describes the ConfigError in one line.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("registry: Config.%s: %v: want %s", e.Field, e.Value, e.Want)
}

// A JoinError says that no seed could be joined or, if some answered, that others refused this node. It
// wraps the reasons, see [SeedError].
type JoinError struct {
	Seeds    []string
	Answered int
	Err      error
}

// Error describes the JoinError: the seeds, and why each could not be joined.
func (e *JoinError) Error() string {
	which := "any"
	if e.Answered > 0 {
		which = "all"
	}
	return fmt.Sprintf("registry: could not join %s of %s: %v", which, strings.Join(e.Seeds, ", "), e.Err)
}

// Unwrap returns the reasons.
func (e *JoinError) Unwrap() error { return e.Err }

// A MismatchError says that a node was kept out because it is of another cluster, has another number of
// partitions or another resolver, or speaks another version of the protocol. Node and Addr say
// whom this node met, Differences what differs, Err is set if the other could not be understood. Both
// sides report it, each with its own view: the one that wanted to join as an error of Open or
// Join, the other as an event of kind [NodeRefused].
type MismatchError = mesh.MismatchError

// A Difference is one line of a [MismatchError]: a Field ("cluster", "partitions", "resolver", "protocol"), and its value on
// this node, Ours, and on the other, Theirs.
type Difference = mesh.Difference

// A DuplicateNameError says that a node was kept out because a live member, at Addr, has its Name. If that
// member has in truth crashed, the name is free after Free at most, and at once for a node at the
// same address.
type DuplicateNameError = mesh.DuplicateNameError

// A SeedError says why joining over one seed failed: Seed is as it was given, Addr what it stands for,
// and Err the reason. A [*JoinError] wraps one for each seed.
type SeedError = mesh.SeedError

// quote keeps a long name from filling a log.
func quote(name string) string {
	const longest = 80
	if len(name) <= longest {
		return fmt.Sprintf("%q", name)
	}
	return fmt.Sprintf("%q... (%d bytes)", name[:longest], len(name))
}
