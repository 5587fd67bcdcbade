package peer

import (
	"errors"
	"fmt"
)

// A Backend returns these where it can't answer. errors.Is finds them.
var (
	// ErrBusy: there is too much to do. The asker gets an UnavailableError with Reason Busy.
	ErrBusy = errors.New("peer: busy")
	// ErrClosing: no more is done here. The asker gets an UnavailableError with Reason Closing.
	ErrClosing = errors.New("peer: closing")
)

// A MisplacedError says that Node does not own the key, and who does, as far as it knows. A Backend returns it with
// Owner, and the asker gets it with Node, too.
type MisplacedError struct {
	Node  string // who was asked
	Owner string // who it thinks owns the key; "" if it knows nobody
}

// Error describes the MisplacedError in one line.
func (e *MisplacedError) Error() string {
	if e.Owner == "" {
		return fmt.Sprintf("cluster: node %q does not own the key", e.Node)
	}
	return fmt.Sprintf("cluster: node %q does not own the key: it says that %q does", e.Node, e.Owner)
}

// An UnavailableError says that a node gave no answer: neither a value nor an error of Load.
type UnavailableError struct {
	Node   string
	Reason Reason
	Err    error // what happened; never nil
}

// Error describes the UnavailableError in one line.
func (e *UnavailableError) Error() string {
	return fmt.Sprintf("cluster: node %q: %s: %v", e.Node, e.Reason, e.Err)
}

// Unwrap returns Err.
func (e *UnavailableError) Unwrap() error { return e.Err }

// A Reason says why a node gave no answer.
type Reason uint8

// The reasons.
const (
	Silent       Reason = iota + 1 // nothing was heard for Config.Silence
	Unreachable                    // no connection, or it broke
	Busy                           // it has too much to do
	Closing                        // it is closing
	Rubbish                        // its answer makes no sense, is not authentic, or too large
	OtherVersion                   // it speaks another protocol, or is not the run or cache that was meant
	Denied                         // it does not accept our credentials
	PassedOver                     // it was not asked: it has failed too often
)

// String returns the reason as a word or two.
func (r Reason) String() string {
	switch r {
	case Silent:
		return "silent"
	case Unreachable:
		return "unreachable"
	case Busy:
		return "busy"
	case Closing:
		return "closing"
	case Rubbish:
		return "rubbish"
	case OtherVersion:
		return "other version"
	case Denied:
		return "denied"
	case PassedOver:
		return "passed over"
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// A SizeError says that something is larger than it may be. As the Err of an UnavailableError with Reason Rubbish it is
// no failure of the other node's: the value is larger than Config.MaxValue.
type SizeError struct {
	What string // "key", "value", …
	Size int64  // bytes; -1 if only known to be above Max
	Max  int64
}

// Error describes the SizeError in one line.
func (e *SizeError) Error() string {
	if e.Size < 0 {
		return fmt.Sprintf("%s of more than %d bytes", e.What, e.Max)
	}
	return fmt.Sprintf("%s of %d bytes: want at most %d", e.What, e.Size, e.Max)
}
