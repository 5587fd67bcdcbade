package mesh

import (
	"errors"
	"fmt"
	"time"
)

// Reasons within a [*SeedError], and errors of methods.
var (
	// ErrClosed is the error of a mesh that is closed, or closes meanwhile.
	ErrClosed = errors.New("mesh: closed")

	// ErrNoAddress reports that the name service has no address for a seed. It wraps the service's
	// error.
	ErrNoAddress = errors.New("no address is known for it")

	// ErrUnreachable reports that a seed can't be connected to. It wraps the reason.
	ErrUnreachable = errors.New("it can't be reached")

	// ErrNoAnswer reports that a seed accepted a connection and did not answer.
	ErrNoAnswer = errors.New("it takes connections but does not answer: " +
		"another program may listen there, or the node is shutting down or overloaded")

	// ErrSelf reports that this node itself answers at a seed.
	ErrSelf = errors.New("it is this node")

	// ErrKey matches every [*KeyError].
	ErrKey = errors.New("the encryption keys don't match")

	// ErrNotEncrypted reports that keys can't be changed: there were none from the start.
	ErrNotEncrypted = errors.New(
		"registry: not encrypted; keys can only be changed where Config.Keys had one")
)

// A SeedError reports why joining over one seed failed.
type SeedError struct {
	Seed string // as it was given
	Addr string // the address that it stands for, if there is one
	Err  error
}

// Error names the seed, its address if that differs, and the reason.
func (e *SeedError) Error() string {
	if e.Addr != "" && e.Addr != e.Seed {
		return fmt.Sprintf("seed %s (%s): %v", e.Seed, e.Addr, e.Err)
	}
	return fmt.Sprintf("seed %s: %v", e.Seed, e.Err)
}

// Unwrap returns Err.
func (e *SeedError) Unwrap() error { return e.Err }

// A DuplicateNameError reports that a node was kept out because its name is a live member's.
type DuplicateNameError struct {
	Name string
	Addr string        // of the member that has the name
	Free time.Duration // how long, at most, a crashed node is still taken for alive
}

// Error names the member, and when its name would be free if it has crashed.
func (e *DuplicateNameError) Error() string {
	return fmt.Sprintf("the node name %q is taken by a live member at %s; if that node has crashed, "+
		"its name is free once it is declared dead, at most about %v after the crash (at once for a "+
		"node at the same address)",
		e.Name, e.Addr, e.Free)
}

// A KeyProblem is the way in which the keys of two nodes do not match.
type KeyProblem int

// The problems that two nodes can have with their keys.
const (
	// KeyWrong: both encrypt, and one can't read the other; its key is wrong or outdated.
	KeyWrong KeyProblem = iota + 1

	// KeyMissing: the other node encrypts, and this one has no key.
	KeyMissing

	// KeyUnexpected: this node encrypts, and the other does not.
	KeyUnexpected
)

// A KeyError reports that this node and the one that answers can't read each other. It is [ErrKey].
type KeyError struct{ Problem KeyProblem }

// Error names the problem.
func (e *KeyError) Error() string {
	switch e.Problem {
	case KeyMissing:
		return ErrKey.Error() + ": the other node encrypts and this one has no key: set Config.Keys"
	case KeyUnexpected:
		return ErrKey.Error() + ": this node encrypts and the other does not: " +
			"all nodes need Config.Keys, or none"
	}
	return ErrKey.Error() + ": both nodes encrypt, with different keys: " +
		"the key that a node sends under, its first, must be among the Config.Keys of all others"
}

// Is reports whether target is [ErrKey].
func (e *KeyError) Is(target error) bool { return target == ErrKey }

// A ForeignError reports that what answers is not a node of this module, or is one of a release
// that this one can't talk to: another program listens there, or the port is wrong.
type ForeignError struct {
	Said []byte // the first bytes of the answer, if they show that it is another program's
	Err  error  // or why the answer can't be read
}

// Error describes the answer.
func (e *ForeignError) Error() string {
	const what = "what answers there is not a node of this module: " +
		"another program listens, or the port is wrong"
	if e.Err != nil {
		return fmt.Sprintf("%s (%v)", what, e.Err)
	}
	return fmt.Sprintf("%s (it says %q)", what, e.Said)
}

// Unwrap returns Err.
func (e *ForeignError) Unwrap() error { return e.Err }

// errOtherHello is within a [*ForeignError].
var errOtherHello = errors.New("or it is of another release, with another way to say hello")

// Refused reports whether an error is, or wraps, the answer of a node that can't accept this one as
// it is configured.
func Refused(err error) bool {
	var mismatch *MismatchError
	var duplicate *DuplicateNameError
	var key *KeyError
	var foreign *ForeignError
	return errors.As(err, &mismatch) || errors.As(err, &duplicate) ||
		errors.As(err, &key) || errors.As(err, &foreign)
}
