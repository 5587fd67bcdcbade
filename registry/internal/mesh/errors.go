package mesh

import (
	"errors"
	"fmt"
	"time"
)

// Reasons within a [*SeedError], and of methods.
var (
	// ErrClosed says that the mesh is closed, or closed meanwhile.
	ErrClosed = errors.New("mesh: closed")

	// ErrUnreachable says that no connection to a seed came about.
	ErrUnreachable = errors.New("it can't be reached")

	// ErrKey says that a seed and this node can't read each other: their keys differ, or only one
	// of them has any.
	ErrKey = errors.New("the encryption keys don't match")

	// ErrNoAnswer says that a seed took a connection and said nothing.
	ErrNoAnswer = errors.New("it takes connections but does not answer: another program may listen there, or the node is shutting down or overloaded")

	// ErrForeign says that what answered is no memberlist node.
	ErrForeign = errors.New("what answers there is not a node: another program listens, or the port is wrong")

	// ErrNotEncrypted says that keys can't be changed where there were none from the start.
	ErrNotEncrypted = errors.New("mesh: not encrypted; keys can only be changed where Config.Keys had one")
)

// A SeedError says why joining over one seed failed.
type SeedError struct {
	Seed string // as it was given
	Addr string // the address that it stands for, if it was found
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

// A DuplicateNameError says that a node was kept out because its name is a live member's.
type DuplicateNameError struct {
	Name string
	Addr string        // of the member that has the name
	Free time.Duration // for how long, about, a node that crashed is still taken for alive
}

// Error names the member, and when its name would be free if it has crashed.
func (e *DuplicateNameError) Error() string {
	return fmt.Sprintf("the node name %q is taken by a live member at %s; if that node has crashed, "+
		"its name is free once it is declared dead, at most about %v after the crash (at once for a node at the same address)",
		e.Name, e.Addr, e.Free)
}
