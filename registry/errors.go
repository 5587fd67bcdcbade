package registry

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/snowfence/snowfence/registry/internal/mesh"
)

var (
	// ErrTaken matches, by errors.Is, every [*TakenError].
	ErrTaken = errors.New("registry: name is taken")

	// ErrConflict matches, by errors.Is, every [*ConflictError].
	ErrConflict = errors.New("registry: lost a conflict")

	// ErrReleased is the cause with which a registration's context ends when it is released.
	ErrReleased = errors.New("registry: released")

	// ErrSilent matches, by errors.Is, every [*SilentError].
	ErrSilent = errors.New("registry: the holder was silent")

	// ErrClosed is the error of a registry that was closed or has left, and the cause with which the
	// contexts of its registrations end.
	ErrClosed = errors.New("registry: closed")

	// ErrOverloaded matches, by errors.Is, every [*OverloadedError].
	ErrOverloaded = errors.New("registry: overloaded")

	// ErrNoAddress is within a [*JoinError] if the name service has no address for a seed. It wraps
	// the service's error, most often a [*net.DNSError].
	ErrNoAddress = mesh.ErrNoAddress

	// ErrUnreachable is within a [*JoinError] if a seed can't be connected to. It wraps the reason,
	// such as syscall.ECONNREFUSED.
	ErrUnreachable = mesh.ErrUnreachable

	// ErrNoAnswer is within a [*JoinError] if a seed accepted a connection and did not answer.
	ErrNoAnswer = mesh.ErrNoAnswer

	// ErrSyncing matches, by errors.Is, every [*SyncingError].
	ErrSyncing = errors.New("registry: not in sync yet")

	// ErrNotHolder matches, by errors.Is, every [*NotHolderError].
	ErrNotHolder = errors.New("registry: name is not held on this node")
)

// A TakenError reports that this node sees a holder of the name. It is [ErrTaken].
type TakenError struct {
	Name   string
	Holder Claim
}

// Error describes the TakenError in one line.
func (e *TakenError) Error() string {
	return fmt.Sprintf("registry: name %s is taken by node %s since %v", quote(e.Name), e.Holder.Node,
		e.Holder.Time)
}

// Is reports whether target is [ErrTaken].
func (e *TakenError) Is(target error) bool { return target == ErrTaken }

// A ConflictError is the cause with which a registration's context ends when another node's claim
// on the name was preferred. It is [ErrConflict].
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

// A SilentError is the cause with which a registration's context ends when its holder has not
// called [Registration.Alive] within the bound of [Registration.RequireAlive]. It is [ErrSilent].
type SilentError struct {
	Name   string
	Within time.Duration // the bound
	Silent time.Duration // since the last call
}

// Error describes the SilentError in one line.
func (e *SilentError) Error() string {
	return fmt.Sprintf("registry: released name %s: its holder has not called Alive for %v, "+
		"and must within %v", quote(e.Name), e.Silent, e.Within)
}

// Is reports whether target is [ErrSilent].
func (e *SilentError) Is(target error) bool { return target == ErrSilent }

// An OverloadedError reports that a change found no room in its partition's queue before its
// context ended. It is [ErrOverloaded] and wraps the context's cause.
type OverloadedError struct {
	Name      string
	Partition int
	Depth     int // names in the queue
	Err       error
}

// Error describes the OverloadedError in one line.
func (e *OverloadedError) Error() string {
	return fmt.Sprintf(
		"registry: overloaded: no room for name %s in the queue of partition %d, where %d names wait: %v",
		quote(e.Name), e.Partition, e.Depth, e.Err)
}

// Is reports whether target is [ErrOverloaded].
func (e *OverloadedError) Is(target error) bool { return target == ErrOverloaded }

// Unwrap returns the cause with which the context ended.
func (e *OverloadedError) Unwrap() error { return e.Err }

// A SyncingError reports that a name was not registered because this node does not know yet whether
// it has a holder: its partition has not caught up with Node, which came up lately. It is
// [ErrSyncing], and wraps the cause of the context if that ended the wait, and nothing if
// [Config].SyncTimeout did.
type SyncingError struct {
	Name      string
	Partition int
	Node      string
	Err       error
}

// Error describes the SyncingError in one line.
func (e *SyncingError) Error() string {
	s := fmt.Sprintf("registry: name %s may be taken: partition %d has not caught up with node %s yet",
		quote(e.Name), e.Partition, e.Node)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Is reports whether target is [ErrSyncing].
func (e *SyncingError) Is(target error) bool { return target == ErrSyncing }

// Unwrap returns the cause with which the context ended, nil if it did not.
func (e *SyncingError) Unwrap() error { return e.Err }

// A NotHolderError reports that a name was not updated because its holder does not live on this
// node. It is [ErrNotHolder].
type NotHolderError struct {
	Name   string
	Holder Claim // the zero Claim if the name has no holder
}

// Error describes the NotHolderError in one line.
func (e *NotHolderError) Error() string {
	if e.Holder.Node == "" {
		return fmt.Sprintf("registry: name %s is not held", quote(e.Name))
	}
	return fmt.Sprintf("registry: name %s is held on node %s, and only there can it be updated",
		quote(e.Name), e.Holder.Node)
}

// Is reports whether target is [ErrNotHolder].
func (e *NotHolderError) Is(target error) bool { return target == ErrNotHolder }

// A NameError reports that a name is too short or too long.
type NameError struct {
	Len int // in bytes
	Max int
}

// Error describes the NameError in one line.
func (e *NameError) Error() string {
	return fmt.Sprintf("registry: name of %d bytes: want 1 to %d", e.Len, e.Max)
}

// A MetaError reports that metadata are too long.
type MetaError struct {
	Name string
	Len  int // in bytes
	Max  int // [Config].MaxMeta
}

// Error describes the MetaError in one line.
func (e *MetaError) Error() string {
	return fmt.Sprintf("registry: metadata of %d bytes for name %s: want at most %d (Config.MaxMeta)",
		e.Len, quote(e.Name), e.Max)
}

// A DeadlineError reports that a context with a deadline was given as the life of a holder. The
// name would be released at the Deadline, which is a mistake if the deadline was meant for the
// call.
type DeadlineError struct {
	Name     string
	Deadline time.Time
}

// Error describes the DeadlineError in one line, with the remedy.
func (e *DeadlineError) Error() string {
	return fmt.Sprintf("registry: the context for name %s has a deadline, %s, at which the name "+
		"would be released: pass the context that the holder lives under; to bound the wait alone, "+
		"or to hold the name until then, call RegisterFor (JoinFor for a group) with two contexts",
		quote(e.Name), e.Deadline.Format(time.RFC3339))
}

// A ConfigError reports a field of Config, its value, and the values that it may have.
type ConfigError struct {
	Field string
	Value any
	Want  string
}

// Error describes the ConfigError in one line.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("registry: Config.%s: %v: want %s", e.Field, e.Value, e.Want)
}

// A JoinError reports that no seed could be joined, or that a node which answered refused this one.
// It wraps the reasons, each in a [*SeedError].
type JoinError struct {
	Seeds    []string
	Answered int
	Err      error

	startAlone bool // with Config.StartAlone there would have been no error
}

// Error describes the JoinError in one line: the seeds, why each could not be joined, and whether
// [Config].StartAlone would help.
func (e *JoinError) Error() string {
	which := "any"
	if e.Answered > 0 {
		which = "all"
	}
	hint := ""
	if e.startAlone {
		hint = "; set Config.StartAlone if this node may start without the others"
	}
	why := strings.ReplaceAll(fmt.Sprint(e.Err), "\n", "; ") // errors.Join puts each on a line
	return fmt.Sprintf("registry: could not join %s of %s: %s%s",
		which, strings.Join(e.Seeds, ", "), why, hint)
}

// Unwrap returns the reasons.
func (e *JoinError) Unwrap() error { return e.Err }

// A MismatchError reports that a node was kept out because its cluster, number of partitions,
// resolver or version of the protocol differs. Node and Addr are those of the other node,
// Differences lists what differs, and Err is set if the other node's data could not be read. Both
// sides report it, each with its own view: the one that wanted to join as an error of Open or Join,
// the other as an event of kind [NodeRefused].
type MismatchError = mesh.MismatchError

// A Difference is one line of a [MismatchError]: a Field ("cluster", "partitions", "resolver",
// "protocol"), and its value on this node, Ours, and on the other, Theirs.
type Difference = mesh.Difference

// A DuplicateNameError reports that a node was kept out because a live member, at Addr, has its
// Name. If that member has crashed, the name is free after Free at most, and at once for a node at
// the same address.
type DuplicateNameError = mesh.DuplicateNameError

// A KeyError reports that this node and the one that answers can't read each other: a key is wrong,
// outdated or missing, see Problem.
type KeyError = mesh.KeyError

// A KeyProblem is the way in which the keys of two nodes do not match.
type KeyProblem = mesh.KeyProblem

// The problems that two nodes can have with their keys.
const (
	KeyWrong      = mesh.KeyWrong      // both encrypt, and one can't read the other
	KeyMissing    = mesh.KeyMissing    // the other node encrypts, and this one has no key
	KeyUnexpected = mesh.KeyUnexpected // this node encrypts, and the other does not
)

// A ForeignError reports that what answers at a seed is not a node of this module, or is one of a
// release that this one can't talk to. Said holds its first bytes, if they show that.
type ForeignError = mesh.ForeignError

// A SeedError reports why joining over one seed failed. Seed is the seed as it was given, Addr the
// address that it stands for, and Err the reason. A [*JoinError] wraps one for each seed.
type SeedError = mesh.SeedError

// quote quotes a name, and cuts a long one.
func quote(name string) string {
	const longest = 80
	if len(name) <= longest {
		return fmt.Sprintf("%q", name)
	}
	return fmt.Sprintf("%q... (%d bytes)", name[:longest], len(name))
}
