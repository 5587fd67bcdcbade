package peer

import (
	"errors"
	"fmt"
)

// Errors of a Backend that can't answer. errors.Is finds them.
var (
	// ErrBusy says that there is too much to do. The asker gets an UnavailableError with Reason Busy.
	ErrBusy = errors.New("peer: busy")
	// ErrClosing says that the node is closing. The asker gets an UnavailableError with Reason
	// Closing.
	ErrClosing = errors.New("peer: closing")
	// ErrUnsendable says that there is a value that can't be sent. The asker gets an UnavailableError
	// with Reason Unsendable.
	ErrUnsendable = errors.New("the value can't be sent")
)

// A MisplacedError says that Node does not own the key, and which node does, as far as it knows. A
// Backend returns it with Owner alone; the asker gets it with Node.
type MisplacedError struct {
	Node  string // the node that was asked
	Owner string // the owner as Node knows it; "" if it knows none
}

// Error describes the MisplacedError in one line.
func (e *MisplacedError) Error() string {
	if e.Owner == "" {
		return fmt.Sprintf("cluster: node %q does not own the key", e.Node)
	}
	return fmt.Sprintf("cluster: node %q does not own the key: it says that %q does", e.Node, e.Owner)
}

// A SuspectError says that a load of the key may have ended other nodes, so that Node does not load
// it in the usual way. A Backend returns it with Record alone; the asker gets it with Node.
type SuspectError struct {
	Node   string
	Record []byte // the record of the key at Node: see package quarantine
}

// Error describes the SuspectError in one line.
func (e *SuspectError) Error() string {
	return fmt.Sprintf("cluster: node %q does not load the key: it may have ended other nodes", e.Node)
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
	Silent Reason = iota + 1 // nothing came for Config.Silence
	// NoLifeSigns is Silent of a node whose interim answers are known to be lost on the way.
	NoLifeSigns
	Unreachable  // no connection, or it broke before the request was sent
	NotListening // its host refuses connections: no process listens there
	Lost         // the connection broke before an answer began
	Busy         // it has too much to do, or enough requests to it are under way
	Closing      // it is closing, or was restarted
	Unsendable   // it has a value that is too large, or that its codec can't encode
	WrongPath    // something else answers: there is nothing at this path
	OtherService // something else answers
	TLSMismatch  // one side speaks TLS and the other does not
	Denied       // one side does not accept the credentials of the other
	OtherVersion // it speaks another version of the protocol, or has other limits
	WrongCache   // a cache with another name answers
	WrongNode    // another node answers
	Rubbish      // its answer can't be read
	PassedOver   // it was not asked: it has failed too often

	Reasons // the number of reasons, with 0, which is none
)

var reasons = [Reasons]struct{ text, advice string }{
	Silent: {text: "silent"},
	NoLifeSigns: {"no life signs",
		"a proxy or middleware between the nodes must pass interim answers (1xx) on " +
			"(http.TimeoutHandler does not): without them a load that takes longer than " +
			"Options.PeerTimeout is taken for silence"},
	Unreachable:  {text: "unreachable"},
	NotListening: {text: "not listening"},
	Lost:         {text: "connection lost"},
	Busy:         {text: "busy"},
	Closing:      {text: "closing"},
	Unsendable:   {text: "unsendable"},
	WrongPath: {"wrong path", "mount Cache.Handler of that node under the path of its Options.URL, " +
		"on the server that listens at the port there; a pattern of http.ServeMux ends in a slash"},
	OtherService: {"other service",
		"host and port of that node's Options.URL must lead to its server, " +
			"without a proxy that answers by itself"},
	TLSMismatch: {"TLS mismatch",
		"that node's Options.URL must be https if its server speaks TLS, and http if not; " +
			"with Options.SharedKeys or TLS it must: serve Cache.Handler with ServeTLS"},
	Denied: {"denied", "both nodes must have a common key in Options.SharedKeys, or trust each " +
		"other's certificates (Options.TLS); the server must have the same configuration " +
		"(SharedKeyTLS), and Options.Authorize agree; a middleware must not ask nodes for more"},
	OtherVersion: {"other version",
		"all nodes must run releases with the same protocol, and have the same limits"},
	WrongCache: {"wrong cache", "the handlers of caches with different Options.Name must be mounted " +
		"under different " +
		"paths, each that of its Options.URL"},
	WrongNode: {"wrong node", "each node needs an Options.URL of its own, that no load balancer " +
		"spreads over others"},
	Rubbish:    {"rubbish", "a proxy or middleware between the nodes may change answers"},
	PassedOver: {text: "passed over"},
}

// String returns the reason as a word or two.
func (r Reason) String() string {
	if r == 0 || r >= Reasons {
		return fmt.Sprintf("Reason(%d)", uint8(r))
	}
	return reasons[r].text
}

// Advice returns what an operator can do about it, or "" if nothing is known.
func (r Reason) Advice() string {
	if r >= Reasons {
		return ""
	}
	return reasons[r].advice
}

// A SizeError says that something is larger than it may be. If it is the Err of an UnavailableError
// with Reason Unsendable, a value is larger than Config.MaxValue.
type SizeError struct {
	What string // "key", "value", …
	Size int64  // bytes; -1 if it is only known to be above Max
	Max  int64
}

// Error describes the SizeError in one line.
func (e *SizeError) Error() string {
	if e.Size < 0 {
		return fmt.Sprintf("%s of more than %d bytes", e.What, e.Max)
	}
	return fmt.Sprintf("%s of %d bytes: want at most %d", e.What, e.Size, e.Max)
}
